// Package mail sends messages by SMTP. It tries once; who calls decides when
// to try again.
package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail/smtp"
)

// dialTimeout bounds name resolution, TCP and the handshake of smtps://. A
// server that is there answers in a fraction of it.
const dialTimeout = 10 * time.Second

// defaultTimeout bounds a whole Send. RFC 5321 §4.5.3.2 allows minutes, for
// servers that think about each message; a submission server that needs half
// a minute is out of order, and the message will be tried again.
const defaultTimeout = 30 * time.Second

// Options is what a Sender is made with besides its Settings.
type Options struct {
	Now     func() time.Time // default time.Now
	Rand    io.Reader        // for Message-IDs, default crypto/rand
	Timeout time.Duration    // of a whole Send, default 30 s
	RootCAs *x509.CertPool   // that the server's certificate may come from, default the system's
}

// Sender sends messages, each over a connection of its own. It is safe for
// concurrent use.
type Sender struct {
	settings Settings
	now      func() time.Time
	random   io.Reader
	timeout  time.Duration
	tls      *tls.Config
	hostname string
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewSender returns a Sender. It connects to nothing yet. It returns an error
// for Settings that ParseSettings did not make.
func NewSender(settings Settings, o Options) (*Sender, error) {
	if settings.host == "" {
		return nil, errors.New("mail: there are no settings")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "" // the address of the connection does as well
	}
	return &Sender{
		settings: settings, now: o.Now, random: o.Rand, timeout: o.Timeout, hostname: hostname,
		// RFC 9325 §3.1.1: nothing below TLS 1.2.
		tls:  &tls.Config{ServerName: settings.host, MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		dial: new(net.Dialer).DialContext,
	}, nil
}

// Send delivers one message to the server, which takes it from there, or says
// why not. It ends with ctx, and in any case after Options.Timeout; then the
// error wraps ctx.Err() or context.DeadlineExceeded. Permanent tells which
// errors would only come again. When the connection breaks just before the
// server's last answer, the message may have been taken in spite of the error.
func (s *Sender) Send(ctx context.Context, m Message) error {
	written, err := s.compose(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return s.failed(ctx, connecting, err)
	}
	// The library does not close a connection on which something failed, and
	// knows no context once it has one.
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	client, at, err := s.begin(conn)
	if err != nil {
		return s.failed(ctx, at, err)
	}
	if at, err = s.hand(client, m.To, written); err != nil {
		return s.failed(ctx, at, err)
	}
	// The message is the server's now. That it does not say goodbye must not
	// make anyone send it again.
	_ = client.Quit()
	return nil
}

// connect returns a connection on which the server speaks first.
func (s *Sender) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := s.dial(ctx, "tcp", net.JoinHostPort(s.settings.host, s.settings.port))
	if err != nil || s.settings.protection != implicitTLS {
		return conn, err
	}
	private := tls.Client(conn, s.tls)
	if err := private.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return private, nil
}

// begin says hello, makes the connection private and signs in.
func (s *Sender) begin(conn net.Conn) (*smtp.Client, stage, error) {
	client, err := smtp.NewClient(conn, s.settings.host)
	if err != nil {
		return nil, greeting, err
	}
	// All we send is ASCII. With SMTPUTF8 a later server that lacks it would
	// have to send the message back (RFC 6531 §3.2).
	client.SkipSMTPUTF8(true)
	if err := client.Hello(heloName(s.hostname, conn.LocalAddr())); err != nil {
		return nil, greeting, err
	}
	offered, _ := client.Extension("STARTTLS")
	upgrade, err := s.settings.protection.startTLS(offered)
	if err == nil && upgrade {
		err = client.StartTLS(s.tls)
	}
	if err != nil {
		return nil, securing, err
	}
	if s.settings.password.Empty() {
		return client, "", nil
	}
	auth, err := s.auth(client)
	if err == nil {
		err = client.Auth(auth)
	}
	if err != nil {
		return nil, signingIn, err
	}
	return client, "", nil
}

// auth chooses between the two mechanisms that every provider has one of. What
// keeps the password private is TLS.
func (s *Sender) auth(client *smtp.Client) (smtp.Auth, error) {
	_, offered := client.Extension("AUTH")
	mechanisms := strings.Fields(strings.ToUpper(offered))
	user, password, host := s.settings.user.Reveal(), s.settings.password.Reveal(), s.settings.host
	// ParseSettings refuses clear text to another machine already; the library
	// does so a second time.
	clear := isLoopback(host)
	switch {
	case slices.Contains(mechanisms, "PLAIN"):
		return smtp.PlainAuth("", user, password, host, clear), nil
	case slices.Contains(mechanisms, "LOGIN"):
		return smtp.LoginAuth(user, password, host, clear), nil
	default:
		return nil, errors.New("the server lets nobody sign in with a password here: it offers neither AUTH PLAIN nor AUTH LOGIN")
	}
}

// hand gives the message to the server.
func (s *Sender) hand(client *smtp.Client, to string, written []byte) (stage, error) {
	if err := client.Mail("<" + s.settings.from.Address + ">"); err != nil {
		return namingSender, err
	}
	if err := client.Rcpt("<" + to + ">"); err != nil {
		return namingRecipient, err
	}
	data, err := client.Data()
	if err != nil {
		return handingOver, err
	}
	// Without Close nothing marks the end, and the server forgets what it got.
	if _, err := data.Write(written); err != nil {
		return handingOver, err
	}
	return handingOver, data.Close()
}

// heloName is the name of this machine if it is a full one, else the address
// literal of RFC 5321 §4.1.1.1: servers refuse what a container is called.
func heloName(hostname string, local net.Addr) string {
	if strings.Contains(hostname, ".") && isHost(hostname) {
		return hostname
	}
	port, err := netip.ParseAddrPort(local.String())
	switch ip := port.Addr().Unmap().WithZone(""); {
	case err != nil:
		return "localhost"
	case ip.Is4():
		return "[" + ip.String() + "]"
	default:
		return "[IPv6:" + ip.String() + "]"
	}
}
