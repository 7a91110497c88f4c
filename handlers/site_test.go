package handlers

import (
	"net/http/httptest"
	"testing"
)

func mustSite(t testing.TB, publicURL string) Site {
	t.Helper()
	s, err := NewSite(publicURL)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestNewSite(t *testing.T) {
	tests := []struct {
		url, origin string
		https       bool
	}{
		{"http://localhost:8080", "http://localhost:8080", false},
		{"https://Dash.Example.org", "https://dash.example.org", true},
		{"HTTPS://dash.example.org:443/", "https://dash.example.org", true},
		{"http://dash.example.org:80", "http://dash.example.org", false},
		{"https://dash.example.org:80", "https://dash.example.org:80", true},
		{"https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443", true},
	}
	for _, test := range tests {
		s, err := NewSite(test.url)
		if err != nil || s.Origin() != test.origin || s.HTTPS() != test.https {
			t.Errorf("%s: %q %v %v", test.url, s.Origin(), s.HTTPS(), err)
		}
	}
	for _, bad := range []string{"", "dash.example.org", "ftp://dash.example.org", "https://", "https://:8080", "https://dash.example.org/app",
		"https://dash.example.org?x=1", "https://dash.example.org/?", "https://dash.example.org#x", "https://user@dash.example.org", "https://dash example"} {
		if s, err := NewSite(bad); err == nil {
			t.Errorf("%q was taken for %s", bad, s.Origin())
		}
	}
}

func TestServesHost(t *testing.T) {
	public, local, local6 := mustSite(t, "https://dash.example.org"), mustSite(t, "http://localhost:8080"), mustSite(t, "http://[::1]:8080")
	tests := []struct {
		site Site
		host string
		want bool
	}{
		{public, "dash.example.org", true},
		{public, "dash.example.org:443", true},
		{public, "dash.example.org:8080", true}, // a proxy may add or drop it
		{public, "DASH.Example.ORG", true},
		{public, "evil.example", false},
		{public, "dash.example.org.evil.example", false},
		{public, "evil-dash.example.org", false},
		{public, "dash.example.org.", false},
		{public, "localhost", false},
		{public, "127.0.0.1:8080", false},
		{public, "", false},
		{public, ":8080", false},
		{public, "dash.example.org:80:80", false},
		{local, "localhost:8080", true},
		{local, "127.0.0.1:8080", true},
		{local, "127.8.9.1", true},
		{local, "[::1]:8080", true},
		{local, "[::1]", true},
		{local, "[::1", false},
		{local, "::1", false},
		{local, "192.0.2.1:8080", false},
		{local, "localhost.evil.example", false},
		{local, "rebound.evil.example:8080", false},
		{local6, "localhost:8080", true},
	}
	for _, test := range tests {
		if got := test.site.servesHost(test.host); got != test.want {
			t.Errorf("%s serves %q: %v", test.site.Origin(), test.host, got)
		}
	}
}

func TestOwnOrigin(t *testing.T) {
	public, local := mustSite(t, "https://dash.example.org"), mustSite(t, "http://localhost:8080")
	tests := []struct {
		site         Site
		host, origin string
		want         bool
	}{
		{public, "dash.example.org", "https://dash.example.org", true},
		{public, "backend:8080", "https://dash.example.org", true}, // a proxy rewrote Host
		{public, "dash.example.org", "http://dash.example.org", false},
		{public, "dash.example.org", "https://dash.example.org:8443", false},
		{public, "evil.example", "https://evil.example", false},
		{public, "127.0.0.1:8080", "https://127.0.0.1:8080", false},
		{local, "localhost:8080", "http://localhost:8080", true},
		{local, "127.0.0.1:8080", "http://127.0.0.1:8080", true},
		{local, "127.0.0.1:9999", "http://127.0.0.1:9999", true},
		{local, "[::1]:8080", "http://[::1]:8080", true},
		{local, "127.0.0.1:8080", "http://127.0.0.1:3000", false}, // another program on this machine
		{local, "127.0.0.1:8080", "https://127.0.0.1:8080", false},
		{local, "evil.example", "http://evil.example", false},
		{local, "localhost:8080", "null", false},
		{local, "localhost:8080", "", false},
	}
	for _, test := range tests {
		r := httptest.NewRequest("POST", "/login", nil)
		r.Host = test.host
		if got := test.site.ownOrigin(test.origin, r); got != test.want {
			t.Errorf("%s owns %q of a request to %q: %v", test.site.Origin(), test.origin, test.host, got)
		}
	}
}
