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

// TestWrongProofsAreBoundedUnderParallelGuesses: of twenty at once, five are
// told that they are wrong, and the right one behind them is told nothing.
func TestWrongProofsAreBoundedUnderParallelGuesses(t *testing.T) {
	ctx := context.Background()
	s, _ := securitytest.Open(t, securitytest.NewClock())
	if _, _, err := s.AddUser(ctx, email, "viewer", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	c := identify(t, s, login(t, s))
	told := 0
	for i, err := range together(func(i int) error {
		if i%2 == 0 {
			return s.ChangePassword(ctx, c, secret.NewText("wrong"), secret.NewText("x"))
		}
		_, err := s.Nonce(ctx, c, "mfa.disable", security.Proof{Password: secret.NewText("wrong")})
		return err
	}) {
		switch {
		case secerr.Is(err, secerr.InvalidCredentials):
			told++
		case !secerr.Is(err, secerr.TokenRevoked):
			t.Errorf("%d: %v", i, err)
		}
	}
	if told != 4 {
		t.Errorf("%d were told that they are wrong", told)
	}
	if err := s.ChangePassword(ctx, c, secret.NewText(pw), secret.NewText("x")); !secerr.Is(err, secerr.TokenRevoked) {
		t.Errorf("the right one behind them: %v", err)
	}
	if _, err := s.Nonce(ctx, c, "mfa.disable", security.Proof{Password: secret.NewText(pw)}); !secerr.Is(err, secerr.TokenRevoked) {
		t.Errorf("the right one behind them: %v", err)
	}
}

// TestASpentBudgetOfCodesIsNoWrongProof: others may have spent it, and the
// owner who comes with the right code keeps the session.
func TestASpentBudgetOfCodesIsNoWrongProof(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	for range 10 {
		_, err := e.service.SecondFactor(ctx, security.Request{}, session.API, login(t, e.service).Secret, "totp", "000000")
		if !secerr.Is(err, secerr.InvalidCode) {
			t.Fatal(err)
		}
	}
	for range 6 {
		_, err := e.service.Nonce(ctx, e.caller, "mfa.disable", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
		if !secerr.Is(err, secerr.RateLimited) {
			t.Fatalf("%v", err)
		}
	}
	e.clock.Advance(15 * time.Minute)
	if _, err := e.service.Nonce(ctx, e.caller, "mfa.disable", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()}); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestOneConfirmationOfManyAtOnce: one session takes the place of the old one.
func TestOneConfirmationOfManyAtOnce(t *testing.T) {
	ctx := context.Background()
	s, _ := securitytest.Open(t, securitytest.NewClock())
	if _, _, err := s.AddUser(ctx, email, "viewer", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in, err := s.Login(ctx, security.Request{}, session.Browser, email, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.IdentifyCookie(ctx, security.Request{}, in.Secret)
	if err != nil {
		t.Fatal(err)
	}
	cookies := make([]secret.Text, callers)
	one(t, together(func(i int) error {
		done, err := s.Confirm(ctx, c, "mfa.disable", security.Proof{Password: secret.NewText(pw)})
		cookies[i] = done.Cookie
		return err
	}), secerr.TokenRevoked)
	if _, err := s.IdentifyCookie(ctx, security.Request{}, in.Secret); !secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("the old cookie: %v", err)
	}
	for _, cookie := range cookies {
		if cookie.Empty() {
			continue
		}
		renewed, err := s.IdentifyCookie(ctx, security.Request{}, cookie)
		if err != nil || !renewed.Session.ExpiresAt.Equal(c.Session.ExpiresAt) || renewed.Session.ID == c.Session.ID {
			t.Errorf("%+v, %v", renewed.Session, err)
		}
	}
}

// TestKeysConfirmNothingPersonal: a key needs no proof, so it gets no nonce for
// what is its owner's alone.
func TestKeysConfirmNothingPersonal(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	_, token, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"users:write", "policies:write"}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := e.service.IdentifyBearer(ctx, security.Request{}, token)
	if err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"mfa.remove", "mfa.backup_codes", "mfa.disable", "api_key.all_scopes", "users.reset_link"} {
		if _, err := e.service.Nonce(ctx, key, action, security.Proof{}); !secerr.Is(err, secerr.InsufficientScope) {
			t.Errorf("%s: %v", action, err)
		}
	}
	if _, err := e.service.Nonce(ctx, key, "policies.write", security.Proof{}); err != nil {
		t.Errorf("what a key may do: %v", err)
	}
	if err := e.service.DisableMFA(ctx, key, secret.NewText("x")); !secerr.Is(err, secerr.InsufficientScope) {
		t.Errorf("%v", err)
	}
}

// TestANewFactorNeedsAFreshSignIn: whoever holds an older session of a user of
// whom a new factor is demanded does not enrol theirs.
func TestANewFactorNeedsAFreshSignIn(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	nonce, err := e.service.Nonce(ctx, e.caller, "admin.force_mfa_reenroll", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := e.service.ForceReenrollment(ctx, e.caller, nonce, ""); n != 1 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	c := identify(t, e.service, signInTwice(t, e.service, e, 1))
	if !c.EnrollmentRequired {
		t.Error("nothing is demanded")
	}
	e.clock.Advance(10 * time.Minute)
	if _, err := e.service.BeginTOTP(ctx, c, ""); err != nil {
		t.Errorf("a short while behind the sign-in: %v", err)
	}
	e.clock.Advance(6 * time.Minute)
	if _, err := e.service.BeginTOTP(ctx, c, ""); !secerr.Is(err, secerr.Forbidden) {
		t.Errorf("long behind it: %v", err)
	}
}

// TestTheLastAdminWhoCanSignInStays: one who was only invited does not count.
func TestTheLastAdminWhoCanSignInStays(t *testing.T) {
	ctx := context.Background()
	s, _ := securitytest.Open(t, securitytest.NewClock())
	if _, _, err := s.AddUser(ctx, email, "admin", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AddUser(ctx, "invited@example.org", "admin", secret.Text{}); err != nil {
		t.Fatal(err)
	}
	if err := s.DisableUser(ctx, email); !secerr.Is(err, secerr.Conflict) {
		t.Errorf("%v", err)
	}
	if _, _, err := s.AddUser(ctx, "other@example.org", "admin", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	if err := s.DisableUser(ctx, email); err != nil {
		t.Errorf("%v", err)
	}
	if err := s.DisableUser(ctx, "other@example.org"); !secerr.Is(err, secerr.Conflict) {
		t.Errorf("%v", err)
	}
}
