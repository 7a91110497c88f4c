package main

import (
	"errors"
	"io"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/rogpeppe/go-internal/testscript"
)

// postOffice is a real SMTP server in the test's process.
type postOffice chan string

// NewSession implements smtp.Backend.
func (p postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return &letter{office: p}, nil }

type letter struct {
	office postOffice
	to     string
}

func (l *letter) Reset()                                    {}
func (l *letter) Logout() error                             { return nil }
func (l *letter) Mail(string, *smtp.MailOptions) error      { return nil }
func (l *letter) Rcpt(to string, _ *smtp.RcptOptions) error { l.to = to; return nil }
func (l *letter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err == nil {
		l.office <- "To: " + l.to + "\n" + strings.ReplaceAll(strings.ReplaceAll(string(text), "=\r\n", ""), "=3D", "=")
	}
	return err
}

// cmdSMTP starts a mail server; sets $SMTP to its address.
func cmdSMTP(ts *testscript.TestScript, _ bool, _ []string) {
	office := make(postOffice, 10)
	mailServer := smtp.NewServer(office)
	mailServer.Domain = "localhost"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	served := make(chan error, 1)
	go func() { served <- mailServer.Serve(listener) }()
	ts.Defer(func() {
		ts.Check(mailServer.Close())
		// A server that was closed before it began to serve does not know it.
		if err := listener.Close(); !errors.Is(err, net.ErrClosed) {
			ts.Check(err)
		}
		if err := <-served; !errors.Is(err, smtp.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			ts.Check(err)
		}
	})
	ts.Value("server").(*server).office = office
	ts.Setenv("SMTP", listener.Addr().String())
}

// cmdMail waits for a mail and keeps what the first group matches as $NAME.
func cmdMail(ts *testscript.TestScript, _ bool, args []string) {
	select {
	case text := <-ts.Value("server").(*server).office:
		found := regexp.MustCompile(args[1]).FindStringSubmatch(text)
		if found == nil {
			ts.Fatalf("nothing matches in:\n%s", text)
		}
		ts.Setenv(args[0], found[1])
	case <-time.After(20 * time.Second): // a limit for a failure, not a wait
		ts.Fatalf("no mail came")
	}
}
