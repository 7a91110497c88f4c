package security

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security/password"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// TestStrongerHashingReachesOldPasswords: the first sign-in after the
// parameters have changed stores the password anew.
func TestStrongerHashingReachesOldPasswords(t *testing.T) {
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "data")
	pw := secret.NewText("plover kettle armistice 9")
	hashWith := func(memory uint32) (after string) {
		s, err := Open(ctx, Options{DataDir: dir, PublicURL: &url.URL{Scheme: "http", Host: "localhost"},
			Hashing: password.Options{Params: password.Params{Memory: memory, Iterations: 1, Parallelism: 1}}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
		}()
		if _, _, err := s.AddUser(ctx, "ann@example.org", "user", pw); err != nil && !secerr.Is(err, secerr.Conflict) {
			t.Fatal(err)
		}
		if _, err := s.Login(ctx, Request{}, session.API, "ann@example.org", pw); err != nil {
			t.Fatal(err)
		}
		if err := s.db.Read(ctx).QueryRow("SELECT password_hash FROM users").Scan(&after); err != nil {
			t.Fatal(err)
		}
		return after
	}
	weak := hashWith(8)
	strong := hashWith(16)
	if !strings.Contains(weak, "m=8,") || !strings.Contains(strong, "m=16,") {
		t.Errorf("%s became %s", weak, strong)
	}
	if again := hashWith(16); again != strong {
		t.Error("a hash of now was made anew")
	}
}

// TestSweepRemovesWhatIsLongOver: a session that ended goes with its spent
// tokens once nobody looks back at it; a live one stays.
func TestSweepRemovesWhatIsLongOver(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s, err := Open(ctx, Options{DataDir: filepath.Join(t.TempDir(), "data"), PublicURL: &url.URL{Scheme: "http", Host: "localhost"},
		Hashing: password.Options{Params: password.Params{Memory: 8, Iterations: 1, Parallelism: 1}},
		Now:     func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	const address = "ann@example.org"
	pw := secret.NewText("plover kettle armistice 9")
	if _, _, err := s.AddUser(ctx, address, "user", pw); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AddUser(ctx, "ivan@example.org", "user", secret.Text{}); err != nil {
		t.Fatal(err)
	}
	in, err := s.Login(ctx, Request{}, session.API, address, pw)
	if err != nil {
		t.Fatal(err)
	}
	if in, err = s.Refresh(ctx, Request{}, in.Secret); err != nil {
		t.Fatal(err)
	}
	left := func() (sessions, spent, links int) {
		err := s.db.Read(ctx).QueryRow(`SELECT (SELECT COUNT(*) FROM sessions), (SELECT COUNT(*) FROM spent_refresh_tokens),
			(SELECT COUNT(*) FROM password_links)`).Scan(&sessions, &spent, &links)
		if err != nil {
			t.Fatal(err)
		}
		return sessions, spent, links
	}
	for _, step := range []struct {
		later                  time.Duration
		sessions, spent, links int
	}{{0, 1, 1, 1}, {36 * 24 * time.Hour, 1, 1, 0}, {25 * time.Hour, 0, 0, 0}} {
		now = now.Add(step.later)
		if err := s.sweep(ctx); err != nil {
			t.Fatal(err)
		}
		if sessions, spent, links := left(); sessions != step.sessions || spent != step.spent || links != step.links {
			t.Errorf("%s later: %d sessions, %d spent tokens, %d links", step.later, sessions, spent, links)
		}
	}
}
