package security_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// resetMFA resets the second factor of the admin and returns the token of the link.
func (e *enrolled) resetMFA(t *testing.T) secret.Text {
	t.Helper()
	link, err := e.service.ResetMFA(context.Background(), email)
	if err != nil {
		t.Fatal(err)
	}
	_, token, found := strings.Cut(link.Reveal(), "/login/enroll?token=")
	if !found {
		t.Fatal("the link leads elsewhere")
	}
	return secret.NewText(token)
}

// byLink uses a link after the password.
func (e *enrolled) byLink(t *testing.T, token secret.Text) (security.SignIn, error) {
	t.Helper()
	return e.service.EnrolByLink(context.Background(), security.Request{}, session.API, login(t, e.service).Secret, token)
}

// TestEnrolmentLinkReplacesALostFactor: after the password, once, and for nothing
// but a new factor, with which the old one goes.
func TestEnrolmentLinkReplacesALostFactor(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	token := e.resetMFA(t)
	if _, _, err := e.service.InviteUser(ctx, e.caller, "new@example.org", "user"); !secerr.Is(err, secerr.TokenRevoked) {
		t.Errorf("a session from before lives on: %v", err)
	}
	in, err := e.byLink(t, token)
	if err != nil || !in.EnrollmentRequired {
		t.Fatalf("it opens more than the enrolment: %t, %v", !in.EnrollmentRequired, err)
	}
	if _, err := e.byLink(t, token); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("it is good twice: %v", err)
	}
	c := identify(t, e.service, in)
	if !c.EnrollmentRequired {
		t.Error("the session is good for more than the enrolment")
	}
	begun, err := e.service.BeginTOTP(ctx, c, "")
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(begun.Secret.Reveal(), e.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	done, err := e.service.VerifyTOTP(ctx, c, code)
	if err != nil || done.SignIn.EnrollmentRequired {
		t.Fatalf("the new factor: %v", err)
	}
	state, err := e.service.MFA(ctx, identify(t, e.service, done.SignIn))
	if err != nil || len(state.Factors) != 1 || state.BackupCodesLeft != 10 {
		t.Errorf("%+v, %v", state, err)
	}
	e.clock.Advance(30 * time.Second)
	if _, err := e.service.SecondFactor(ctx, security.Request{}, session.API, login(t, e.service).Secret, "totp", e.code(t, 0)); !secerr.Is(err, secerr.InvalidCode) {
		t.Errorf("the old factor: %v", err)
	}
}

// TestEnrolmentLinkThatIsNotGood: replaced, too old, another's, or left over when
// the old factor was enough.
func TestEnrolmentLinkThatIsNotGood(t *testing.T) {
	ctx := context.Background()
	refused := func(e *enrolled, what string, token secret.Text) {
		t.Helper()
		if _, err := e.byLink(t, token); !secerr.Is(err, secerr.NotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	e := enrol(t, "admin")
	older := e.resetMFA(t)
	token := e.resetMFA(t)
	refused(e, "replaced", older)
	refused(e, "none", secret.Text{})
	refused(e, "its hash", secret.NewText(string(token.Hash())))
	e.clock.Advance(24 * time.Hour)
	refused(e, "expired", token)
	if _, err := e.service.CheckEnrolmentLink(ctx, token); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("expired, to look at: %v", err)
	}

	token = e.resetMFA(t)
	in, err := e.service.SecondFactor(ctx, security.Request{}, session.API, login(t, e.service).Secret, "backup_code", e.backup[0].Reveal())
	if err != nil {
		t.Fatal(err)
	}
	c := identify(t, e.service, in)
	begun, err := e.service.BeginTOTP(ctx, c, "")
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(begun.Secret.Reveal(), e.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.service.VerifyTOTP(ctx, c, code); err != nil {
		t.Fatal(err)
	}
	refused(e, "left over", token)

	// Without the password it is nothing, and a used one is nobody else's.
	token = e.resetMFA(t)
	for name, pending := range map[string]secret.Text{"no sign-in": {}, "a session": in.Secret} {
		if _, err := e.service.EnrolByLink(ctx, security.Request{}, session.API, pending, token); !secerr.Is(err, secerr.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := e.service.ResetMFA(ctx, "nobody@example.org"); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("an unknown user: %v", err)
	}
	if _, _, err := e.service.AddUser(ctx, "ivan@example.org", "user", secret.Text{}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.service.ResetMFA(ctx, "ivan@example.org"); !secerr.Is(err, secerr.Conflict) {
		t.Errorf("without a password: %v", err)
	}
	if _, _, err := e.service.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	if err := e.service.DisableUser(ctx, "uma@example.org"); err != nil {
		t.Fatal(err)
	}
	if _, err := e.service.ResetMFA(ctx, "uma@example.org"); !secerr.Is(err, secerr.Conflict) {
		t.Errorf("disabled: %v", err)
	}
}

// TestOneOfManyUsesAnEnrolmentLink: each after the password, at once.
func TestOneOfManyUsesAnEnrolmentLink(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	token := e.resetMFA(t)
	var pending []secret.Text
	for range 20 {
		pending = append(pending, login(t, e.service).Secret)
	}
	good := 0
	for _, err := range together(func(i int) error {
		_, err := e.service.EnrolByLink(ctx, security.Request{}, session.API, pending[i%len(pending)], token)
		return err
	}) {
		switch {
		case err == nil:
			good++
		case !secerr.Is(err, secerr.NotFound) && !secerr.Is(err, secerr.Unauthenticated):
			t.Error(err)
		}
	}
	if good != 1 {
		t.Errorf("%d used one link", good)
	}
}
