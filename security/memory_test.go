package security_test

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// TestOneServiceKnowsWhatAnotherChanged: two over one file, as a server and a
// command of the host are, or two servers.
func TestOneServiceKnowsWhatAnotherChanged(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	other := securitytest.Beside(t, e.clock, e.dataDir)
	in, err := other.Login(ctx, security.Request{}, session.API, email, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	in, err = other.SecondFactor(ctx, security.Request{}, session.API, in.Secret, "backup_code", e.backup[0].Reveal())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := other.Tokens(in)
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := other.CreateKey(ctx, identify(t, other, in), security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	there := func(bearer secret.Text) error {
		_, err := e.service.IdentifyBearer(ctx, security.Request{}, bearer)
		return err
	}
	if err := there(tokens.Access); err != nil {
		t.Fatal(err)
	}
	if err := there(key); err != nil {
		t.Fatal(err)
	}
	if err := other.Logout(ctx, identify(t, other, in)); err != nil {
		t.Fatal(err)
	}
	if err := there(tokens.Access); !secerr.Is(err, secerr.TokenRevoked) {
		t.Errorf("a token of an ended session: %v", err)
	}
	keys, _, err := other.ListUserKeys(ctx, e.caller, "", "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.RevokeKey(ctx, e.caller, keys[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := there(key); !secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("a revoked key: %v", err)
	}
	nonce, err := other.Nonce(ctx, e.caller, "policies.write", security.Proof{Password: secret.NewText(pw), Code: e.backup[1].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.ChangePolicy(ctx, e.caller, nonce, security.PolicyPatch{Patch: []byte(`{"audit":{"retention_days":30}}`)}); err != nil {
		t.Fatal(err)
	}
	if err := there(key); err == nil || e.service.Policy().Audit.RetentionDays != 30 {
		t.Errorf("the policy there keeps events for %d days", e.service.Policy().Audit.RetentionDays)
	}
	if _, err := other.RotateKeys(ctx, false); err != nil {
		t.Fatal(err)
	}
	// Each signs with the new key and reads what the other signed.
	identify(t, e.service, signInTwice(t, other, e, 2))
	identify(t, other, signInTwice(t, e.service, e, 3))
}

func signInTwice(t testing.TB, s *security.Service, e *enrolled, backup int) security.SignIn {
	t.Helper()
	in, err := s.SecondFactor(context.Background(), security.Request{}, session.API, login(t, s).Secret, "backup_code", e.backup[backup].Reveal())
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// TestNobodyIsLetInBlind: who cannot know what was revoked lets nobody in, not
// even whom it knows well.
func TestNobodyIsLetInBlind(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	_, key, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.service.IdentifyBearer(ctx, security.Request{}, key); err != nil {
		t.Fatal(err)
	}
	outside := e.outside(t)
	if _, err := outside.Exec("ALTER TABLE generation RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	if c, err := e.service.IdentifyBearer(ctx, security.Request{}, key); err == nil {
		t.Errorf("%s was let in", c.User.Email)
	}
	if _, err := e.service.IdentifyCookie(ctx, security.Request{}, secret.NewText("x")); secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("a cookie is held against nothing: %v", err)
	}
	if _, err := outside.Exec("ALTER TABLE elsewhere RENAME TO generation"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.service.IdentifyBearer(ctx, security.Request{}, key); err != nil {
		t.Errorf("it does not recover: %v", err)
	}
}

// TestTokensOfTheSameSecond: a password change kills the token from a moment
// before and not the one from a moment after, which is of the same second.
func TestTokensOfTheSameSecond(t *testing.T) {
	ctx := context.Background()
	s, _ := securitytest.Open(t, securitytest.NewClock())
	if _, _, err := s.AddUser(ctx, email, "viewer", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	own, other := login(t, s), login(t, s)
	before, err := s.Tokens(other)
	if err != nil {
		t.Fatal(err)
	}
	caller := identify(t, s, own)
	next := secret.NewText("walnut gravel theorem 7")
	if err := s.ChangePassword(ctx, caller, secret.NewText(pw), next); err != nil {
		t.Fatal(err)
	}
	if _, err := s.IdentifyBearer(ctx, security.Request{}, before.Access); !secerr.Is(err, secerr.TokenRevoked) {
		t.Errorf("the token from before: %v", err)
	}
	identify(t, s, own) // the session that changed it lives on
	after, err := s.Login(ctx, security.Request{}, session.API, email, next)
	if err != nil {
		t.Fatal(err)
	}
	identify(t, s, after)
}

// TestASignOutCountsForEveryRequestBehindIt: with a real clock, and others
// asking all the time, no request that begins behind the answer gets in.
func TestASignOutCountsForEveryRequestBehindIt(t *testing.T) {
	ctx := context.Background()
	s, err := security.Open(ctx, security.Options{DataDir: filepath.Join(t.TempDir(), "data"), PublicURL: &url.URL{Scheme: "https", Host: "dashboard.example.org"},
		Hashing: securitytest.CheapHashing, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if _, _, err := s.AddUser(ctx, email, "viewer", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		in, err := s.Login(ctx, security.Request{}, session.Browser, email, secret.NewText(pw))
		if err != nil {
			t.Fatal(err)
		}
		c, err := s.IdentifyCookie(ctx, security.Request{}, in.Secret)
		if err != nil {
			t.Fatal(err)
		}
		var over, late atomic.Bool
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for {
					behind := over.Load()
					_, err := s.IdentifyCookie(ctx, security.Request{}, in.Secret)
					if behind && err == nil {
						late.Store(true)
					}
					if behind {
						return
					}
				}
			})
		}
		if err := s.Logout(ctx, c); err != nil {
			t.Error(err)
		}
		over.Store(true)
		wg.Wait()
		if late.Load() {
			t.Fatal("a request behind the sign-out got in")
		}
	}
}

// BenchmarkIdentify is all that stands between a request and its handler: of a
// token its signature, its revocation, the state of its session and user; of a
// key its hash, its state and that of its owner, and its use.
func BenchmarkIdentify(b *testing.B) {
	ctx := context.Background()
	e := enrol(b, "admin")
	_, key, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := e.service.Tokens(signInTwice(b, e.service, e, 0))
	if err != nil {
		b.Fatal(err)
	}
	// A clock that stands still looks at the file each time; one that walks
	// a microsecond a request looks as a busy server does.
	for name, bearer := range map[string]secret.Text{"token": tokens.Access, "key": key} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.clock.Advance(time.Microsecond)
				if _, err := e.service.IdentifyBearer(ctx, security.Request{Route: "GET /x"}, bearer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
