package mfa

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// store is a database with two users and a clock that is set by hand.
type store struct {
	*testing.T
	db  *db.DB
	now time.Time // set between writes only
}

const ann, bob = "user-ann", "user-bob"

func open(t *testing.T) *store {
	t.Helper()
	s := &store{T: t, now: time.Unix(1_000_000*period, 0).UTC()}
	var err error
	s.db, err = db.Open(context.Background(), db.Options{Path: filepath.Join(t.TempDir(), "patronus.db"),
		Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, id := range []string{ann, bob} {
		s.write(func(tx *db.Tx) error {
			_, err := tx.Exec("INSERT INTO users (id, email, role, created_at_us) VALUES ($1, $2, 'viewer', 0)", id, id+"@example.org")
			return err
		})
	}
	return s
}

func (s *store) read() db.Reader { return s.db.Read(context.Background()) }

func (s *store) write(change func(*db.Tx) error) {
	s.Helper()
	if err := s.db.Write(context.Background(), change); err != nil {
		s.Fatal(err)
	}
}

// spend reports what one of the two Spend functions answered.
func (s *store) spend(do func(tx *db.Tx) (bool, error)) (ok bool) {
	s.Helper()
	s.write(func(tx *db.Tx) (err error) {
		ok, err = do(tx)
		return err
	})
	return ok
}

func (s *store) spendTOTP(userID, code string) bool {
	s.Helper()
	return s.spend(func(tx *db.Tx) (bool, error) { return SpendTOTP(tx, place{}, userID, code) })
}

func (s *store) spendBackup(userID, code string) bool {
	s.Helper()
	return s.spend(func(tx *db.Tx) (bool, error) { return SpendBackupCode(tx, userID, code) })
}

// begin enrols an authenticator app with the secret of the RFCs.
func (s *store) begin(userID, name string) (f Factor) {
	s.Helper()
	s.write(func(tx *db.Tx) (err error) {
		f, err = Begin(tx, place{}, userID, "session", name, key(rfcSecret))
		return err
	})
	return f
}

func (s *store) accept(factorID string, step int64) bool {
	s.Helper()
	return s.spend(func(tx *db.Tx) (bool, error) { return Accept(tx, factorID, step) })
}

// place is a Sealer that only writes down where a value belongs. What encrypts
// is package keyring, which tests that itself.
type place struct{}

var errMoved = errors.New("sealed for another place")

func (place) prefix(table, column, rowID string) []byte {
	return []byte(table + "\x00" + column + "\x00" + rowID + "\x00")
}

func (p place) Seal(plaintext []byte, table, column, rowID string) ([]byte, error) {
	return append(p.prefix(table, column, rowID), plaintext...), nil
}

func (p place) Open(sealed []byte, table, column, rowID string) ([]byte, error) {
	plaintext, ok := bytes.CutPrefix(sealed, p.prefix(table, column, rowID))
	if !ok {
		return nil, errMoved
	}
	return plaintext, nil
}

func TestEnrollment(t *testing.T) {
	s := open(t)
	if _, err := Pending(s.read(), place{}, ann, "session", s.now); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("nothing was begun: %v", err)
	}
	first, second := s.begin(ann, "Phone"), s.begin(ann, "Tablet")
	if first.ID == second.ID {
		t.Error("a factor begun again keeps its id")
	}
	pending, err := Pending(s.read(), place{}, ann, "session", s.now)
	if err != nil || pending.Factor != second || pending.Secret != key(rfcSecret) || pending.LastUsedStep != 0 ||
		second != (Factor{ID: second.ID, UserID: ann, Kind: TOTP, Name: "Tablet", CreatedAt: s.now}) {
		t.Errorf("%+v, %v, want %+v", pending, err, second)
	}
	// Nobody else sees it, and nobody for ever.
	if _, err := Pending(s.read(), place{}, ann, "another session", s.now); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("another session is shown the secret: %v", err)
	}
	if _, err := Pending(s.read(), place{}, ann, "session", s.now.Add(PendingLifetime)); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("it waits for ever: %v", err)
	}
	if verified, err := Verified(s.read(), place{}, ann); err != nil || len(verified) != 0 || s.spendTOTP(ann, codeAt(t, 1_000_000)) {
		t.Errorf("a pending factor counts: %v, %v", verified, err)
	}
	if s.accept(first.ID, 1_000_000) {
		t.Error("the factor that was replaced is accepted")
	}
	began := s.now
	s.now = s.now.Add(time.Minute)
	if !s.accept(second.ID, 1_000_000) {
		t.Fatal("the first code is not accepted")
	}
	verified, err := Verified(s.read(), place{}, ann)
	if err != nil || len(verified) != 1 {
		t.Fatalf("%d factors, %v", len(verified), err)
	}
	if f := verified[0]; f.ID != second.ID || !f.CreatedAt.Equal(began) || f.VerifiedAt == nil || !f.VerifiedAt.Equal(s.now) ||
		f.LastUsedAt == nil || !f.LastUsedAt.Equal(s.now) || f.LastUsedStep != 1_000_000 {
		t.Errorf("%+v", f)
	}
	if _, err := Pending(s.read(), place{}, ann, "session", s.now); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("it still waits: %v", err)
	}
	if others, err := Verified(s.read(), place{}, bob); err != nil || len(others) != 0 {
		t.Errorf("another user has it too: %v, %v", others, err)
	}
}

