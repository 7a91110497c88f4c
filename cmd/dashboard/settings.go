package main

import (
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/geo"
	"patronus.internal/dashboard/security/mail"
	"patronus.internal/dashboard/security/secret"
)

// publicURL is where people reach the dashboard: --public-url or, without it,
// the loopback name with the port that is served.
func (s *Settings) publicURL(listen string) (*url.URL, error) {
	raw := s.PublicURL
	if raw == "" {
		_, port, err := net.SplitHostPort(listen)
		if err != nil {
			return nil, usagef("--listen %q is not an address and a port, for example 127.0.0.1:8080", listen)
		}
		scheme := "http"
		if s.TLSCert != "" {
			scheme = "https"
		}
		raw = scheme + "://" + net.JoinHostPort("localhost", port)
	}
	u, err := url.Parse(strings.TrimSuffix(raw, "/"))
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, usagef("--public-url %q is not an http or https address, for example https://dashboard.example.org", raw)
	case u.Scheme == "http" && s.TLSCert != "":
		return nil, usagef("--public-url %q is http, and --tls-cert serves https: cookies would not be safe. Write it with https", raw)
	case u.Path != "":
		return nil, usagef("--public-url %q has a path; give the dashboard a host name of its own", raw)
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

func (s *Settings) trustedProxies() ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, raw := range s.TrustedProxies {
		network, err := netip.ParsePrefix(strings.TrimSpace(raw))
		if err != nil {
			return nil, usagef("--trusted-proxies: %q is not a network, for example 10.0.0.0/8 or 192.0.2.7/32", raw)
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// checkTransport refuses to carry passwords over a network in the clear.
func (s *Settings) checkTransport() error {
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return usagef("--tls-cert and --tls-key go together")
	}
	if s.TLSCert != "" || s.InsecureHTTP || len(s.TrustedProxies) > 0 {
		return nil
	}
	host, _, err := net.SplitHostPort(s.Listen)
	if err != nil {
		return usagef("--listen %q is not an address and a port, for example 127.0.0.1:8080", s.Listen)
	}
	if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && ip.IsLoopback() {
		return nil
	}
	return usagef("--listen %s would send passwords in the clear to whoever can reach it. Give --tls-cert and --tls-key, or put a reverse proxy in front and name it with --trusted-proxies, or say --insecure-http", s.Listen)
}

// mailer is nil when no mail is sent.
func (s *Settings) mailer() (security.Mailer, error) {
	if s.SMTPURL == "" && s.MailFrom == "" {
		return nil, nil
	}
	if s.SMTPURL == "" || s.MailFrom == "" {
		return nil, usagef("--smtp-url and --mail-from go together")
	}
	parsed, err := mail.ParseSettings(s.SMTPURL, s.MailFrom)
	if err != nil {
		return nil, usagef("%v", err)
	}
	return mail.NewSender(parsed, mail.Options{})
}

// places is nil without a GeoIP database.
func (s *Settings) places(log *slog.Logger) (security.Places, error) {
	if s.GeoIPDB == "" {
		return nil, nil
	}
	found, err := geo.Open(s.GeoIPDB, log)
	if err != nil {
		return nil, usagef("--geoip-db: %v", err)
	}
	return found, nil
}

// maxPasswordFile bounds what is read of a password from a file or a pipe, in
// bytes: twice what 128 characters of four bytes take.
const maxPasswordFile = 1024

// checkAdmin refuses one half of the first admin.
func (s *Settings) checkAdmin() error {
	if (s.AdminEmail == "") != (s.AdminPasswordFile == "") {
		return usagef("--admin-email and --admin-password-file go together")
	}
	return nil
}

// adminPassword reads the password of the first admin. The file may end with
// one line end, which is not part of it.
func (s *Settings) adminPassword() (secret.Text, error) {
	file, err := os.Open(s.AdminPasswordFile)
	if err != nil {
		return secret.Text{}, usagef("--admin-password-file cannot be read: %v", err)
	}
	defer file.Close()
	return readPassword(file)
}
