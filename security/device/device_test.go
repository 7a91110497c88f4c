package device

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secret"
)

func mac(purpose string, data ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte("key"))
	h.Write([]byte(purpose))
	for _, d := range data {
		h.Write(d)
	}
	return h.Sum(nil)
}

func newCookie(t testing.TB) secret.Text {
	t.Helper()
	cookie, err := New(rand.Reader, mac)
	if err != nil {
		t.Fatal(err)
	}
	return cookie
}

func TestGenuine(t *testing.T) {
	cookie := newCookie(t)
	if !Genuine(cookie, mac) {
		t.Error("ours is refused")
	}
	text := cookie.Reveal()
	flipped := []byte(text)
	flipped[5] ^= 1
	other := func(purpose string, data ...[]byte) []byte { return mac("x"+purpose, data...) }
	for name, forged := range map[string]string{
		"none": "", "short": text[:len(text)-1], "long": text + "A", "changed": string(flipped),
		"an id without its signature": base64.RawURLEncoding.EncodeToString(make([]byte, idLength+sha256.Size)),
		"other letters":               strings.Repeat("+", len(text)), "with a line end": text[:len(text)-1] + "\n", "huge": strings.Repeat(text, 10_000),
	} {
		if Genuine(secret.NewText(forged), mac) {
			t.Errorf("%s is taken for ours", name)
		}
	}
	if Genuine(cookie, other) {
		t.Error("a cookie of another installation is taken")
	}
}

// FuzzGenuine: nothing but what New has made is genuine, whatever its length
// and letters.
func FuzzGenuine(f *testing.F) {
	cookie := newCookie(f).Reveal()
	f.Add(cookie)
	f.Add(cookie[:20])
	f.Add(strings.Repeat("A", 64))
	f.Add("\x00\n=%")
	f.Fuzz(func(t *testing.T, text string) {
		if Genuine(secret.NewText(text), mac) && text != cookie {
			raw, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil || !hmac.Equal(raw[idLength:], mac(macPurpose, raw[:idLength])) {
				t.Errorf("%q is genuine", text)
			}
		}
	})
}

// TestSeen walks a user's devices over half a year.
func TestSeen(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	store, err := db.Open(ctx, db.Options{Path: filepath.Join(t.TempDir(), "x.db"), Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	write := func(do func(*db.Tx) error) {
		t.Helper()
		if err := store.Write(ctx, do); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"u1", "u2"} {
		write(func(tx *db.Tx) error {
			_, err := tx.Exec("INSERT INTO users (id, email, role, created_at_us) VALUES ($1, $1, 'user', 0)", id)
			return err
		})
	}
	seen := func(userID string, cookie secret.Text) (known bool) {
		t.Helper()
		write(func(tx *db.Tx) (err error) {
			known, err = Seen(tx, userID, cookie, Device{Name: "Firefox on Linux", IPAddress: "192.0.2.1"})
			return err
		})
		now = now.Add(time.Second)
		return known
	}
	laptop, phone := newCookie(t), newCookie(t)
	if seen("u1", laptop) {
		t.Error("the first device of all was known")
	}
	if !seen("u1", laptop) {
		t.Error("it is not known again")
	}
	if seen("u1", phone) {
		t.Error("another one is known")
	}
	if seen("u2", laptop) {
		t.Error("a device that one user has is known of another")
	}
	list, err := Since(store.Read(ctx), "u1", laptop, now.Add(-time.Minute))
	if err != nil || len(list) != 1 || list[0].Name != "Firefox on Linux" {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = Since(store.Read(ctx), "u1", phone, now.Add(-time.Minute)); err != nil || len(list) != 0 {
		t.Errorf("the first device and the one that asks are news: %+v, %v", list, err)
	}
	now = now.Add(Lifetime)
	if seen("u1", laptop) {
		t.Error("it is known for longer than promised")
	}
	count := func() (n int) {
		t.Helper()
		if err := store.Read(ctx).QueryRow("SELECT COUNT(*) FROM devices").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	write(func(tx *db.Tx) error { return DeleteExpired(tx, 10) })
	if n := count(); n != 1 {
		t.Errorf("%d devices are left", n)
	}
	for range maxPerUser + 20 {
		seen("u1", newCookie(t))
	}
	if n := count(); n != maxPerUser {
		t.Errorf("%d devices of one user", n)
	}
	if seen("u1", laptop) {
		t.Error("the one that was not seen for longest stayed")
	}
}