// TestBeginKeepsWhatCounts: a new enrollment does not touch a verified factor,
// and a later use does not touch the time of its verification.
func TestBeginKeepsWhatCounts(t *testing.T) {
	s := open(t)
	phone := s.begin(ann, "Phone")
	s.accept(phone.ID, 5)
	verifiedAt := s.now
	s.begin(ann, "Tablet")
	s.now = s.now.Add(time.Hour)
	s.accept(phone.ID, 6)
	verified, err := Verified(s.read(), place{}, ann)
	if err != nil || len(verified) != 1 || verified[0].ID != phone.ID || !verified[0].VerifiedAt.Equal(verifiedAt) || !verified[0].LastUsedAt.Equal(s.now) {
		t.Errorf("%+v, %v", verified, err)
	}
}

func TestAcceptGoesForwardOnly(t *testing.T) {
	s := open(t)
	f := s.begin(ann, "Phone")
	for _, c := range []struct {
		step int64
		want bool
	}{{10, true}, {10, false}, {9, false}, {11, true}, {10, false}} {
		if got := s.accept(f.ID, c.step); got != c.want {
			t.Errorf("step %d: %t", c.step, got)
		}
	}
	if s.accept("no-such-factor", 100) {
		t.Error("an unknown factor is accepted")
	}
}

func TestMovedSecretDoesNotOpen(t *testing.T) {
	s := open(t)
	for userID, step := range map[string]int64{ann: 1, bob: 1} {
		s.accept(s.begin(userID, "Phone").ID, step)
	}
	s.write(func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE mfa_factors SET secret_ciphertext = (SELECT secret_ciphertext FROM mfa_factors WHERE user_id = $1) WHERE user_id = $2", bob, ann)
		return err
	})
	if _, err := Verified(s.read(), place{}, ann); !errors.Is(err, errMoved) {
		t.Errorf("a secret that was moved opens: %v", err)
	}
	err := s.db.Write(context.Background(), func(tx *db.Tx) error {
		_, err := SpendTOTP(tx, place{}, ann, codeAt(t, 1_000_000))
		return err
	})
	if !errors.Is(err, errMoved) {
		t.Errorf("a code is checked against it: %v", err)
	}
}

