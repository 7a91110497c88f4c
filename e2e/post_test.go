//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

// mailLimit bounds the wait for a mail. It is wide for a busy machine.
const mailLimit = 30 * time.Second

// post is a mail server of the test.
type post struct {
	t       *testing.T
	address string
	arrived chan letter
}

type letter struct{ to, subject, text string }

// openPost opens a mail server on a free port until the end of the test.
func openPost(t *testing.T) *post {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &post{t: t, address: listener.Addr().String(), arrived: make(chan letter, 32)}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &delivery{post: p}, nil }))
	server.Domain = "localhost"
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
	return p
}

// flags have a server send its mail here.
func (p *post) flags() []string {
	return []string{"--smtp-url", "smtp://" + p.address, "--mail-from", "patronus@example.org"}
}

// next waits for the next mail of all, which must be this one.
func (p *post) next(to, subject string) letter {
	p.t.Helper()
	select {
	case l := <-p.arrived:
		if l.to != to || l.subject != subject {
			p.t.Fatalf("a mail %q came to %s, want %q to %s\n%s", l.subject, l.to, subject, to, l.text)
		}
		return l
	case <-time.After(mailLimit):
		p.t.Fatalf("no mail %q came to %s", subject, to)
		return letter{}
	}
}

var resetLink = regexp.MustCompile(`http://localhost:\d+/reset-password\?token=\S+`)

// link is the link to a new password in a mail.
func (l letter) link(s *server) string {
	s.t.Helper()
	link := resetLink.FindString(l.text)
	_, token, _ := strings.Cut(link, "token=")
	if !strings.HasPrefix(link, s.url) || token == "" {
		s.t.Fatalf("no link to %s in\n%s", s.url, l.text)
	}
	s.keepsSecret("token of the mail", token)
	return link
}

// delivery is one connection to the mail server.
type delivery struct {
	post *post
	to   string
}

func (d *delivery) Reset()                                    {}
func (d *delivery) Logout() error                             { return nil }
func (d *delivery) Mail(string, *smtp.MailOptions) error      { return nil }
func (d *delivery) Rcpt(to string, _ *smtp.RcptOptions) error { d.to = to; return nil }

func (d *delivery) Data(r io.Reader) error {
	message, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	var body io.Reader = message.Body
	switch encoding := message.Header.Get("Content-Transfer-Encoding"); strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "", "7bit", "8bit":
	default:
		return fmt.Errorf("a mail in %s", encoding)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	d.post.arrived <- letter{d.to, message.Header.Get("Subject"), string(text)}
	return nil
}
