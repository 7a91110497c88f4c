package handlers

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Site is the public URL, taken apart once: which hosts and origins are our
// own, and whether browsers reach us over https. It is immutable.
type Site struct {
	origin   string // "scheme://host[:port]" as browsers write it, without a default port
	hostname string // lower case, without port and brackets
	https    bool
	loopback bool
}

// NewSite reads a public URL such as "https://dash.example.org". It must be
// http or https with a host and no path, query, fragment or user.
func NewSite(publicURL string) (Site, error) {
	u, err := url.Parse(publicURL)
	if err != nil {
		return Site{}, fmt.Errorf("public URL: %w", err)
	}
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if scheme != "http" && scheme != "https" {
		return Site{}, fmt.Errorf("public URL %q must begin with http:// or https://", u.Redacted())
	}
	if u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return Site{}, fmt.Errorf("public URL %q must be a scheme and a host, without path, query or user", u.Redacted())
	}
	s := Site{hostname: strings.ToLower(u.Hostname()), https: scheme == "https"}
	s.loopback = isLoopbackName(s.hostname)
	if (s.https && port == "443") || (!s.https && port == "80") {
		port = ""
	}
	host := s.hostname
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	s.origin = scheme + "://" + host
	return s, nil
}

// Origin is the public URL as an Origin header shows it (RFC 6454 §6.2).
func (s Site) Origin() string { return s.origin }

// HTTPS reports whether browsers reach us over https: cookies are then Secure
// and carry the __Host- prefix.
func (s Site) HTTPS() bool { return s.https }

// servesHost reports whether a Host header (or the authority of an
// absolute-form target, which net/http puts in the same place) names us. The
// port is not compared: a proxy may drop it, and a name rebound to our
// address by DNS keeps the attacker's name whatever the port.
func (s Site) servesHost(host string) bool {
	name := hostnameOf(host)
	if name == "" {
		return false
	}
	return name == s.hostname || (s.loopback && isLoopbackName(name))
}

// ownOrigin reports whether an Origin header, not "null", is our own. Where
// the public URL is on loopback, its other names count too, provided the page
// came from the very host and port that it now talks to: another program on
// another port of this machine is another site.
func (s Site) ownOrigin(origin string, r *http.Request) bool {
	if origin == s.origin {
		return true
	}
	if !s.loopback || !isLoopbackName(hostnameOf(r.Host)) {
		return false
	}
	scheme, _, _ := strings.Cut(s.origin, "://")
	return origin == scheme+"://"+strings.ToLower(r.Host)
}

// hostnameOf drops the port and the brackets of a Host header and lowers its
// case. What is no host becomes "".
func hostnameOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return strings.ToLower(name)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if !ok {
			return ""
		}
		return strings.ToLower(inner)
	}
	if strings.Contains(host, ":") {
		return ""
	}
	return strings.ToLower(host)
}

// isLoopbackName reports whether a host name can only mean this machine
// (RFC 6761 §6.3, RFC 1122 §3.2.1.3, RFC 4291 §2.5.3).
func isLoopbackName(name string) bool {
	if name == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.Unmap().IsLoopback()
}
