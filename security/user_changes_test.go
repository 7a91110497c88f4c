package security_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// TestTwoAdminsWhoShutEachOtherOut: at once, over and over; one stays.
func TestTwoAdminsWhoShutEachOtherOut(t *testing.T) {
	ctx := context.Background()
	for range 5 {
		e := enrol(t, "admin")
		if _, _, err := e.service.AddUser(ctx, "ben@example.org", "admin", secret.NewText(pw)); err != nil {
			t.Fatal(err)
		}
		in, err := e.service.Login(ctx, security.Request{}, session.API, "ben@example.org", secret.NewText(pw))
		if err != nil {
			t.Fatal(err)
		}
		admins := []security.Caller{e.caller, identify(t, e.service, in)}
		for _, err := range together(func(i int) error {
			_, err := e.service.UpdateUser(ctx, admins[i%2], secret.Text{}, admins[(i+1)%2].User.ID, security.UserPatch{Enabled: new(bool)})
			return err
		}) {
			if err != nil && !secerr.Is(err, secerr.Conflict) && !secerr.Is(err, secerr.TokenRevoked) {
				t.Errorf("%v", err)
			}
		}
		left := 0
		users, _, err := e.service.Users(ctx, security.Caller{User: user.User{Role: "admin"}}, user.Filter{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			if u.Enabled {
				left++
			}
		}
		if left != 1 {
			t.Fatalf("%d admins are left", left)
		}
	}
}

// TestNobodyGivesARoleAboveTheirOwn to somebody new or known, themselves or
// another; the log tells who tried.
func TestNobodyGivesARoleAboveTheirOwn(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "operator")
	uma, _, err := e.service.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	admin := "admin"
	for name, change := range map[string]func() error{
		"somebody new": func() error { _, _, err := e.service.InviteUser(ctx, e.caller, "new@example.org", admin); return err },
		"another": func() error {
			_, err := e.service.UpdateUser(ctx, e.caller, secret.Text{}, uma.ID, security.UserPatch{Role: &admin})
			return err
		},
		"themselves": func() error {
			_, err := e.service.UpdateUser(ctx, e.caller, secret.Text{}, e.caller.User.ID, security.UserPatch{Role: &admin})
			return err
		},
	} {
		if err := change(); !secerr.Is(err, secerr.Forbidden) {
			t.Errorf("%s: %v", name, err)
		}
	}
	everything := security.Caller{User: user.User{Role: admin}}
	denied, _, err := e.service.Events(ctx, everything, audit.Filter{Type: audit.AuthorizationFailed, Limit: 10})
	if err != nil || len(denied) != 3 {
		t.Errorf("%d events tell of it, %v", len(denied), err)
	}
	users, _, err := e.service.Users(ctx, security.Caller{User: user.User{Role: "admin"}}, user.Filter{Limit: 10})
	if err != nil || len(users) != 2 || users[0].Role != "operator" || users[1].Role != "user" {
		t.Errorf("the users are %+v, %v", users, err)
	}
	if _, _, err := e.service.InviteUser(ctx, e.caller, "new@example.org", "operator"); err != nil {
		t.Errorf("their own role: %v", err)
	}
}

// TestInvitationInTheMail is made when it is sent, and not any more when the
// password was set on another way.
func TestInvitationInTheMail(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, _ := securitytest.OpenWithMail(t, clock, sender)
	e := &enrolled{service: s, clock: clock}
	if _, _, err := s.AddUser(ctx, email, "operator", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in, err := s.Login(ctx, security.Request{}, session.API, email, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	e.caller = identify(t, s, in)
	p.take()
	for _, address := range []string{"grace@example.org", "ivan@example.org"} {
		if _, link, err := s.InviteUser(ctx, e.caller, address, "user"); err != nil || !link.Empty() {
			t.Fatalf("the link is shown: %t, %v", !link.Empty(), err)
		}
	}
	// Ivan asks for a reset, and has set his password before the invitation is sent.
	p.answer(&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come back later"})
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	p.answer(nil)
	if err := s.RequestPasswordReset(ctx, security.Request{}, "ivan@example.org"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	mails := p.take()
	if len(mails) != 1 || !strings.HasPrefix(mails[0], "To: ivan@") {
		t.Fatalf("the mails are %q", mails)
	}
	token := secret.NewText(link.FindStringSubmatch(mails[0])[1])
	if err := s.SetPasswordByLink(ctx, security.Request{}, token, secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	p.take() // that Ivan's password was changed
	clock.Advance(10 * time.Second)
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	mails = p.take()
	if len(mails) != 1 || !strings.HasPrefix(mails[0], "To: grace@") || !strings.Contains(mails[0], "for 24 hours") {
		t.Fatalf("the mails are %q", mails)
	}
	clock.Advance(24*time.Hour - time.Second)
	token = secret.NewText(link.FindStringSubmatch(mails[0])[1])
	if err := s.SetPasswordByLink(ctx, security.Request{}, token, secret.NewText(pw)); err != nil {
		t.Error(err)
	}
}
