package handlers

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxNextBytes is more than any address of ours, filters and all.
const maxNextBytes = 2048

// safeNext is where to go after signing in: s when it is a path on this site,
// "/" otherwise. Browsers read "//host", "/\host" and, after they have dropped
// a tab or a newline, "/<tab>/host" as other sites, and a proxy may decode
// once more on the way, so all of that is refused in decoded form too.
func safeNext(s string) string {
	const home = "/"
	if len(s) > maxNextBytes || !utf8.ValidString(s) || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") {
		return home
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return home
	}
	for _, path := range []string{s, u.Path} {
		if strings.Contains(path, `\`) || strings.ContainsFunc(path, unicode.IsControl) {
			return home
		}
	}
	for _, segment := range strings.Split(u.Path, "/") {
		if segment == "." || segment == ".." {
			return home
		}
	}
	if strings.Contains(u.Path, "//") || strings.Contains(strings.ToLower(u.Path), "%2f") || strings.Contains(strings.ToLower(u.Path), "%5c") {
		return home
	}
	return s
}
