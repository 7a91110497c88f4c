package syslog

import (
	"errors"
	"net"
	"net/url"
	"strconv"
)

// Settings is where messages go. ParseSettings makes them.
type Settings struct {
	scheme     string // udp, tcp or tls
	host, port string // a name or an IP address, without brackets
}

// The ports that receivers listen on: RFC 5426 §3.3, for TCP by custom (RFC 6587
// §3.1), RFC 5425 §4.1.
var ports = map[string]string{"udp": "514", "tcp": "514", "tls": "6514"}

var (
	errURL    = errors.New("the syslog URL does not parse: write it like tls://logs.example.org:6514")
	errScheme = errors.New("the syslog URL must begin with udp://, tcp:// or tls://, for example tls://logs.example.org:6514")
	errHost   = errors.New("the syslog URL must name the receiver after the //, for example tls://logs.example.org:6514")
	errPort   = errors.New("the port in the syslog URL must be a number from 1 to 65535")
	errRest   = errors.New("the syslog URL is a scheme, a host and a port alone, for example tls://logs.example.org:6514")
)

// ParseSettings reads udp://host:port, tcp://host:port or tls://host:port. Without
// a port it is 514, for tls 6514. The errors are sentences for who wrote the
// URL.
func ParseSettings(syslogURL string) (Settings, error) {
	u, err := url.Parse(syslogURL)
	if err != nil {
		return Settings{}, errURL
	}
	port, known := ports[u.Scheme]
	switch {
	case !known:
		return Settings{}, errScheme
	case u.Hostname() == "":
		return Settings{}, errHost
	case u.User != nil, u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return Settings{}, errRest
	}
	if u.Port() != "" {
		number, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || number == 0 {
			return Settings{}, errPort
		}
		port = u.Port()
	}
	return Settings{scheme: u.Scheme, host: u.Hostname(), port: port}, nil
}

// Host is the name or address of the receiver.
func (s Settings) Host() string { return s.host }

// String is the URL with its port.
func (s Settings) String() string { return s.scheme + "://" + net.JoinHostPort(s.host, s.port) }
