package security_test

import (
	"context"
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
	s, _ := securitytest.Open(t, securitytest.NewClock())
	for _, add := range []string{email, "no-password@example.org"} {
		given := secret.NewText(pw)
		if add != email {
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
	try("warm-up@example.org") // the hash that stands for unknown users is made once
	for _, address := range []string{email, "unknown@example.org", "no-password@example.org"} {
		if n := try(address); n != 1 {
			t.Errorf("%s costs %d hashes", address, n)
		}
	}
}
