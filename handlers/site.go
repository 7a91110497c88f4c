package handlers

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// site is the public URL, taken apart once: which hosts and origins are our
// own, and whether browsers reach us over https. It is immutable.
type site struct {
	origin   string // "scheme://host[:port]" as an Origin header shows it (RFC 6454 §6.2)
	hostname string // lower case, without port and brackets
	https    bool
	loopback bool
}

// siteOf takes apart a public URL, http or https with a host.
func siteOf(public *url.URL) site {
	scheme, port := strings.ToLower(public.Scheme), public.Port()
	s := site{hostname: strings.ToLower(public.Hostname()), https: scheme == "https"}
	s.loopback = isLoopbackName(s.hostname)
	// Browsers leave the default port out.
	if (s.https && port == "443") || (!s.https && port == "80") {
		port = ""
	}
	s.origin = scheme + "://" + s.hostname
	if strings.Contains(s.hostname, ":") {
		s.origin = scheme + "://[" + s.hostname + "]"
	}
	if port != "" {
		s.origin += ":" + port
	}
	return s
}

// servesHost reports whether a Host header (or the authority of an
// absolute-form target, which net/http puts in the same place) names us. The
// port is not compared: a proxy may drop it, and a name rebound to our
// address by DNS keeps the attacker's name whatever the port.
func (s site) servesHost(host string) bool {
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
func (s site) ownOrigin(origin string, r *http.Request) bool {
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
