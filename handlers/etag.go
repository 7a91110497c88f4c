package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

// etagOf is the strong entity tag (RFC 9110 §8.8.3) of what a call shows: another
// value has another tag. Pass the version too where there is one; then what was
// changed and changed back has another tag as well.
func etagOf(shown ...any) (string, error) {
	text, err := json.Marshal(shown, json.Deterministic(true))
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	// 128 bits: nobody finds two values with one tag.
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`, nil
}

// setETag writes the entity tag of what an answer shows.
func setETag(c echo.Context, shown ...any) error {
	tag, err := etagOf(shown...)
	if err == nil {
		c.Response().Header().Set("ETag", tag)
	}
	return err
}

// ifMatch is the condition of a change (RFC 9110 §13.1.1). The zero value is that
// of a request without one, and is always met.
type ifMatch struct {
	given bool
	any   bool     // "*": whatever there is
	tags  []string // the strong ones, with their quotes
}

// readIfMatch reads the condition of a request, from all its If-Match lines. What
// is no list of entity tags is bad_request: to take it for no condition would make
// the very change that somebody wanted to be careful about.
func readIfMatch(c echo.Context) (ifMatch, error) {
	lines := c.Request().Header.Values("If-Match")
	if len(lines) == 0 {
		return ifMatch{}, nil
	}
	condition, ok := parseIfMatch(strings.Join(lines, ","))
	if !ok {
		return ifMatch{}, secerr.New(secerr.BadRequest, `The header If-Match is malformed. Send back the ETag as it came, in its quotes, or "*".`)
	}
	return condition, nil
}

func parseIfMatch(list string) (ifMatch, bool) {
	if strings.Trim(list, " \t") == "*" {
		return ifMatch{given: true, any: true}, true
	}
	condition := ifMatch{given: true}
	found := false
	for rest := list; ; {
		// Empty members of a list are skipped (RFC 9110 §5.6.1.2).
		rest = strings.TrimLeft(rest, ", \t")
		if rest == "" {
			return condition, found
		}
		strong, isWeak := rest, false
		if strong, isWeak = strings.CutPrefix(rest, "W/"); !strings.HasPrefix(strong, `"`) {
			return ifMatch{}, false
		}
		end := strings.IndexByte(strong[1:], '"')
		if end < 0 || strings.ContainsFunc(strong[1:end+1], noTagCharacter) {
			return ifMatch{}, false
		}
		end += 2
		if !isWeak { // a weak one never matches: the comparison is the strong one (§8.8.3.2)
			condition.tags = append(condition.tags, strong[:end])
		}
		found = true
		rest = strings.TrimLeft(strong[end:], " \t")
		if rest != "" && rest[0] != ',' {
			return ifMatch{}, false
		}
	}
}

// noTagCharacter reports what is not etagc: %x21 / %x23-7E / obs-text.
func noTagCharacter(r rune) bool { return r <= ' ' || r == 0x7f }

// met reports whether what is there is one of those that the condition names.
func (m ifMatch) met(tag string) bool {
	if !m.given || m.any {
		return true
	}
	for _, one := range m.tags {
		if one == tag {
			return true
		}
	}
	return false
}
