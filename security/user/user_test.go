package user

import (
	"context"
	"crypto/rand"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// store is a database and a clock that is set by hand.
type store struct {
	*testing.T
	db  *db.DB
	now time.Time // set between writes only
}

func open(t *testing.T) *store {
	t.Helper()
	s := &store{T: t, now: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)}
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
	return s
}

func (s *store) read() db.Reader { return s.db.Read(context.Background()) }

func (s *store) try(change func(*db.Tx) error) error {
	return s.db.Write(context.Background(), change)
}

func (s *store) write(change func(*db.Tx) error) {
	s.Helper()
	if err := s.try(change); err != nil {
		s.Fatal(err)
	}
}

func (s *store) create(email, hash string) (u User) {
	s.Helper()
	s.write(func(tx *db.Tx) (err error) {
		u, err = Create(tx, email, "viewer", secret.NewText(hash))
		return err
	})
	return u
}

func (s *store) disable(id string) {
	s.Helper()
	s.write(func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE users SET enabled = 0 WHERE id = $1", id)
		return err
	})
}

func TestCreateAndFind(t *testing.T) {
	s := open(t)
	if any, err := Any(s.read()); err != nil || any {
		t.Errorf("somebody is there: %t, %v", any, err)
	}
	made := s.create("ann@example.org", "a-hash")
	if made != (User{ID: made.ID, Email: "ann@example.org", Role: "viewer", Enabled: true, PasswordHash: secret.NewText("a-hash"), CreatedAt: s.now}) || made.ID == "" {
		t.Errorf("%+v", made)
	}
	for name, find := range map[string]func() (User, error){
		"by id":      func() (User, error) { return ByID(s.read(), made.ID) },
		"by address": func() (User, error) { return ByEmail(s.read(), "ann@example.org") },
	} {
		if got, err := find(); err != nil || got != made {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, made)
		}
	}
	if _, err := ByID(s.read(), "ann@example.org"); !secerr.Is(err, secerr.NotFound) {
		t.Error(err)
	}
	if _, err := ByEmail(s.read(), made.ID); !secerr.Is(err, secerr.NotFound) {
		t.Error(err)
	}
	if any, err := Any(s.read()); err != nil || !any {
		t.Errorf("nobody is there: %t, %v", any, err)
	}
}

func TestCreateRefuses(t *testing.T) {
	s := open(t)
	s.create("ann@example.org", "")
	for _, c := range []struct {
		email, role string
		want        secerr.Code
	}{{"ann@example.org", "admin", secerr.Conflict}, {"bob@example.org", "emperor", secerr.Internal}} {
		err := s.try(func(tx *db.Tx) error {
			_, err := Create(tx, c.email, c.role, secret.Text{})
			return err
		})
		if !secerr.Is(err, c.want) {
			t.Errorf("%s, %s: %v", c.email, c.role, err)
		}
	}
	if users, _, err := List(s.read(), Filter{}); err != nil || len(users) != 1 || users[0].Role != "viewer" {
		t.Errorf("%+v, %v", users, err)
	}
}

func TestList(t *testing.T) {
	s := open(t)
	var ids []string
	for _, name := range []string{"e", "d", "c", "b", "a"} {
		ids = append(ids, s.create(name+"@example.org", "").ID)
		s.now = s.now.Add(time.Second)
	}
	for _, c := range []struct {
		name   string
		filter Filter
		want   []string
		next   string
	}{
		{"all", Filter{}, ids, ""},
		{"the first page", Filter{Limit: 2}, ids[:2], ids[1]},
		{"the next", Filter{Limit: 2, After: ids[1]}, ids[2:4], ids[3]},
		{"the last", Filter{Limit: 2, After: ids[3]}, ids[4:], ""},
		{"exactly all", Filter{Limit: 5}, ids, ""},
		{"behind the last", Filter{Limit: 5, After: ids[4]}, nil, ""},
		{"the rest", Filter{After: ids[2]}, ids[3:], ""},
		{"an address", Filter{Email: "c@example.org", Limit: 1}, ids[2:3], ""},
		{"an address and no limit", Filter{Email: "c@example.org"}, ids[2:3], ""},
		{"an address before", Filter{Email: "c@example.org", After: ids[2], Limit: 1}, nil, ""},
		{"part of an address", Filter{Email: "c@", Limit: 1}, nil, ""},
	} {
		users, next, err := List(s.read(), c.filter)
		var got []string
		for _, u := range users {
			got = append(got, u.ID)
		}
		if err != nil || strings.Join(got, " ") != strings.Join(c.want, " ") || next != c.next {
			t.Errorf("%s: %v and then %q, want %v and %q (%v)", c.name, got, next, c.want, c.next, err)
		}
	}
}

// set replaces a user's password, as long as the account is as u has it.
func (s *store) set(u User, hash string, history int64) error {
	return s.try(func(tx *db.Tx) error { return SetPassword(tx, u, secret.NewText(hash), history) })
}

