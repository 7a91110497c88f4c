package outbound

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
)

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		ip            string
		public, local error // without and with permission for private addresses
	}{
		{"8.8.8.8", nil, nil},
		{"2606:4700::1111", nil, nil},
		{"::ffff:8.8.8.8", nil, nil},
		{"127.0.0.1", ErrPrivate, nil},
		{"127.255.0.7", ErrPrivate, nil},
		{"::1", ErrPrivate, nil},
		{"::ffff:127.0.0.1", ErrPrivate, nil},
		{"10.1.2.3", ErrPrivate, nil},
		{"172.31.255.255", ErrPrivate, nil},
		{"172.32.0.1", nil, nil},
		{"192.168.0.1", ErrPrivate, nil},
		{"::ffff:192.168.0.1", ErrPrivate, nil},
		{"100.64.0.1", ErrPrivate, nil},
		{"100.127.255.255", ErrPrivate, nil},
		{"100.128.0.1", nil, nil},
		{"169.254.169.254", ErrPrivate, nil},
		{"fe80::1", ErrPrivate, nil},
		{"fe80::1%eth0", ErrPrivate, nil},
		{"fd00:ec2::254", ErrPrivate, nil},
		{"fec0::1", ErrPrivate, nil},
		{"64:ff9b::7f00:1", ErrPrivate, nil},
		{"64:ff9b:1::a00:1", ErrPrivate, nil},
		{"2002:7f00:1::1", ErrPrivate, nil},
		{"2001:0:7f00:1::", ErrPrivate, nil},
		{"::7f00:1", ErrPrivate, nil},
		{"2001:db8::1", ErrPrivate, nil},
		{"192.0.2.1", ErrPrivate, nil},
		{"198.19.0.1", ErrPrivate, nil},
		{"240.0.0.1", ErrPrivate, nil},
		{"0.0.0.0", ErrNoHost, ErrNoHost},
		{"0.1.2.3", ErrNoHost, ErrNoHost},
		{"::", ErrNoHost, ErrNoHost},
		{"::ffff:0.0.0.0", ErrNoHost, ErrNoHost},
		{"224.0.0.1", ErrNoHost, ErrNoHost},
		{"ff02::1", ErrNoHost, ErrNoHost},
		{"255.255.255.255", ErrNoHost, ErrNoHost},
	} {
		if got := check(netip.MustParseAddr(c.ip), false); got != c.public {
			t.Errorf("%s: %v, want %v", c.ip, got, c.public)
		}
		if got := check(netip.MustParseAddr(c.ip), true); got != c.local {
			t.Errorf("%s where private ones are allowed: %v, want %v", c.ip, got, c.local)
		}
	}
}

func TestHosts(t *testing.T) {
	for host, want := range map[string]error{
		"example.org": nil, "localhost": ErrPrivate, "LocalHost.": ErrPrivate, "a.localhost": ErrPrivate, "localhost.example.org": nil,
		"127.0.0.1": ErrPrivate, "::1": ErrPrivate, "::ffff:10.0.0.1": ErrPrivate, "8.8.8.8": nil,
	} {
		if got := CheckHost(host, false); got != want {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
	if err := CheckHost("localhost", true); err != nil {
		t.Error(err)
	}
}

// TestResolvedAddressIsChecked: a name that leads to this host is refused when it
// is dialed, and nothing reaches the listener.
func TestResolvedAddressIsChecked(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, network := range []string{"tcp", "udp"} {
		for _, host := range []string{"localhost", "127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::"} {
			conn, err := Dialer(false).DialContext(context.Background(), network, net.JoinHostPort(host, port))
			if err == nil {
				conn.Close()
			}
			if !errors.Is(err, ErrPrivate) && !errors.Is(err, ErrNoHost) {
				t.Errorf("%s to %s: %v", network, host, err)
			}
		}
	}
	conn, err := Dialer(true).DialContext(context.Background(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}
