package security_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/mail"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
)

// ask requests a reset and delivers it.
func ask(t *testing.T, s *security.Service) {
	t.Helper()
	if err := s.RequestPasswordReset(context.Background(), security.Request{}, email); err != nil {
		t.Fatal(err)
	}
	if err := s.DeliverDue(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func token(t *testing.T, text string) secret.Text {
	t.Helper()
	found := link.FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no link in:\n%s", text)
	}
	return secret.NewText(found[1])
}

// TestALinkThatAnAdminMadeOutlivesTheRetries: while the mail server is away, a
// retry does not end the link that was handed over instead.
func TestALinkThatAnAdminMadeOutlivesTheRetries(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	p, sender := openPost(t)
	s := securitytest.BesideWithMail(t, e.clock, e.dataDir, sender)
	p.answer(&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come back later"})
	ask(t, s)
	nonce, err := s.Nonce(ctx, e.caller, "users.reset_link", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.ResetLink(ctx, e.caller, nonce, e.caller.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	p.answer(nil)
	e.clock.Advance(time.Minute)
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	if mails := p.take(); len(mails) != 0 {
		t.Errorf("a second link was sent:\n%s", mails)
	}
	if _, err := s.CheckLink(ctx, token(t, made.Reveal())); err != nil {
		t.Errorf("the link of the admin: %v", err)
	}
}

// TestAnInvitationOutlivesAReset: whoever asks for a reset of an invited
// person does not take the invitation away.
func TestAnInvitationOutlivesAReset(t *testing.T) {
	clock := securitytest.NewClock()
	_, sender := openPost(t)
	s, _ := securitytest.OpenWithMail(t, clock, sender)
	_, invitation, err := s.AddUser(context.Background(), email, "user", secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	ask(t, s)
	if _, err := s.CheckLink(context.Background(), token(t, invitation)); err != nil {
		t.Errorf("%v", err)
	}
}

// TestAChangedPasswordEndsEveryLink: those that were sent, and those that wait.
func TestAChangedPasswordEndsEveryLink(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, _ := securitytest.OpenWithMail(t, clock, sender)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	ask(t, s)
	sent := token(t, p.take()[0])
	clock.Advance(time.Second)
	if err := s.RequestPasswordReset(ctx, security.Request{}, email); err != nil {
		t.Fatal(err)
	}
	if err := s.ChangePassword(ctx, identify(t, s, login(t, s)), secret.NewText(pw), secret.NewText("walnut gravel theorem 7")); err != nil {
		t.Fatal(err)
	}
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(p.take(), "\n"); link.MatchString(all) {
		t.Errorf("a link was sent after the change:\n%s", all)
	}
	if _, err := s.CheckLink(ctx, sent); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("a link from before: %v", err)
	}
}

// TestALogHoldsNoLink: also when the mail server quotes what it refuses.
func TestALogHoldsNoLink(t *testing.T) {
	ctx := context.Background()
	var log bytes.Buffer
	quoting := mailerFunc(func(_ context.Context, m mail.Message) error { return fmt.Errorf("554 blocked: %s", m.Body) })
	s, err := security.Open(ctx, security.Options{DataDir: filepath.Join(t.TempDir(), "data"), PublicURL: &url.URL{Scheme: "https", Host: "dashboard.example.org"},
		Hashing: securitytest.CheapHashing, Mail: quoting, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	ask(t, s)
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "token=[hidden]") {
		t.Errorf("the log is:\n%s", text)
	}
}

type mailerFunc func(context.Context, mail.Message) error

// Send implements security.Mailer.
func (f mailerFunc) Send(ctx context.Context, m mail.Message) error { return f(ctx, m) }

// TestWhatWasSentAtTheEndIsNotSentAgain: the program is told to end while the
// mail server takes a message.
func TestWhatWasSentAtTheEndIsNotSentAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	sent := 0
	ending := mailerFunc(func(context.Context, mail.Message) error { sent++; cancel(); return nil })
	clock := securitytest.NewClock()
	s, dir := securitytest.OpenWithMail(t, clock, ending)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPasswordReset(ctx, security.Request{}, email); err != nil {
		t.Fatal(err)
	}
	_ = s.DeliverDue(ctx) // ends with the context
	clock.Advance(10 * time.Minute)
	if err := securitytest.BesideWithMail(t, clock, dir, ending).DeliverDue(context.Background()); err != nil || sent != 1 {
		t.Errorf("it was sent %d times, %v", sent, err)
	}
}

// TestNothingHoldsUpTheMailBehindIt: not a message that this program cannot
// write, and not a flood of requests for addresses that are nobody's.
func TestNothingHoldsUpTheMailBehindIt(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, dir := securitytest.OpenWithMail(t, clock, sender)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	outside := (&enrolled{dataDir: dir}).outside(t)
	for i := range 3000 {
		if err := s.RequestPasswordReset(ctx, security.Request{}, fmt.Sprintf("nobody%d@example.org", i)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := outside.Exec("UPDATE outbox SET kind = 'of another version', recipient = $1, details = '{' WHERE id = (SELECT MIN(id) FROM outbox)", email); err != nil {
		t.Fatal(err)
	}
	ask(t, s)
	if mails := p.take(); len(mails) != 1 {
		t.Errorf("%d mails came", len(mails))
	}
	var waiting, failed, dropped int
	err := outside.QueryRow("SELECT SUM(done_at_us IS NULL), SUM(outcome = 'failed'), SUM(outcome = 'dropped') FROM outbox").Scan(&waiting, &failed, &dropped)
	if err != nil || waiting != 0 || failed != 1 || dropped != 2999 {
		t.Errorf("%d wait, %d failed, %d were dropped, %v", waiting, failed, dropped, err)
	}
	clock.Advance(25 * time.Hour)
	if err := s.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	var left int
	if err := outside.QueryRow("SELECT COUNT(*) FROM outbox").Scan(&left); err != nil || left > 2600 {
		t.Errorf("%d rows are kept, %v", left, err)
	}
}

// TestARemovedFactorIsTold, and a disabled user gets no link.
func TestARemovedFactorIsTold(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	p, sender := openPost(t)
	s := securitytest.BesideWithMail(t, e.clock, e.dataDir, sender)
	uma, _, err := s.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	disable(t, e.dataDir, "uma@example.org")
	nonce, err := s.Nonce(ctx, e.caller, "users.reset_link", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ResetLink(ctx, e.caller, nonce, uma.ID); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("a link for a disabled user: %v", err)
	}
	nonce, err = s.Nonce(ctx, e.caller, "mfa.disable", security.Proof{Password: secret.NewText(pw), Code: e.backup[1].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DisableMFA(ctx, e.caller, nonce); err != nil {
		t.Fatal(err)
	}
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	if all := strings.Join(p.take(), "\n"); !strings.Contains(all, "Subject: Your second factor was removed") {
		t.Errorf("the mails are:\n%s", all)
	}
}