func TestSetPassword(t *testing.T) {
	s := open(t)
	ann, bob := s.create("ann@example.org", ""), s.create("bob@example.org", "bobs")
	if !ann.PasswordHash.Empty() {
		t.Error("she has a password before she set one")
	}
	if err := s.set(ann, "anns", 5); err != nil {
		t.Fatal(err)
	}
	s.disable(bob.ID)
	for name, u := range map[string]User{"changed in the meantime": ann, "disabled": bob, "nobody": {ID: "nobody"}} {
		if err := s.set(u, "new", 5); !secerr.Is(err, secerr.Conflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for id, want := range map[string]string{ann.ID: "anns", bob.ID: "bobs"} {
		if u, err := ByID(s.read(), id); err != nil || u.PasswordHash.Reveal() != want {
			t.Errorf("the hash is %q, want %q (%v)", u.PasswordHash.Reveal(), want, err)
		}
		if past := s.past(id, 5); past != "" {
			t.Errorf("a refusal leaves %q in the history", past)
		}
	}
}

// past is the history of a user, newest first.
func (s *store) past(userID string, limit int64) string {
	s.Helper()
	past, err := PastPasswords(s.read(), userID, limit)
	if err != nil {
		s.Fatal(err)
	}
	var hashes []string
	for _, hash := range past {
		hashes = append(hashes, hash.Reveal())
	}
	return strings.Join(hashes, " ")
}

func TestPastPasswords(t *testing.T) {
	s := open(t)
	other := s.create("bob@example.org", "bobs")
	if err := s.set(other, "bobs-second", 5); err != nil {
		t.Fatal(err)
	}
	ann := s.create("ann@example.org", "")
	for _, c := range []struct {
		hash string
		keep int64
		want string
	}{{"a", 3, ""}, {"b", 3, "a"}, {"c", 3, "b a"}, {"d", 3, "c b a"}, {"e", 3, "d c b"}, {"f", 1, "e"}, {"g", 0, ""}, {"h", 2, "g"}} {
		if err := s.set(ann, c.hash, c.keep); err != nil {
			t.Fatal(err)
		}
		ann.PasswordHash = secret.NewText(c.hash)
		if got := s.past(ann.ID, 10); got != c.want {
			t.Errorf("after %s, of which %d are kept: %q, want %q", c.hash, c.keep, got, c.want)
		}
	}
	if got := s.past(other.ID, 10); got != "bobs" {
		t.Errorf("the other user's history is %q", got)
	}
	if err := s.set(ann, "i", 2); err != nil || s.past(ann.ID, 1) != "h" {
		t.Errorf("the newest one is %q, %v", s.past(ann.ID, 1), err)
	}
}

// TestSignedIn: between the check of a password and the note of the sign-in
// the password can change and the account can be disabled.
func TestSignedIn(t *testing.T) {
	s := open(t)
	signedIn := func(u User) error { return s.try(func(tx *db.Tx) error { return SignedIn(tx, u) }) }
	checked := s.create("ann@example.org", "old")
	s.now = s.now.Add(time.Hour)
	if err := signedIn(checked); err != nil {
		t.Fatal(err)
	}
	after, err := ByID(s.read(), checked.ID)
	if err != nil || after.LastLoginAt == nil || !after.LastLoginAt.Equal(s.now) {
		t.Errorf("%+v, %v", after, err)
	}
	if err := s.set(checked, "new", 0); err != nil {
		t.Fatal(err)
	}
	if err := signedIn(checked); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("with the password of before: %v", err)
	}
	checked.PasswordHash = secret.NewText("new")
	s.disable(checked.ID)
	if err := signedIn(checked); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("disabled: %v", err)
	}
	if err := signedIn(s.create("bob@example.org", "")); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("without a password: %v", err)
	}
}

// TestRehash: the same password under new parameters is no new password, so
// the history does not know of it; a password that changed in the meantime
// stays.
func TestRehash(t *testing.T) {
	s := open(t)
	rehash := func(u User, hash string) error {
		return s.try(func(tx *db.Tx) error { return Rehash(tx, u, secret.NewText(hash)) })
	}
	ann, bob := s.create("ann@example.org", "weak"), s.create("bob@example.org", "bobs")
	for _, hash := range []string{"strong", "late"} {
		if err := rehash(ann, hash); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]string{ann.ID: "strong", bob.ID: "bobs"} {
		if u, err := ByID(s.read(), id); err != nil || u.PasswordHash.Reveal() != want || s.past(id, 5) != "" {
			t.Errorf("the hash is %q, want %q, and before %q (%v)", u.PasswordHash.Reveal(), want, s.past(id, 5), err)
		}
	}
}

func TestMFAEnabledTellsOfVerifiedFactors(t *testing.T) {
	s := open(t)
	ann := s.create("ann@example.org", "")
	s.create("bob@example.org", "")
	enabled := func(email string) bool {
		u, err := ByEmail(s.read(), email)
		if err != nil {
			t.Fatal(err)
		}
		return u.MFAEnabled
	}
	s.write(func(tx *db.Tx) error {
		_, err := tx.Exec("INSERT INTO mfa_factors (id, user_id, kind, name, secret_ciphertext, created_at_us) VALUES ('f', $1, 'totp', 'Phone', x'00', 0)", ann.ID)
		return err
	})
	if enabled("ann@example.org") {
		t.Error("a pending factor counts")
	}
	s.write(func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE mfa_factors SET verified_at_us = 1")
		return err
	})
	if !enabled("ann@example.org") || enabled("bob@example.org") {
		t.Error("a verified factor does not count for its owner alone")
	}
}

func (s *store) link(userID string, lifetime time.Duration) (token secret.Text) {
	s.Helper()
	s.write(func(tx *db.Tx) (err error) {
		token, err = IssueLink(tx, rand.Reader, Link{UserID: userID, Purpose: Invite, Lifetime: lifetime})
		return err
	})
	return token
}
