// Package outbound decides which addresses the program may connect to by itself,
// when it sends the log to others. Whoever can name a target must not reach
// through this host what they could not reach from their own.
package outbound

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"
)

const (
	// dialTimeout bounds name resolution and TCP. A server that is there answers
	// in a fraction of it.
	dialTimeout = 10 * time.Second
	// keepAlive and lost probes tell within a minute that a quiet peer has gone.
	keepAlive = 15 * time.Second
	lost      = 3
)

// Dialer connects to public addresses and, where private is set, to those of this
// host and its networks too. It looks at each address after names are resolved,
// so a name that changes its meaning gains nothing.
func Dialer(private bool) *net.Dialer {
	return &net.Dialer{
		Timeout:         dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepAlive, Interval: keepAlive, Count: lost},
		Control: func(_, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("outbound: %q is no address: %w", address, err)
			}
			return check(to.Addr(), private)
		},
	}
}

// CheckHost refuses at once what a Dialer would refuse with each try: an address,
// or a name of this host. What another name stands for is known when it is
// dialed.
func CheckHost(host string, private bool) error {
	if ip, err := netip.ParseAddr(host); err == nil {
		return check(ip, private)
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if !private && (name == "localhost" || strings.HasSuffix(name, ".localhost")) { // RFC 6761 §6.3
		return ErrPrivate
	}
	return nil
}

var (
	// ErrPrivate is about an address of this host or of its networks.
	ErrPrivate = errors.New("the address is on this host or in a private or reserved range")
	// ErrNoHost is about an address that no single host has.
	ErrNoHost = errors.New("the address is not that of one host")
)

func check(ip netip.Addr, private bool) error {
	ip = ip.Unmap().WithZone("")
	switch {
	// Linux takes 0.0.0.0 for this host; nobody means it.
	case contains(noHost, ip):
		return ErrNoHost
	case !private && (contains(reserved, ip) || ip.Is6() && !global.Contains(ip)):
		return ErrPrivate
	}
	return nil
}

func contains(networks []netip.Prefix, ip netip.Addr) bool {
	for _, network := range networks {
		if network.Contains(ip) {
			return true
		}
	}
	return false
}

// The ranges are those of the IANA registries of special-purpose addresses (RFC
// 6890) that are not globally reachable, and those that carry an IPv4 address
// which another router would unpack.
var (
	noHost   = networks("0.0.0.0/8", "::/128", "224.0.0.0/4", "255.255.255.255/32", "ff00::/8")
	reserved = networks(
		"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", // RFC 1918
		"100.64.0.0/10",  // behind a provider's NAT, RFC 6598
		"127.0.0.0/8",    // this host
		"169.254.0.0/16", // link-local; clouds hand out credentials there
		"192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "198.18.0.0/15",
		"192.88.99.0/24", "240.0.0.0/4",
		"2001::/23",     // protocol assignments, with Teredo (RFC 4380)
		"2001:db8::/32", // for documents
		"2002::/16",     // 6to4, RFC 3056
		"3fff::/20",     // for documents, RFC 9637
	)
	// global holds all addresses that IANA has given out for hosts (RFC 4291 §2.4).
	// Outside of it are ::1, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), fc00::/7 and fe80::/10.
	global = netip.MustParsePrefix("2000::/3")
)

func networks(list ...string) []netip.Prefix {
	var parsed []netip.Prefix
	for _, text := range list {
		parsed = append(parsed, netip.MustParsePrefix(text))
	}
	return parsed
}
