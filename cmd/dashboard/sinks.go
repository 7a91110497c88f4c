package main

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/outbound"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/syslog"
	"patronus.internal/dashboard/security/webhook"
)

// sinks are where the log is pushed, as far as that is known before the data
// folder is opened.
type sinks struct {
	syslog  *syslog.Settings // nil: nowhere
	webhook *webhook.Settings
	secret  secret.Text // of the webhook; empty: that of the installation
	dialer  *net.Dialer
	roots   *x509.CertPool // nil: the system's
}

// sinks reads and checks the settings about the log's way out.
func (s *Settings) sinks() (found sinks, err error) {
	if s.SyslogURL != "" {
		parsed, err := syslog.ParseSettings(s.SyslogURL)
		if err != nil {
			return sinks{}, usagef("--syslog-url: %v", err)
		}
		if err := s.checkSink("--syslog-url", parsed.Host()); err != nil {
			return sinks{}, err
		}
		found.syslog = &parsed
	}
	if s.WebhookURL != "" {
		parsed, err := webhook.ParseSettings(s.WebhookURL, s.AllowPrivateSinks)
		if err != nil {
			return sinks{}, usagef("--webhook-url: %v", err)
		}
		if err := s.checkSink("--webhook-url", parsed.Host()); err != nil {
			return sinks{}, err
		}
		found.webhook = &parsed
	}
	if found.webhook == nil && s.WebhookSecretFile != "" {
		return sinks{}, usagef("--webhook-secret-file needs --webhook-url")
	}
	if found.secret, err = s.secretFile(); err != nil {
		return sinks{}, err
	}
	found.dialer = outbound.Dialer(s.AllowPrivateSinks)
	found.roots, err = s.sinkRoots()
	return found, err
}

// checkSink refuses at the start what would be refused with each message.
func (s *Settings) checkSink(flag, host string) error {
	err := outbound.CheckHost(host, s.AllowPrivateSinks)
	if errors.Is(err, outbound.ErrPrivate) {
		return usagef("%s: %v. If that is meant, say --allow-private-sinks", flag, err)
	}
	if err != nil {
		return usagef("%s: %v", flag, err)
	}
	return nil
}

// sinkRoots is whom receivers' certificates may come from: nil for whom the
// system trusts, to whom --sink-ca adds.
func (s *Settings) sinkRoots() (*x509.CertPool, error) {
	if s.SinkCA == "" {
		return nil, nil
	}
	text, err := os.ReadFile(s.SinkCA)
	if err != nil {
		return nil, usagef("--sink-ca cannot be read: %v", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a system without any
	}
	if !pool.AppendCertsFromPEM(text) {
		return nil, usagef("--sink-ca %s holds no certificate (PEM)", s.SinkCA)
	}
	return pool, nil
}

// maxSecretFile bounds what is read of a webhook secret, in bytes: the longest
// has 94.
const maxSecretFile = 256

// secretFile reads the secret that batches are signed with; it is empty without
// such a file.
func (s *Settings) secretFile() (secret.Text, error) {
	if s.WebhookSecretFile == "" {
		return secret.Text{}, nil
	}
	file, err := os.Open(s.WebhookSecretFile)
	if err != nil {
		return secret.Text{}, usagef("--webhook-secret-file cannot be read: %v", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxSecretFile))
	if err != nil {
		return secret.Text{}, usagef("--webhook-secret-file cannot be read: %v", err)
	}
	text := secret.NewText(strings.TrimSpace(string(raw)))
	if err := webhook.CheckSecret(text); err != nil {
		return secret.Text{}, usagef("--webhook-secret-file: %v", err)
	}
	return text, nil
}

// webhookSecret is that of the file or, without one, a secret of the
// installation's own.
func webhookSecret(fromFile secret.Text, service *security.Service) secret.Text {
	if fromFile.Empty() {
		return webhook.NewSecret(service.MAC("webhook_secret"))
	}
	return fromFile
}

// open makes the sinks.
func (f sinks) open(service *security.Service) ([]security.Sink, error) {
	var opened []security.Sink
	if f.syslog != nil {
		opened = append(opened, syslog.NewSender(*f.syslog, syslog.Options{Dialer: f.dialer, RootCAs: f.roots}))
	}
	if f.webhook != nil {
		sender, err := webhook.NewSender(*f.webhook, webhook.Options{Dialer: f.dialer, Secret: webhookSecret(f.secret, service), RootCAs: f.roots})
		if err != nil {
			return nil, err
		}
		opened = append(opened, sender)
	}
	return opened, nil
}
