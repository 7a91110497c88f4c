package ipblock

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/secerr"
)

func TestParseNetwork(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7":                  "192.0.2.7/32",
		"192.0.2.7/24":               "192.0.2.0/24",
		"192.0.2.0/24":               "192.0.2.0/24",
		"10.1.2.3/8":                 "10.0.0.0/8",
		"0.0.0.0":                    "0.0.0.0/32",
		"::ffff:192.0.2.7":           "192.0.2.7/32",
		"::ffff:c000:207":            "192.0.2.7/32",
		"::ffff:192.0.2.7/120":       "192.0.2.0/24",
		"::ffff:10.0.0.0/104":        "10.0.0.0/8",
		"2001:db8::1":                "2001:db8::1/128",
		"2001:DB8:0:0:0:0:0:1":       "2001:db8::1/128",
		"2001:db8:1:2:3:4:5:6/64":    "2001:db8:1:2::/64",
		"2001:db8::/16":              "2001::/16",
		"::1":                        "::1/128",
		"::ffff:0:192.0.2.7":         "::ffff:0:c000:207/128", // IPv4-translated (RFC 2765), not mapped
		"ffff::/16":                  "ffff::/16",
		"2001:db8::192.0.2.7/128":    "2001:db8::c000:207/128",
		"255.255.255.255/32":         "255.255.255.255/32",
		"::ffff:255.255.255.255/128": "255.255.255.255/32",
	} {
		if got, err := ParseNetwork(text); err != nil || got.String() != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
	for text, hint := range map[string]string{
		"": "192.0.2.0/24", "localhost": "192.0.2.0/24", "192.0.2": "192.0.2.0/24", "192.0.2.256": "192.0.2.0/24",
		"192.0.2.07": "192.0.2.0/24", "192.0.2.7/33": "192.0.2.0/24", "192.0.2.7/": "192.0.2.0/24", "192.0.2.7/024": "192.0.2.0/24",
		"192.0.2.7/-1": "192.0.2.0/24", "192.0.2.0/255.255.255.0": "192.0.2.0/24", " 192.0.2.7": "192.0.2.0/24",
		"192.0.2.7\n": "192.0.2.0/24", "[2001:db8::1]": "192.0.2.0/24", "192.0.2.7:80": "192.0.2.0/24", "2001:db8::/129": "192.0.2.0/24",
		"fe80::1%eth0/64": "zone", "192.0.2.1-192.0.2.9": "192.0.2.0/24", strings.Repeat("1", 100_000): "192.0.2.0/24",
		"fe80::1%eth0": "zone", "::ffff:192.0.2.7%eth0": "zone",
		"0.0.0.0/0": "/8", "10.0.0.0/7": "/8", "::ffff:0:0/96": "/8", "::ffff:10.0.0.0/103": "/8",
		"::/0": "/16", "2000::/3": "/16", "2001::/15": "/16", "::1/0": "/16",
		"::ffff:10.0.0.0/95": "as IPv4", "::ffff:0:0/0": "as IPv4",
	} {
		got, err := ParseNetwork(text)
		e, ok := errors.AsType[*secerr.Error](err)
		if !ok || e.Code != secerr.ValidationFailed || e.Fields[0].Field != "ip" || !strings.Contains(e.Fields[0].Detail, hint) {
			t.Errorf("%.50q: %s, %v; want a hint at %q", text, got, err, hint)
		}
	}
	if got := Single(netip.Addr{}); got.IsValid() {
		t.Errorf("of no address: %s", got)
	}
}

// FuzzParseNetwork: what is taken is in the one form that is stored, no wider
// than allowed, and holds the address that it was written with.
func FuzzParseNetwork(f *testing.F) {
	for _, seed := range []string{"", "192.0.2.7", "192.0.2.7/24", "::ffff:192.0.2.7/120", "::ffff:0:0/95", "2001:db8::1/64", "fe80::1%eth0", "::/0", "0.0.0.0/0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseNetwork(text)
		if err != nil {
			if !secerr.Is(err, secerr.ValidationFailed) || got.IsValid() {
				t.Errorf("%q: %s, %v", text, got, err)
			}
			return
		}
		if again, err := ParseNetwork(got.String()); err != nil || again != got {
			t.Errorf("%q: %s is not stored as it is read: %s, %v", text, got, again, err)
		}
		if got != got.Masked() || got.Addr().Is4In6() || got.Addr().Zone() != "" {
			t.Errorf("%q: %s is not canonical", text, got)
		}
		if least := map[bool]int{true: widestIPv4, false: widestIPv6}[got.Addr().Is4()]; got.Bits() < least {
			t.Errorf("%q: %s is too wide", text, got)
		}
		address, _, _ := strings.Cut(text, "/")
		if ip, err := netip.ParseAddr(address); err != nil || !got.Contains(ip.Unmap()) {
			t.Errorf("%q: %s does not hold %s, %v", text, got, ip, err)
		}
	})
}
