// Package syslog sends messages of the log to a syslog receiver: RFC 5424 over
// UDP (RFC 5426), TCP with counted octets (RFC 6587 §3.4.1) and TLS (RFC 5425).
//
// No receiver ever says that it has something. What TCP took may still be lost
// with the connection, so a Sender watches it and tells by Lost when it breaks;
// who calls sends again what was sent in the last minute. The kernel is told to
// give up what the other side has not taken for half of that.
package syslog

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"patronus.internal/dashboard/security/audit"
)

const (
	// sendTimeout bounds a whole Send, with a connection that may have to be made.
	sendTimeout = 15 * time.Second
	// takeTimeout is how long the kernel of the receiver may leave octets
	// unacknowledged before the connection counts as broken. It is half of what is
	// sent again, so that octets which nobody took are always among it.
	takeTimeout = 30 * time.Second
)

// Options is what a Sender is made with besides its Settings.
type Options struct {
	Dialer   *net.Dialer    // decides where it may connect
	Hostname string         // of this machine, for the messages; default os.Hostname
	RootCAs  *x509.CertPool // that the receiver's certificate may come from, default the system's
}

// Sender sends messages over one connection. One goroutine uses it.
type Sender struct {
	settings Settings
	hostname string
	dialer   *net.Dialer
	tls      *tls.Config
	link     *link // nil while there is no connection
}

// link is one connection.
type link struct {
	conn net.Conn
	gone chan struct{} // closed when the other side is gone
	err  error         // why; to be read when gone is closed
}

// NewSender returns a Sender. It connects to nothing yet.
func NewSender(settings Settings, o Options) *Sender {
	if o.Hostname == "" {
		// Without one the field says that it is not known (RFC 5424 §6.2.4).
		o.Hostname, _ = os.Hostname()
	}
	return &Sender{
		settings: settings, hostname: o.Hostname, dialer: o.Dialer,
		// RFC 9662: TLS 1.2 or newer.
		tls: &tls.Config{ServerName: settings.host, MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
	}
}

// Kind is "syslog".
func (s *Sender) Kind() string { return "syslog" }

// ID tells this receiver from others.
func (s *Sender) ID() string {
	sum := sha256.Sum256([]byte(s.settings.String()))
	return hex.EncodeToString(sum[:])
}

// String is the URL of the receiver.
func (s *Sender) String() string { return s.settings.String() }

// Confirms is false: no transport of syslog has an answer.
func (s *Sender) Confirms() bool { return false }

// Send hands messages over in order: all of them, or none is sure to arrive. It
// ends with ctx, and in any case after 15 s.
func (s *Sender) Send(ctx context.Context, messages []audit.Message) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	if s.link == nil {
		if err := s.connect(ctx); err != nil {
			return 0, fmt.Errorf("syslog: connect: %w", err)
		}
	}
	conn := s.link.conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := s.write(conn, messages)
	if !stop() {
		err = ctx.Err() // and conn is closed
	}
	if err != nil {
		s.drop()
		return 0, fmt.Errorf("syslog: send: %w", err)
	}
	return len(messages), nil
}

// write sends each message as a datagram, or all as one stream.
func (s *Sender) write(conn net.Conn, messages []audit.Message) error {
	var stream []byte
	for _, m := range messages {
		text := format(m, s.hostname)
		if s.settings.scheme == "udp" {
			if _, err := conn.Write(text); err != nil {
				return err
			}
			continue
		}
		stream = strconv.AppendInt(stream, int64(len(text)), 10)
		stream = append(append(stream, ' '), text...)
	}
	if stream == nil {
		return nil
	}
	_, err := conn.Write(stream)
	return err
}

func (s *Sender) connect(ctx context.Context) error {
	network := s.settings.scheme
	if network == "tls" {
		network = "tcp"
	}
	conn, err := s.dialer.DialContext(ctx, network, net.JoinHostPort(s.settings.host, s.settings.port))
	if err != nil {
		return err
	}
	if plain, ok := conn.(*net.TCPConn); ok {
		if err := setTakeTimeout(plain, takeTimeout); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	if s.settings.scheme == "tls" {
		private := tls.Client(conn, s.tls)
		if err := private.HandshakeContext(ctx); err != nil {
			conn.Close()
			return err
		}
		conn = private
	}
	s.link = &link{conn: conn, gone: make(chan struct{})}
	go s.link.watch()
	return nil
}

// watch reads until the connection ends, which is the only way to learn of it
// while nothing is sent. For UDP it ends when the host says that nobody listens.
// Receivers say nothing; what comes all the same is thrown away.
func (l *link) watch() {
	defer close(l.gone)
	ignored := make([]byte, 512)
	for {
		if _, l.err = l.conn.Read(ignored); l.err != nil {
			return
		}
	}
}

// Lost returns an error, once, when the connection has broken since the last
// Send: what was sent over it may not have arrived.
func (s *Sender) Lost() error {
	if s.link == nil {
		return nil
	}
	select {
	case <-s.link.gone:
	default:
		return nil
	}
	err := s.link.err
	s.drop()
	if errors.Is(err, io.EOF) {
		return errors.New("syslog: the receiver has closed the connection")
	}
	return fmt.Errorf("syslog: the connection is broken: %w", err)
}

// Close ends the connection, if there is one.
func (s *Sender) Close() error {
	if s.link != nil {
		s.drop()
	}
	return nil
}

// drop ends a connection that is of no more use; how well it closes does not
// matter.
func (s *Sender) drop() {
	_ = s.link.conn.Close()
	<-s.link.gone
	s.link = nil
}
