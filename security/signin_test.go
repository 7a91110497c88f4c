package security_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// TestSessionCap: a sign-in beyond the policy's cap ends the session that was
// unused for longest, and says so.
func TestSessionCap(t *testing.T) {
	clock := securitytest.NewClock()
	s, _ := securitytest.Open(t, clock)
	if _, _, err := s.AddUser(context.Background(), email, "viewer", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	limit := int(s.Policy().Sessions.MaxPerUser)
	var tokens []security.Tokens
	for range limit + 1 {
		clock.Advance(time.Second)
		issued, err := s.Tokens(login(t, s))
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, issued)
	}
	if _, err := s.IdentifyBearer(context.Background(), security.Request{}, tokens[0].Access); !secerr.Is(err, secerr.TokenRevoked) {
		t.Errorf("the oldest session lives: %v", err)
	}
	for i, issued := range tokens[1:] {
		if _, err := s.IdentifyBearer(context.Background(), security.Request{}, issued.Access); err != nil {
			t.Errorf("session %d of %d: %v", i+2, limit+1, err)
		}
	}
}

// TestUnknownUserCostsTheSame counts hashes: whoever asks cannot tell a known
// address from an unknown one by the work that it takes.
func TestUnknownUserCostsTheSame(t *testing.T) {
	s, dir := securitytest.Open(t, securitytest.NewClock())
	for _, add := range []string{email, "disabled@example.org", "no-password@example.org"} {
		given := secret.NewText(pw)
		if add == "no-password@example.org" {
			given = secret.Text{}
		}
		if _, _, err := s.AddUser(context.Background(), add, "user", given); err != nil {
			t.Fatal(err)
		}
	}
	try := func(address string) int64 {
		before := s.PasswordHashes()
		_, err := s.Login(context.Background(), security.Request{}, session.API, address, secret.NewText("wrong"))
		if !secerr.Is(err, secerr.InvalidCredentials) {
			t.Errorf("%s: %v", address, err)
		}
		return s.PasswordHashes() - before
	}
	disable(t, dir, "disabled@example.org")
	for _, address := range []string{"unknown@example.org", email, "disabled@example.org", "no-password@example.org"} {
		if n := try(address); n != 1 {
			t.Errorf("%s costs %d hashes", address, n)
		}
	}
}

// disable does what no method does yet.
func disable(t *testing.T, dir, address string) {
	t.Helper()
	if err := securitytest.Beside(t, securitytest.NewClock(), dir).DisableUser(context.Background(), address); err != nil {
		t.Fatal(err)
	}
}

// TestDisabledUsersAreNobody: whatever they held before is dead at once.
func TestDisabledUsersAreNobody(t *testing.T) {
	ctx := context.Background()
	s, dir := securitytest.Open(t, securitytest.NewClock())
	if _, _, err := s.AddUser(ctx, email, "viewer", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in := login(t, s)
	tokens, err := s.Tokens(in)
	if err != nil {
		t.Fatal(err)
	}
	browser, err := s.Login(ctx, security.Request{}, session.Browser, email, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := s.CreateKey(ctx, identify(t, s, in), security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	disable(t, dir, email)
	for name, use := range map[string]func() error{
		"password": func() error {
			_, err := s.Login(ctx, security.Request{}, session.API, email, secret.NewText(pw))
			return err
		},
		"access token":  func() error { _, err := s.IdentifyBearer(ctx, security.Request{}, tokens.Access); return err },
		"refresh token": func() error { _, err := s.Refresh(ctx, security.Request{}, tokens.Refresh); return err },
		"cookie":        func() error { _, err := s.IdentifyCookie(ctx, security.Request{}, browser.Secret); return err },
		"API key":       func() error { _, err := s.IdentifyBearer(ctx, security.Request{}, key); return err },
	} {
		switch err := use(); secerr.CodeOf(err) {
		case secerr.InvalidCredentials, secerr.Unauthenticated, secerr.TokenRevoked:
		default:
			t.Errorf("the %s: %v", name, err)
		}
	}
}

// TestLongPasswordsAreNotHashed: what cannot be a password is refused before
// it costs anything.
func TestLongPasswordsAreNotHashed(t *testing.T) {
	s, _ := securitytest.Open(t, securitytest.NewClock())
	for _, long := range []string{strings.Repeat("a", 129), strings.Repeat("a", 1<<20), "a\x00b"} {
		_, err := s.Login(context.Background(), security.Request{}, session.API, email, secret.NewText(long))
		if !secerr.Is(err, secerr.ValidationFailed) || s.PasswordHashes() != 0 {
			t.Errorf("%d bytes: %v, %d hashes", len(long), err, s.PasswordHashes())
		}
	}
}
