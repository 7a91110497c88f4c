package handlers

import (
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"
)

const clientIPKey = "patronus.client_ip"

// clientIPs finds out once per request who is asking and keeps it for
// ClientIP. trusted are the proxies whose X-Forwarded-For is believed; with
// none of them the header is ignored. X-Real-IP and Forwarded are never read.
func clientIPs(trusted []netip.Prefix) echo.MiddlewareFunc {
	canonical := make([]netip.Prefix, 0, len(trusted))
	for _, prefix := range trusted {
		canonical = append(canonical, canonicalPrefix(prefix))
	}
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			c.Set(clientIPKey, clientIP(r.RemoteAddr, r.Header.Values("X-Forwarded-For"), canonical))
			return next(c)
		}
	}
}

// ClientIP is the address that limits, blocks and events go by: IPv4 in its
// own form, IPv6 without a zone. It is the zero Addr only where the listener
// has no addresses, as a Unix socket, or outside clientIPs. Use this and
// not echo's RealIP, which believes headers from anyone.
func ClientIP(c echo.Context) netip.Addr {
	addr, _ := c.Get(clientIPKey).(netip.Addr)
	return addr
}

// clientIP is the rightmost address that is not a trusted proxy, over the
// peer and then all X-Forwarded-For lines from last to first.
//
// Each entry was written by the hop to its right, so the walk goes on only
// while that hop is trusted. An entry that is no address ends it at the hop
// that wrote it: what stands further left is not vouched for by anybody. When
// every hop is trusted, the leftmost is the client.
func clientIP(remoteAddr string, xff []string, trusted []netip.Prefix) netip.Addr {
	client, ok := parseHop(remoteAddr)
	if !ok || !isTrusted(client, trusted) {
		return client
	}
	for i := len(xff) - 1; i >= 0; i-- {
		rest := xff[i]
		for more := true; more; {
			entry := rest
			comma := strings.LastIndexByte(rest, ',')
			if more = comma >= 0; more {
				rest, entry = rest[:comma], rest[comma+1:]
			}
			hop, ok := parseHop(strings.Trim(entry, " \t"))
			if !ok {
				return client
			}
			client = hop
			if !isTrusted(client, trusted) {
				return client
			}
		}
	}
	return client
}

// parseHop reads "1.2.3.4", "::1", "[::1]" and each with a port.
func parseHop(s string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") {
			addr, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
			if err == nil && addr.Is4() {
				return netip.Addr{}, false
			}
		} else {
			var withPort netip.AddrPort
			withPort, err = netip.ParseAddrPort(s)
			addr = withPort.Addr()
		}
	}
	if err != nil {
		return netip.Addr{}, false
	}
	return addr.Unmap().WithZone(""), true
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	for _, prefix := range trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// canonicalPrefix writes an IPv4-mapped range as IPv4, the form in which
// addresses are compared.
func canonicalPrefix(p netip.Prefix) netip.Prefix {
	const mappedBits = 96 // ::ffff:0:0/96, RFC 4291 §2.5.5.2
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p
}
