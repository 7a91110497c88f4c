package mail_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"patronus.internal/dashboard/security/mail"
)

// now is what the clock of every Sender here says.
var now = time.Date(2026, time.March, 4, 5, 6, 7, 0, time.FixedZone("", 3600))

const (
	user     = "ann@example.org"
	password = "p:a/s#s w%rd@"
	userinfo = "ann%40example.org:p%3Aa%2Fs%23s%20w%25rd%40@"
)

// envelope is what a server took.
type envelope struct {
	from, to, data string
	user           string // who signed in, if anyone
	encrypted      bool
	utf8           bool
}

// server is an SMTP server in this process.
type server struct {
	address                   string
	rcptErr, dataErr, mailErr error
	mechanisms                []string // of AUTH, default PLAIN

	mu       sync.Mutex
	taken    []envelope
	attempts int // of AUTH
	mails    int // MAIL commands
}

// start starts a server that change has set up.
func start(t *testing.T, s *server, change func(*smtp.Server)) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	engine := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s, conn: c}, nil
	}))
	engine.AllowInsecureAuth = true
	engine.EnableSMTPUTF8 = true
	engine.ErrorLog = log.New(io.Discard, "", 0)
	if change != nil {
		change(engine)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = engine.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = engine.Close()
		_ = listener.Close() // an engine that was closed before it began to serve does not know it
		<-done
	})
	return s
}

// only returns the one message that was taken.
func (s *server) only(t *testing.T) envelope {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.taken) != 1 {
		t.Fatalf("the server took %d messages", len(s.taken))
	}
	return s.taken[0]
}

// untouched fails the test if the server saw a password or a sender.
func (s *server) untouched(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.attempts != 0 || s.mails != 0 || len(s.taken) != 0 {
		t.Errorf("the server saw %d passwords, %d senders, %d messages", s.attempts, s.mails, len(s.taken))
	}
}

type session struct {
	server *server
	conn   *smtp.Conn
	now    envelope
	user   string
}

func (s *session) AuthMechanisms() []string {
	if s.server.mechanisms != nil {
		return s.server.mechanisms
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(mechanism string) (sasl.Server, error) {
	check := func(name, word string) error {
		s.server.mu.Lock()
		defer s.server.mu.Unlock()
		s.server.attempts++
		if name != user || word != password {
			return smtp.ErrAuthFailed
		}
		s.user = name
		return nil
	}
	if mechanism == "LOGIN" {
		return &login{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, name, word string) error { return check(name, word) }), nil
}

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.mails++
	_, encrypted := s.conn.TLSConnectionState()
	s.now = envelope{from: from, user: s.user, encrypted: encrypted, utf8: o.UTF8}
	return s.server.mailErr
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.now.to = to
	return s.server.rcptErr
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.server.dataErr != nil {
		return s.server.dataErr
	}
	s.now.data = string(data)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.taken = append(s.server.taken, s.now)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

// login is the server's side of AUTH LOGIN, which go-sasl left out.
type login struct {
	answers []string
	check   func(name, word string) error
}

func (l *login) Next(response []byte) (challenge []byte, done bool, err error) {
	if response != nil {
		l.answers = append(l.answers, string(response))
	}
	if len(l.answers) == 2 {
		return nil, true, l.check(l.answers[0], l.answers[1])
	}
	return []byte([]string{"Username:", "Password:"}[len(l.answers)]), false, nil
}

// script starts a server that does with each connection what talk does.
func script(t *testing.T, talk func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				talk(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	return listener.Addr().String()
}

// certificate makes a key pair that only pool trusts.
func certificate(t *testing.T, names ...string) (config *tls.Config, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IsCA: true, BasicConstraintsValid: true,
	}
	if slices.Contains(names, "127.0.0.1") {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// sender returns a Sender of the URL that connects to address.
func sender(t *testing.T, smtpURL, address string, o mail.Options) *mail.Sender {
	t.Helper()
	settings, err := mail.ParseSettings(smtpURL, "Wächter <no-reply@example.org>")
	if err != nil {
		t.Fatal(err)
	}
	o.Now = func() time.Time { return now }
	s, err := mail.NewSender(settings, o)
	if err != nil {
		t.Fatal(err)
	}
	s.DialTo(address)
	return s
}
