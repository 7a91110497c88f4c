package handlers

import (
	"net/url"
	"strings"
	"testing"
)

func TestSafeNext(t *testing.T) {
	for _, good := range []string{"/", "/audit", "/audit?severity=warning&q=a%2Fb", "/users/0190a000-0000-7000-8000-000000000000",
		"/audit?next=https://evil.example", "/audit#top", "/a..b", "/caf%C3%A9", "/audit?q=%22x%22"} {
		if got := safeNext(good); got != good {
			t.Errorf("%q became %q", good, got)
		}
	}
	for _, bad := range []string{
		"", "audit", "//", "//?x", "//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, `\/evil.example`, "/%09/evil.example",
		"/\t/evil.example", "/\n/evil.example", "/a\r\nSet-Cookie: x=1", "/%0d%0aSet-Cookie:%20x=1", "/%2fevil.example", "/%2Fevil.example", "/%5cevil.example",
		"/%252fevil.example", "/%255cevil.example", "/..//evil.example", "/.//evil.example", "/%2e%2e//evil.example", "/a/../..//evil.example",
		"/a//b", "/a/../b", "/./b", "/a/..", "/a/%2e%2e/b", "https://evil.example", "https:evil.example", "javascript:alert(1)", "data:text/html,x", " /audit", "/audit\x00", "/%00", "/\xff",
		"/%zz", "?next=/", "#", "/" + strings.Repeat("a", maxNextBytes), "/audit?q=\\x", "/audit?q=\x7f", "http:/audit",
	} {
		if got := safeNext(bad); got != "/" {
			t.Errorf("%q stayed %q", bad, got)
		}
	}
}

func FuzzSafeNext(f *testing.F) {
	for _, seed := range []string{"/", "//evil", `/\evil`, "/%09/evil", "/a?b=c#d", "/%2f", "/..//x", "/a b"} {
		f.Add(seed)
	}
	base := &url.URL{Scheme: "https", Host: "dash.example.org", Path: "/login"}
	f.Fuzz(func(t *testing.T, s string) {
		got := safeNext(s)
		if got != s && got != "/" {
			t.Fatalf("%q became %q", s, got)
		}
		u, err := base.Parse(got)
		if err != nil || u.Host != base.Host || u.Scheme != base.Scheme || strings.HasPrefix(u.Path, "//") {
			t.Errorf("%q leads to %v (%v)", s, u, err)
		}
		if strings.ContainsAny(got, "\\\r\n\t\x00") || strings.HasPrefix(got, "//") {
			t.Errorf("%q came through", got)
		}
	})
}
