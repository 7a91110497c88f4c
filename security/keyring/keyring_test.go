package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func load(t *testing.T, path string) *Ring {
	t.Helper()
	r, err := Load(path, Options{Keep: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMadeOnceAndReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	rings := make([]*Ring, 20)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = Load(path, Options{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	again := load(t, path)
	kid, key := again.Signing()
	for _, r := range rings {
		if otherKID, other := r.Signing(); otherKID != kid || !bytes.Equal(other, key) || !bytes.Equal(r.MAC("x"), again.MAC("x")) {
			t.Fatal("two of them got different keys")
		}
	}
	if known, ok := again.SigningKey(kid); !ok || !bytes.Equal(known, key) || len(key) != 32 {
		t.Errorf("the key of %q is not found", kid)
	}
	if _, ok := again.SigningKey("other"); ok {
		t.Error("an unknown kid has a key")
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".keys-*"))
	if err != nil || left != nil {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestLooseFilesAreRefused(t *testing.T) {
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o644} {
		path := filepath.Join(t.TempDir(), "keys.json")
		load(t, path)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path, Options{}); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := Load(t.TempDir(), Options{}); err == nil || !strings.Contains(err.Error(), "plain file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent", "keys.json"), Options{}); err == nil {
		t.Error("keys were stored in a folder that is not there")
	}
}

// TestNoKeysWithoutRandomness: a source that gives too little makes no file and
// seals nothing.
func TestNoKeysWithoutRandomness(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if _, err := Load(path, Options{Rand: strings.NewReader("short")}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("keys are made of nothing: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	load(t, path)
	r, err := Load(path, Options{Rand: strings.NewReader("short")})
	if err != nil {
		t.Fatal(err)
	}
	if sealed, err := r.Seal([]byte("plain"), "table", "column", "row"); err == nil {
		t.Errorf("sealed without a nonce: %x", sealed)
	}
}

// TestOlderKeysStillOpen: after a rotation the newest keys make, and the older
// ones still check, what they made.
func TestOlderKeysStillOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	before := load(t, path)
	sealed, err := before.Seal([]byte("plain"), "table", "column", "row")
	if err != nil {
		t.Fatal(err)
	}
	oldKID, oldKey := before.Signing()
	c, newer := *before.contents(), load(t, filepath.Join(t.TempDir(), "keys.json")).contents()
	retired := time.Now()
	c.SigningKeys = append([]signingKey{c.SigningKeys[0]}, newer.SigningKeys...)
	c.SigningKeys[0].RetiredAt = &retired
	c.EncryptionKeys = append([]encryptionKey{c.EncryptionKeys[0]}, newer.EncryptionKeys...)
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	after := load(t, path)
	if kid, _ := after.Signing(); kid != newer.SigningKeys[0].KID {
		t.Errorf("new tokens are signed with %s", kid)
	}
	if key, ok := after.SigningKey(oldKID); !ok || !bytes.Equal(key, oldKey) {
		t.Error("an older token cannot be checked")
	}
	if opened, err := after.Open(sealed, "table", "column", "row"); err != nil || string(opened) != "plain" {
		t.Errorf("%q, %v", opened, err)
	}
	fresh, err := after.Seal([]byte("plain"), "table", "column", "row")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := before.Open(fresh, "table", "column", "row"); !errors.Is(err, errSealed) {
		t.Errorf("the older key seals: %v", err)
	}
}

func TestDamagedFilesAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	load(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := string(good)
	secretKey := text[strings.Index(text, `"secret": "`)+11:][:44]
	for name, content := range map[string]string{
		"empty":             "",
		"cut":               text[:len(text)/2],
		"trailing":          text + "{}",
		"unknown member":    strings.Replace(text, `"version"`, `"extra": 1, "version"`, 1),
		"repeated member":   strings.Replace(text, `"version"`, `"version": 1, "version"`, 1),
		"newer version":     strings.Replace(text, `"version": 1`, `"version": 2`, 1),
		"other algorithm":   strings.Replace(text, "HS256", "none", 1),
		"short key":         strings.Replace(text, secretKey, "AAAA", 1),
		"no base64":         strings.Replace(text, secretKey, "!"+secretKey[1:], 1),
		"retired":           strings.Replace(text, `"retired_at": null`, `"retired_at": "2026-01-01T00:00:00Z"`, 1),
		"no keys":           `{"version": 1}`,
		"not an object":     `[]`,
		"a secret in place": `{"version": "` + secretKey + `"}`,
		"a secret as name":  strings.Replace(text, `"version"`, `"`+secretKey+`": 1, "version"`, 1),
	} {
		if content == text {
			t.Fatalf("%s: nothing was changed", name)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path, Options{})
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), secretKey[8:16]) {
			t.Errorf("%s: the refusal quotes a key: %v", name, err)
		}
		if after, readErr := os.ReadFile(path); readErr != nil || string(after) != content {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestSealIsBoundToItsPlace(t *testing.T) {
	r := load(t, filepath.Join(t.TempDir(), "keys.json"))
	sealed, err := r.Seal([]byte("plain"), "table", "column", "row")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := r.Seal([]byte("plain"), "table", "column", "row"); err != nil || bytes.Equal(again, sealed) {
		t.Errorf("two sealed values are the same, %v", err)
	}
	if opened, err := r.Open(sealed, "table", "column", "row"); err != nil || string(opened) != "plain" {
		t.Errorf("%q, %v", opened, err)
	}
	for _, place := range [][3]string{{"other", "column", "row"}, {"table", "other", "row"}, {"table", "column", "other"}, {"tablecolumn", "", "row"}, {"table", "columnrow", ""}} {
		if _, err := r.Open(sealed, place[0], place[1], place[2]); !errors.Is(err, errSealed) {
			t.Errorf("it opens at %q: %v", place, err)
		}
	}
	for i := range sealed {
		altered := bytes.Clone(sealed)
		altered[i] ^= 1
		if _, err := r.Open(altered, "table", "column", "row"); !errors.Is(err, errSealed) {
			t.Errorf("it opens with byte %d altered: %v", i, err)
		}
	}
	for n := range sealed {
		if _, err := r.Open(sealed[:n], "table", "column", "row"); !errors.Is(err, errSealed) {
			t.Errorf("%d bytes of it open: %v", n, err)
		}
	}
	other := load(t, filepath.Join(t.TempDir(), "keys.json"))
	if _, err := other.Open(sealed, "table", "column", "row"); !errors.Is(err, errSealed) {
		t.Errorf("it opens elsewhere: %v", err)
	}
}

func TestMACKeepsPurposesAndBordersApart(t *testing.T) {
	r := load(t, filepath.Join(t.TempDir(), "keys.json"))
	seen := map[string]string{}
	for name, mac := range map[string][]byte{
		"a":     r.MAC("a"),
		"b":     r.MAC("b"),
		"a|":    r.MAC("a", nil),
		"a|xy":  r.MAC("a", []byte("xy")),
		"a|x|y": r.MAC("a", []byte("x"), []byte("y")),
		"ax|y":  r.MAC("ax", []byte("y")),
	} {
		if other, ok := seen[string(mac)]; ok || len(mac) != 32 {
			t.Errorf("%s and %s have the same MAC", name, other)
		}
		seen[string(mac)] = name
	}
	if !bytes.Equal(r.MAC("a", []byte("x")), r.MAC("a", []byte("x"))) {
		t.Error("a MAC is not repeatable")
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	r := load(t, filepath.Join(t.TempDir(), "keys.json"))
	inside := struct{ ring *Ring }{r}
	var printed bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%o", "%b", "%t"} {
		fmt.Fprintf(&printed, verb+verb+verb+"\n", r, *r, inside)
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&printed, nil), slog.NewJSONHandler(&printed, nil)} {
		slog.New(handler).Info("x", "keys", r, "copy", *r, "inside", inside)
	}
	encoded, err := json.Marshal(map[string]any{"keys": r, "copy": *r})
	if err != nil {
		t.Fatal(err)
	}
	printed.Write(encoded)
	for _, key := range [][]byte{r.contents().SigningKeys[0].Secret, r.contents().EncryptionKeys[0].Secret, r.contents().MACKey} {
		// The first bytes of a key, as each verb would show them.
		for _, form := range []string{"%s", "%d", "%#v", "%x", "%X", "%o", "%b"} {
			start := strings.TrimRight(fmt.Sprintf(form, key[:6]), "]})")
			if strings.Contains(printed.String(), start) {
				t.Errorf("a key prints by %s: %s", form, printed.String())
			}
		}
		if strings.Contains(printed.String(), base64.StdEncoding.EncodeToString(key)[:8]) {
			t.Errorf("a key prints in base64: %s", printed.String())
		}
	}
}

func FuzzParse(f *testing.F) {
	path := filepath.Join(f.TempDir(), "keys.json")
	if _, err := Load(path, Options{Now: func() time.Time { return time.Unix(0, 0) }}); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse(data)
		if err != nil {
			return
		}
		r := &Ring{state: &state{contents: &c}, random: bytes.NewReader(make([]byte, nonceLength))}
		if _, key := r.Signing(); len(key) != keyLength {
			t.Errorf("a key of %d bytes", len(key))
		}
		if sealed, err := r.Seal(nil, "", "", ""); err != nil || len(sealed) == 0 {
			t.Errorf("it cannot seal: %v", err)
		}
	})
}
