package ipblock

import (
	"net/netip"

	"patronus.internal/dashboard/security/secerr"
)

// The widest networks that can be blocked. One that is wider shuts out a part
// of the world, and with it whoever would mend it.
const (
	widestIPv4 = 8
	widestIPv6 = 16
)

// mappedBits is the length of ::ffff:0:0/96, the IPv4 addresses written as IPv6
// (RFC 4291 §2.5.5.2).
const mappedBits = 96

// ParseNetwork reads an address or a network in CIDR notation and returns it in
// the one form in which it is stored and compared: without host bits, and IPv4
// as IPv4. It refuses anything else with secerr.ValidationFailed for "ip".
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, refuse(`Leave out the zone: everything from "%" on.`)
		}
		return Single(addr), nil
	}
	network, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, refuse("Use an address such as 192.0.2.7 or 2001:db8::1, or a network such as 192.0.2.0/24 or 2001:db8::/64.")
	}
	return canonical(network)
}

// Single is the network that holds one address and no other. Of none it is the
// zero Prefix, which Add refuses.
func Single(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen())
}

// canonical refuses what is too wide, as seen after the translation to IPv4.
func canonical(network netip.Prefix) (netip.Prefix, error) {
	if !network.IsValid() {
		return netip.Prefix{}, refuse("Name an address or a network.")
	}
	if network.Addr().Is4In6() {
		if network.Bits() < mappedBits {
			return netip.Prefix{}, refuse("Write a network of IPv4 addresses as IPv4, such as 192.0.2.0/24.")
		}
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mappedBits)
	}
	network = network.Masked()
	switch {
	case network.Addr().Is4() && network.Bits() < widestIPv4:
		return netip.Prefix{}, refuse("This network is too wide. Block /8 at most, such as 10.0.0.0/8.")
	case network.Addr().Is6() && network.Bits() < widestIPv6:
		return netip.Prefix{}, refuse("This network is too wide. Block /16 at most, such as 2001::/16.")
	}
	return network, nil
}

func refuse(detail string) error { return secerr.Invalid("ip", detail) }
