package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificates gives the certificate of the files and reads them again when
// they change, so that a renewal needs no restart. It is safe for concurrent
// use.
type certificates struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	changed [2]time.Time
	warned  [2]time.Time // the state of the files that a warning was about
}

// certificates returns nil when TLS is not set.
func (s *Settings) certificates(log *slog.Logger) (*certificates, error) {
	if s.TLSCert == "" {
		return nil, nil
	}
	c := &certificates{certFile: s.TLSCert, keyFile: s.TLSKey, log: log}
	if _, err := c.get(nil); err != nil {
		return nil, usagef("--tls-cert and --tls-key cannot be used: %v", err)
	}
	return c, nil
}

// config speaks TLS 1.2 and newer (BCP 195).
func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"http/1.1"}}
}

// get implements tls.Config.GetCertificate. Files that do not fit together, as
// in the middle of a renewal, leave the last good pair in use.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var changed [2]time.Time
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return c.lastGood(changed, err)
		}
		changed[i] = info.ModTime()
	}
	if c.current != nil && changed == c.changed {
		return c.current, nil
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return c.lastGood(changed, err)
	}
	c.current, c.changed = &pair, changed
	return c.current, nil
}

// lastGood warns once for each state of the files.
func (c *certificates) lastGood(changed [2]time.Time, err error) (*tls.Certificate, error) {
	if c.current != nil {
		if c.warned != changed {
			c.warned = changed
			c.log.Warn("the new certificate cannot be used; the one from before still is", "error", err)
		}
		return c.current, nil
	}
	return nil, fmt.Errorf("read the certificate: %w", err)
}