func TestSpendTOTP(t *testing.T) {
	s := open(t)
	s.accept(s.begin(ann, "Phone").ID, 1)
	now := s.now.Unix() / period
	for _, c := range []struct {
		name, user, code string
		want             bool
	}{
		{"too old", ann, codeAt(t, now-2), false},
		{"no code", ann, "", false},
		{"another user", bob, codeAt(t, now), false},
		{"good", ann, codeAt(t, now), true},
		{"again", ann, codeAt(t, now), false},
		{"an older one after it", ann, codeAt(t, now-1), false},
		{"the next", ann, codeAt(t, now+1), true},
	} {
		if got := s.spendTOTP(c.user, c.code); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	s.now = s.now.Add(-time.Hour)
	if s.spendTOTP(ann, codeAt(t, s.now.Unix()/period)) {
		t.Error("a code is taken after the clock went back behind the last one")
	}
}

// TestSpendTOTPKnowsEveryApp: of several apps each one's code is good, and
// using one up leaves the others.
func TestSpendTOTPKnowsEveryApp(t *testing.T) {
	s := open(t)
	s.accept(s.begin(ann, "Phone").ID, 1)
	s.accept(s.begin(ann, "Tablet").ID, 1)
	for n, want := range []bool{true, true, false} { // both have one secret
		if got := s.spendTOTP(ann, codeAt(t, s.now.Unix()/period)); got != want {
			t.Errorf("use %d: %t", n, got)
		}
	}
}

// race counts for how many of twenty callers at once do succeeded.
func (s *store) race(do func(tx *db.Tx) (bool, error)) int {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		good int
	)
	for range 20 {
		wg.Go(func() {
			var ok bool
			if err := s.db.Write(context.Background(), func(tx *db.Tx) (err error) {
				ok, err = do(tx)
				return err
			}); err != nil {
				s.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ok {
				good++
			}
		})
	}
	wg.Wait()
	return good
}

func TestOneOfManySpendsACode(t *testing.T) {
	s := open(t)
	s.accept(s.begin(ann, "Phone").ID, 1)
	code := codeAt(t, s.now.Unix()/period)
	if n := s.race(func(tx *db.Tx) (bool, error) { return SpendTOTP(tx, place{}, ann, code) }); n != 1 {
		t.Errorf("%d callers used one code", n)
	}
	codes := s.replace(ann)
	if n := s.race(func(tx *db.Tx) (bool, error) { return SpendBackupCode(tx, ann, codes[0].Reveal()) }); n != 1 {
		t.Errorf("%d callers used one backup code", n)
	}
	if left, err := BackupCodesLeft(s.read(), ann); err != nil || left != 9 {
		t.Errorf("%d left, %v", left, err)
	}
}

// replace gives a user ten fresh backup codes.
func (s *store) replace(userID string) []secret.Text {
	s.Helper()
	codes, err := NewBackupCodes(rand.Reader)
	if err != nil {
		s.Fatal(err)
	}
	s.write(func(tx *db.Tx) error { return ReplaceBackupCodes(tx, userID, codes) })
	return codes
}

func TestSpendBackupCode(t *testing.T) {
	s := open(t)
	older, others := s.replace(ann), s.replace(bob)
	codes := s.replace(ann)
	for _, c := range []struct {
		name, user, code string
		want             bool
	}{
		{"of the set before", ann, older[0].Reveal(), false},
		{"of another user", ann, others[0].Reveal(), false},
		{"no code", ann, "", false},
		{"grouped", ann, GroupBackupCode(codes[0]), true},
		{"again", ann, codes[0].Reveal(), false},
		{"another", ann, codes[9].Reveal(), true},
		{"the other user's own", bob, others[0].Reveal(), true},
	} {
		if got := s.spendBackup(c.user, c.code); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	for userID, want := range map[string]int{ann: 8, bob: 9, "nobody": 0} {
		if left, err := BackupCodesLeft(s.read(), userID); err != nil || left != want {
			t.Errorf("%s has %d left, want %d (%v)", userID, left, want, err)
		}
	}
	var readable int
	if err := s.read().QueryRow("SELECT COUNT(*) FROM backup_codes WHERE code_hash = $1", []byte(codes[1].Reveal())).Scan(&readable); err != nil || readable != 0 {
		t.Errorf("a code is stored as it is: %v", err)
	}
	if _, err := NewBackupCodes(io.LimitReader(rand.Reader, 100)); err == nil {
		t.Error("codes of less than 120 bits are drawn")
	}
}

func TestCountFailure(t *testing.T) {
	const window = 15 * time.Minute
	s := open(t)
	if f, err := Budget(s.read(), ann); err != nil || f.Count != 0 || f.Wait(s.now, 1, window) != 0 {
		t.Errorf("at first: %+v, %v", f, err)
	}
	opened := s.now
	for _, c := range []struct {
		name  string
		at    time.Duration
		count int64
		since time.Duration
	}{
		{"the first", 0, 1, 0},
		{"another", time.Minute, 2, 0},
		{"one in the last moment", window - time.Microsecond, 3, 0},
		{"one when the window has ended", window, 1, window},
		{"another in the new one", window + time.Second, 2, window},
	} {
		s.now = opened.Add(c.at)
		s.write(func(tx *db.Tx) error { return CountFailure(tx, ann, window) })
		if f, err := Budget(s.read(), ann); err != nil || f.Count != c.count || !f.Since.Equal(opened.Add(c.since)) {
			t.Errorf("%s: %+v, %v", c.name, f, err)
		}
	}
	if f, err := Budget(s.read(), bob); err != nil || f.Count != 0 {
		t.Errorf("another account pays for it: %+v, %v", f, err)
	}
	if _, err := Budget(s.read(), "nobody"); err == nil {
		t.Error("nobody has a budget")
	}
}
