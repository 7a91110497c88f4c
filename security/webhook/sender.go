// Package webhook posts messages of the log to an HTTP server, in signed batches
// (Standard Webhooks, https://www.standardwebhooks.com). An answer 2xx is the
// receiver's word that it has them.
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secret"
)

const (
	// A batch has so many messages and bytes at most; one that is longer by itself
	// goes alone.
	maxMessages = 100
	maxBytes    = 512 << 10
	// timeout bounds a request with its answer. A receiver should store and answer,
	// and think later.
	timeout = 15 * time.Second
	// maxAnswer is how much of an answer is read, in bytes, so that the connection
	// can be used again. Nothing in it matters.
	maxAnswer = 4 << 10
)

// Options is what a Sender is made with besides its Settings.
type Options struct {
	Dialer  *net.Dialer      // decides where it may connect
	Secret  secret.Text      // see NewSecret
	RootCAs *x509.CertPool   // that the receiver's certificate may come from, default the system's
	Now     func() time.Time // default time.Now
}

// Sender posts batches. It is safe for concurrent use.
type Sender struct {
	settings  Settings
	now       func() time.Time
	key       *[]byte // behind an address, where package fmt does not look
	client    *http.Client
	transport *http.Transport
}

// NewSender returns a Sender. It connects to nothing yet. The error is ErrSecret.
func NewSender(settings Settings, o Options) (*Sender, error) {
	key, err := keyOf(o.Secret)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	transport := &http.Transport{
		// No proxy from the environment: it would resolve the name out of sight.
		DialContext:         o.Dialer.DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		ForceAttemptHTTP2:   true,
		TLSHandshakeTimeout: timeout,
		MaxIdleConns:        1, IdleConnTimeout: 30 * time.Second,
		MaxResponseHeaderBytes: 16 << 10,
		DisableCompression:     true, // what is not read need not be unpacked
	}
	return &Sender{
		settings: settings, now: o.Now, key: &key, transport: transport,
		client: &http.Client{
			Transport: transport, Timeout: timeout,
			// A redirect would lead to where nobody has decided to send.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Kind is "webhook".
func (s *Sender) Kind() string { return "webhook" }

// ID tells this receiver from others.
func (s *Sender) ID() string {
	sum := sha256.Sum256([]byte(s.settings.url.String()))
	return hex.EncodeToString(sum[:])
}

// String is the URL of the receiver without what may be secret in it.
func (s *Sender) String() string { return s.settings.String() }

// Confirms is true: the receiver answers.
func (s *Sender) Confirms() bool { return true }

// Lost is always nil: what was confirmed is not lost.
func (s *Sender) Lost() error { return nil }

// Close closes connections that are kept for the next batch.
func (s *Sender) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Send posts messages in order and returns how many the receiver has taken. It
// ends with ctx, and each request after 15 s in any case.
func (s *Sender) Send(ctx context.Context, messages []audit.Message) (taken int, err error) {
	for taken < len(messages) {
		body, n := batch(messages[taken:])
		if err := s.post(ctx, body); err != nil {
			return taken, err
		}
		taken += n
	}
	return taken, nil
}

// batch is the body of a request for the first n of some messages. A checkpoint of
// the log goes by itself, beside an empty list of events.
func batch(messages []audit.Message) (body []byte, n int) {
	const head, tail = `{"events":[`, `]}`
	if messages[0].Type == audit.CheckpointMessage {
		return fmt.Appendf(nil, `{"events":[],"checkpoint":%s}`, messages[0].JSON), 1
	}
	body = []byte(head)
	for n < min(len(messages), maxMessages) && messages[n].Type != audit.CheckpointMessage {
		text := messages[n].JSON
		if n > 0 {
			if len(body)+1+len(text)+len(tail) > maxBytes {
				break
			}
			body = append(body, ',')
		}
		body = append(body, text...)
		n++
	}
	return append(body, tail...), n
}

func (s *Sender) post(ctx context.Context, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.settings.url.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("webhook: %w", withoutURL(err))
	}
	// The id is that of the content: the same batch that is sent again has the same.
	sum := sha256.Sum256(body)
	id := "msg_" + hex.EncodeToString(sum[:16])
	sent := strconv.FormatInt(s.now().Unix(), 10)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "patronus")
	request.Header.Set("webhook-id", id)
	request.Header.Set("webhook-timestamp", sent)
	request.Header.Set("webhook-signature", sign(*s.key, id, sent, body))
	response, err := s.client.Do(request)
	if err != nil {
		return fmt.Errorf("webhook: %w", withoutURL(err))
	}
	defer response.Body.Close()
	// That the rest cannot be read costs a connection, nothing else.
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer)
	switch status := response.StatusCode; {
	case status/100 == 2:
		return nil
	case status/100 == 3:
		return fmt.Errorf("webhook: the receiver answers %d, a redirect, which is not followed: give the URL that it leads to", status)
	default:
		return fmt.Errorf("webhook: the receiver answers %d", status)
	}
}

// sign is the signature of a request: HMAC-SHA256 over id, time and body with
// dots between (Standard Webhooks, "Signature scheme").
func sign(key []byte, id, sent string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + sent + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// withoutURL takes the URL out of an error, which may hold a token.
func withoutURL(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
