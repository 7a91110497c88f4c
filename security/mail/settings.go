package mail

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"patronus.internal/dashboard/security/secret"
)

// Settings is where mail goes and from whom it comes. ParseSettings makes
// them. Whatever the verb, they print as their String.
type Settings struct {
	host       string // a name or an IP address, without brackets
	port       string
	protection protection
	// Some providers give out one token as both name and password, so neither
	// is ever shown.
	user, password secret.Text
	from           mail.Address
}

// protection is how a connection is kept private. The zero value asks for most.
type protection int

const (
	startTLSRequired protection = iota
	startTLSIfOffered
	plainText
	implicitTLS
)

// Ports of RFC 8314 §3.3 and RFC 6409 §3.1.
const (
	portSubmission  = "587"
	portSubmissions = "465"
)

// What is said about a URL never quotes it: a password with a character that
// should have been escaped may turn up in any of its parts.
var (
	errURL         = errors.New("the SMTP URL does not parse: write it like smtp://user:password@mail.example.org:587, and each of the characters : / ? # [ ] @ % in the user or the password as its percent escape, for example %40 for @")
	errScheme      = errors.New("the SMTP URL must begin with smtp:// (STARTTLS) or smtps:// (TLS from the first byte)")
	errHost        = errors.New("the SMTP URL must name the mail server after the //: a name in ASCII letters (xn--… for others) or an IP address, an IPv6 address in brackets")
	errPort        = errors.New("the port in the SMTP URL must be a number from 1 to 65535")
	errPath        = errors.New("the SMTP URL must end after the host and the port; only ?tls=none may follow")
	errQuery       = errors.New("the SMTP URL may carry only ?tls=none, once, and only after smtp://")
	errCredentials = errors.New("the SMTP URL must name both a user and a password, or neither, without control characters")
	errClear       = errors.New("with tls=none the password would cross the network in clear text: leave tls=none away, or the user and the password")
	errFrom        = errors.New("the From address of mail must look like no-reply@example.org or Dashboard <no-reply@example.org>, in ASCII but for the name")
)

// ParseSettings reads where mail goes, and the address that it comes from:
//
//	smtp://user:password@host:port   STARTTLS, port 587 unless given
//	smtps://user:password@host:port  TLS from the first byte, port 465 unless given
//	smtp://host:port?tls=none        clear text
//
// User and password go together and may be left away. Without tls=none,
// smtp:// insists on STARTTLS, but for a host that is this machine: there it is
// used if it is offered. A password is never sent in clear text to another
// machine. The errors are sentences for who wrote the settings, and quote
// nothing of them.
func ParseSettings(smtpURL, from string) (Settings, error) {
	s, err := parseURL(smtpURL)
	if err != nil {
		return Settings{}, err
	}
	address, err := mail.ParseAddress(from)
	if err != nil || !isPlainAddress(address.Address) || hasControl(address.Name) {
		return Settings{}, errFrom
	}
	s.from = mail.Address{Name: squeeze(address.Name), Address: address.Address}
	return s, nil
}

func parseURL(smtpURL string) (Settings, error) {
	u, err := url.Parse(smtpURL)
	switch {
	case err != nil:
		return Settings{}, errURL
	case u.Scheme != "smtp" && u.Scheme != "smtps":
		return Settings{}, errScheme
	case !isHost(u.Hostname()):
		return Settings{}, errHost
	case u.Path != "" && u.Path != "/" || u.Fragment != "":
		return Settings{}, errPath
	}
	clear, err := parseQuery(u)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{host: u.Hostname(), port: u.Port(), protection: protectionOf(u.Scheme, u.Hostname(), clear)}
	switch number, err := strconv.ParseUint(s.port, 10, 16); {
	case s.port == "" && s.protection == implicitTLS:
		s.port = portSubmissions
	case s.port == "":
		s.port = portSubmission
	case err != nil || number == 0:
		return Settings{}, errPort
	}
	password, _ := u.User.Password()
	user := u.User.Username()
	switch {
	case (user == "") != (password == "") || hasControl(user+password):
		return Settings{}, errCredentials
	case password != "" && s.protection == plainText && !isLoopback(s.host):
		return Settings{}, errClear
	}
	s.user, s.password = secret.NewText(user), secret.NewText(password)
	return s, nil
}

// parseQuery reports whether clear text is asked for. Anything else in the
// query is refused: a setting that is ignored is worse than none.
func parseQuery(u *url.URL) (clear bool, err error) {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return false, errQuery
	}
	for name, values := range query {
		if name != "tls" || len(values) != 1 || values[0] != "none" || u.Scheme != "smtp" {
			return false, errQuery
		}
	}
	return len(query) > 0, nil
}

// protectionOf decides how a connection is kept private. Whoever can listen on
// the loopback interface is on this machine already.
func protectionOf(scheme, host string, clear bool) protection {
	switch {
	case scheme == "smtps":
		return implicitTLS
	case clear:
		return plainText
	case isLoopback(host):
		return startTLSIfOffered
	default:
		return startTLSRequired
	}
}

var errNoSTARTTLS = errors.New("the server does not offer STARTTLS, and without it the message could be read on the way")

// startTLS reports whether to send STARTTLS to a server that offers it or not.
// It returns an error where going on would mean clear text that was not asked
// for: whoever strips the offer on the way shall gain nothing (RFC 8314 §5.1).
func (p protection) startTLS(offered bool) (bool, error) {
	switch p {
	case implicitTLS, plainText:
		return false, nil
	case startTLSIfOffered:
		return offered, nil
	default:
		if !offered {
			return false, errNoSTARTTLS
		}
		return true, nil
	}
}

// String is the URL without user and password, for a log.
func (s Settings) String() string {
	scheme, query := "smtp", ""
	switch s.protection {
	case implicitTLS:
		scheme = "smtps"
	case plainText:
		query = "?tls=none"
	}
	return scheme + "://" + net.JoinHostPort(s.host, s.port) + query
}

// Format implements fmt.Formatter, so that no verb looks inside.
func (s Settings) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, s.String()) }

// domain is what follows the @ of the From address.
func (s Settings) domain() string {
	return s.from.Address[strings.LastIndexByte(s.from.Address, '@')+1:]
}

// isHost tells names and addresses from what url.Parse lets through besides.
func isHost(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Zone() == ""
	}
	return host != "" && strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-_") == "" && strings.Trim(host, ".-") != ""
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback() || strings.EqualFold(host, "localhost")
}
