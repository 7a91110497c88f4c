package handlers

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
)

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestClientIP(t *testing.T) {
	proxies := prefixes("10.0.0.0/8", "2001:db8:1::/48")
	tests := []struct {
		name   string
		remote string
		xff    []string
		want   string
	}{
		{"no header", "10.0.0.1:1234", nil, "10.0.0.1"},
		{"an untrusted peer is believed nothing", "203.0.113.5:1234", []string{"198.51.100.7"}, "203.0.113.5"},
		{"one hop", "10.0.0.1:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		{"a forged entry on the left", "10.0.0.1:1234", []string{"1.1.1.1, 198.51.100.7"}, "198.51.100.7"},
		{"a forged trusted entry on the left", "10.0.0.1:1234", []string{"10.0.0.9, 198.51.100.7"}, "198.51.100.7"},
		{"two proxies", "10.0.0.1:1234", []string{"198.51.100.7, 10.0.0.2"}, "198.51.100.7"},
		{"a forged line before the proxy's", "10.0.0.1:1234", []string{"1.1.1.1", "198.51.100.7"}, "198.51.100.7"},
		{"two lines of proxies", "10.0.0.1:1234", []string{"198.51.100.7, 10.0.0.3", "10.0.0.2"}, "198.51.100.7"},
		{"all trusted", "10.0.0.1:1234", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"malformed on the right", "10.0.0.1:1234", []string{"198.51.100.7, unknown"}, "10.0.0.1"},
		{"malformed behind a trusted hop", "10.0.0.1:1234", []string{"198.51.100.7, rubbish, 10.0.0.2"}, "10.0.0.2"},
		{"malformed on the far left", "10.0.0.1:1234", []string{"rubbish, 198.51.100.7"}, "198.51.100.7"},
		{"empty header", "10.0.0.1:1234", []string{""}, "10.0.0.1"},
		{"empty entry", "10.0.0.1:1234", []string{"198.51.100.7,"}, "10.0.0.1"},
		{"an empty line of the client's", "10.0.0.1:1234", []string{"", "198.51.100.7"}, "198.51.100.7"},
		{"spaces and tabs", "10.0.0.1:1234", []string{" 1.1.1.1 ,\t198.51.100.7\t"}, "198.51.100.7"},
		{"a port", "10.0.0.1:1234", []string{"198.51.100.7:567"}, "198.51.100.7"},
		{"IPv6", "[2001:db8:1::5]:1234", []string{"2001:db8:2::7"}, "2001:db8:2::7"},
		{"IPv6 in brackets", "[2001:db8:1::5]:1234", []string{"[2001:db8:2::7]"}, "2001:db8:2::7"},
		{"IPv6 with a port", "[2001:db8:1::5]:1234", []string{"[2001:db8:2::7]:99"}, "2001:db8:2::7"},
		{"IPv6 with a zone", "[fe80::1%eth0]:1234", nil, "fe80::1"},
		{"a mapped peer is the proxy", "[::ffff:10.0.0.1]:1234", []string{"198.51.100.7"}, "198.51.100.7"},
		{"a mapped client", "10.0.0.1:1234", []string{"::ffff:198.51.100.7"}, "198.51.100.7"},
		{"IPv4 in brackets is malformed", "10.0.0.1:1234", []string{"[198.51.100.7]"}, "10.0.0.1"},
		{"leading zeros are malformed", "10.0.0.1:1234", []string{"198.051.100.7"}, "10.0.0.1"},
		{"Forwarded syntax is malformed", "10.0.0.1:1234", []string{`for="198.51.100.7"`}, "10.0.0.1"},
		{"a Unix socket", "@", []string{"198.51.100.7"}, "invalid IP"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := clientIP(test.remote, test.xff, proxies).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
	if got := clientIP("10.0.0.1:1", []string{"198.51.100.7"}, nil).String(); got != "10.0.0.1" {
		t.Errorf("without trusted proxies: %s", got)
	}
}

func TestClientIPOfARequest(t *testing.T) {
	e := echo.New()
	var got netip.Addr
	e.Use(clientIPs(prefixes("::ffff:10.0.0.0/104")))
	e.GET("/", func(c echo.Context) error {
		got = ClientIP(c)
		return c.NoContent(http.StatusNoContent)
	})
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.1.2.3:4"
	r.Header.Add("X-Forwarded-For", "192.0.2.1")
	r.Header.Add("X-Forwarded-For", "198.51.100.7")
	r.Header.Set("X-Real-IP", "1.1.1.1")
	r.Header.Set("Forwarded", "for=1.1.1.1")
	e.ServeHTTP(httptest.NewRecorder(), r)
	if got.String() != "198.51.100.7" {
		t.Errorf("got %s", got)
	}
	if none := ClientIP(e.NewContext(r, nil)); none.IsValid() {
		t.Errorf("outside the middleware: %s", none)
	}
}

// FuzzClientIP holds the rule itself against any header: what the client wrote
// left of an honest proxy's entry never matters.
func FuzzClientIP(f *testing.F) {
	for _, seed := range []string{"", "1.1.1.1", "10.0.0.1", ",,", "::1", "[::1]:5", "unknown", "10.0.0.1, 1.1.1.1\n", "%", "[", "1.2.3.4:99999"} {
		f.Add(seed, seed)
	}
	trusted := prefixes("10.0.0.0/8", "fd00::/8")
	f.Fuzz(func(t *testing.T, forged, more string) {
		want := netip.MustParseAddr("198.51.100.7")
		if got := clientIP("10.0.0.1:1", []string{forged, more + ", 198.51.100.7, 10.0.0.2"}, trusted); got != want {
			t.Errorf("%q, %q: %s", forged, more, got)
		}
		if got := clientIP("203.0.113.5:1", []string{forged, more}, trusted); got.String() != "203.0.113.5" {
			t.Errorf("%q, %q from a stranger: %s", forged, more, got)
		}
		got := clientIP("10.0.0.1:1", []string{forged, more}, trusted)
		if !got.IsValid() || got.Zone() != "" || got.Is4In6() {
			t.Errorf("%q, %q: %v is not canonical", forged, more, got)
		}
		if !isTrusted(got, trusted) && !strings.ContainsAny(forged+more, "0123456789abcdefABCDEF:") {
			t.Errorf("%q, %q: %s came from nowhere", forged, more, got)
		}
	})
}
