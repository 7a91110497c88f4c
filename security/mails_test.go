package security_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/mail"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// post is a real SMTP server in this process. refuse is what it answers to a
// message, nil to take it.
type post struct {
	mu     sync.Mutex
	refuse error
	mails  []string
}

func (p *post) NewSession(*smtp.Conn) (smtp.Session, error) { return &letter{post: p}, nil }

type letter struct {
	post *post
	to   string
}

func (l *letter) Reset()                                    {}
func (l *letter) Logout() error                             { return nil }
func (l *letter) Mail(string, *smtp.MailOptions) error      { return nil }
func (l *letter) Rcpt(to string, _ *smtp.RcptOptions) error { l.to = to; return nil }
func (l *letter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	l.post.mu.Lock()
	defer l.post.mu.Unlock()
	if l.post.refuse != nil {
		return l.post.refuse
	}
	l.post.mails = append(l.post.mails, "To: "+l.to+"\n"+strings.ReplaceAll(strings.ReplaceAll(string(text), "=\r\n", ""), "=3D", "="))
	return nil
}

func (p *post) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.mails
	p.mails = nil
	return taken
}

func (p *post) answer(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = err
}

// openPost starts the server and returns what sends to it.
func openPost(t *testing.T) (*post, *mail.Sender) {
	t.Helper()
	p := &post{}
	server := smtp.NewServer(p)
	server.Domain = "localhost"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		// A server that was closed before it began to serve does not know it.
		if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := <-served; err != nil && !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
	settings, err := mail.ParseSettings("smtp://"+listener.Addr().String(), "patronus@example.org")
	if err != nil {
		t.Fatal(err)
	}
	sender, err := mail.NewSender(settings, mail.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return p, sender
}

var link = regexp.MustCompile(`https://dashboard\.example\.org/reset-password\?token=([0-9a-f]{64})`)

// TestMailSurvivesFailuresAndRestarts: the mail server is away, the program
// ends, and the link comes all the same; no token lies in the file meanwhile.
func TestMailSurvivesFailuresAndRestarts(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, dir := securitytest.OpenWithMail(t, clock, sender)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{email, "nobody@example.org"} {
		if err := s.RequestPasswordReset(ctx, security.Request{}, address); err != nil {
			t.Fatal(err)
		}
	}
	p.answer(&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come back later"})
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"patronus.db", "patronus.db-wal"} {
		lies, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if bytes.Contains(lies, []byte("token=")) {
			t.Errorf("a link lies in %s", name)
		}
	}
	p.answer(nil)
	s = securitytest.BesideWithMail(t, clock, dir, sender)
	if err := s.DeliverDue(ctx); err != nil || len(p.take()) != 0 {
		t.Errorf("it was sent before it was due, %v", err)
	}
	clock.Advance(10 * time.Second)
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	mails := p.take()
	if len(mails) != 1 || !strings.HasPrefix(mails[0], "To: "+email) {
		t.Fatalf("%d mails came: %q", len(mails), mails)
	}
	found := link.FindStringSubmatch(mails[0])
	if found == nil {
		t.Fatalf("no link in:\n%s", mails[0])
	}
	if _, err := s.CheckLink(ctx, secret.NewText(found[1])); err != nil {
		t.Errorf("the link is not good: %v", err)
	}
	if err := s.DeliverDue(ctx); err != nil || len(p.take()) != 0 {
		t.Errorf("it came twice, %v", err)
	}
}

// TestMailThatIsRefusedForGood is not tried again, and neither is one that is
// too old.
func TestMailThatIsRefusedForGood(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, dir := securitytest.OpenWithMail(t, clock, sender)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	outcome := func() (outcome string, attempts int) {
		t.Helper()
		if err := (&enrolled{dataDir: dir}).outside(t).QueryRow("SELECT COALESCE(outcome, 'waits'), attempts FROM outbox ORDER BY id DESC LIMIT 1").Scan(&outcome, &attempts); err != nil {
			t.Fatal(err)
		}
		return outcome, attempts
	}
	request := func() {
		t.Helper()
		if err := s.RequestPasswordReset(ctx, security.Request{}, email); err != nil {
			t.Fatal(err)
		}
	}
	request()
	p.answer(&smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "never"})
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	if got, _ := outcome(); got != "failed" {
		t.Errorf("it %s", got)
	}
	p.answer(&smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "come back later"})
	clock.Advance(time.Second)
	request()
	for range 20 {
		if err := s.DeliverDue(ctx); err != nil {
			t.Fatal(err)
		}
		clock.Advance(10 * time.Minute)
	}
	if got, attempts := outcome(); got != "failed" || attempts < 3 || attempts > 8 {
		t.Errorf("it %s after %d attempts in an hour", got, attempts)
	}
	p.answer(nil)
	clock.Advance(24 * time.Hour)
	if err := s.DeliverDue(ctx); err != nil || len(p.take()) != 0 {
		t.Errorf("an old link was sent, %v", err)
	}
}

// TestOneDeliveryOfManyWorkers: several servers over one outbox send each
// message once.
func TestOneDeliveryOfManyWorkers(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, dir := securitytest.OpenWithMail(t, clock, sender)
	others := []*security.Service{s, securitytest.BesideWithMail(t, clock, dir, sender), securitytest.BesideWithMail(t, clock, dir, sender)}
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPasswordReset(ctx, security.Request{}, email); err != nil {
		t.Fatal(err)
	}
	for _, err := range together(func(i int) error { return others[i%len(others)].DeliverDue(ctx) }) {
		if err != nil {
			t.Error(err)
		}
	}
	if mails := p.take(); len(mails) != 1 {
		t.Errorf("%d mails came", len(mails))
	}
}

// TestWhatIsWritten: each notice reaches its reader, and nothing that a client
// said of itself becomes a link in it.
func TestWhatIsWritten(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, _ := securitytest.OpenWithMail(t, clock, sender)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in := login(t, s)
	c := identify(t, s, in)
	clock.Advance(time.Second)
	_, err := s.Login(ctx, security.Request{UserAgent: "https://evil.example/?x=1 now"}, session.API, email, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ChangePassword(ctx, c, secret.NewText(pw), secret.NewText("walnut gravel theorem 7")); err != nil {
		t.Fatal(err)
	}
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(p.take(), "\n")
	for _, want := range []string{"Subject: Sign-in from a new device", "Subject: Your password was changed", "Auto-Submitted: auto-generated"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in:\n%s", want, all)
		}
	}
	if strings.Contains(all, "evil.example") {
		t.Errorf("a link of somebody's is in:\n%s", all)
	}
}

// TestDisabledUsersGetNoLink: also when they were disabled while the mail
// waited.
func TestDisabledUsersGetNoLink(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, dir := securitytest.OpenWithMail(t, clock, sender)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	if err := s.RequestPasswordReset(ctx, security.Request{}, email); err != nil {
		t.Fatal(err)
	}
	disable(t, dir, email)
	if err := s.DeliverDue(ctx); err != nil || len(p.take()) != 0 {
		t.Errorf("a mail came, %v", err)
	}
	if err := s.RequestPasswordReset(ctx, security.Request{}, "not an address"); !secerr.Is(err, secerr.ValidationFailed) {
		t.Errorf("%v", err)
	}
}
