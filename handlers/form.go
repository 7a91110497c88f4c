package handlers

import (
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

const formKey = "form"

// repeatedFields are the only ones that a form may send more than once: groups
// of check boxes. A second value of any other is somebody's hope that one part
// of the program reads the first and another the last.
var repeatedFields = []string{"scopes"}

// formValues are the fields of a form.
type formValues struct{ values url.Values }

// One is the value of a field, empty when it was not sent.
func (f formValues) One(name string) string { return f.values.Get(name) }

// Many are the values of a group of check boxes, nil when none is ticked.
func (f formValues) Many(name string) []string { return f.values[name] }

// parseForm reads the body of a form, never the query: a link cannot fill in a
// field. It may be called again for the same request. It returns
// unsupported_media_type for anything but an URL-encoded form (none here sends
// files), payload_too_large, or bad_request.
func parseForm(c echo.Context) (formValues, error) {
	if parsed, ok := c.Get(formKey).(formValues); ok {
		return parsed, nil
	}
	if err := checkMedia(c.Request(), mediaForm); err != nil {
		return formValues{}, err
	}
	body, err := readBody(c)
	if err != nil {
		return formValues{}, err
	}
	values, err := parsePairs(string(body), "The form")
	if err != nil {
		return formValues{}, err
	}
	for name, list := range values {
		if len(list) > 1 && !slices.Contains(repeatedFields, name) {
			return formValues{}, secerr.New(secerr.BadRequest, named("field", name)+" was sent more than once.")
		}
	}
	form := formValues{values}
	c.Set(formKey, form)
	return form, nil
}

// queryParams reads the query of the address. A name that is not among allowed
// or is there twice is bad_request: a filter that was misspelt and ignored
// would show the wrong list and look right.
func queryParams(c echo.Context, allowed ...string) (url.Values, error) {
	values, err := parsePairs(c.Request().URL.RawQuery, "The query of the address")
	if err != nil {
		return nil, err
	}
	for name, list := range values {
		if !slices.Contains(allowed, name) {
			return nil, secerr.New(secerr.BadRequest, named("query parameter", name)+" is not known here.")
		}
		if len(list) > 1 {
			return nil, secerr.New(secerr.BadRequest, named("query parameter", name)+" is there more than once.")
		}
	}
	return values, nil
}

// parsePairs decodes name=value pairs. Malformed escapes and ";", which some
// proxies take for "&", are refused, and so is text that is not UTF-8 or holds
// NUL.
func parsePairs(raw, what string) (url.Values, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		// The error quotes the input, which may hold a password: not even the
		// log may have it.
		return nil, secerr.New(secerr.BadRequest, what+` is malformed: it has a broken "%" or a ";".`)
	}
	for name, list := range values {
		for _, text := range append([]string{name}, list...) {
			if !utf8.ValidString(text) {
				return nil, secerr.New(secerr.BadRequest, what+" is not valid UTF-8.")
			}
			if strings.ContainsRune(text, 0) {
				return nil, secerr.New(secerr.BadRequest, what+" holds a NUL character.")
			}
		}
	}
	return values, nil
}

// named quotes a name that the client sent where that is safe.
func named(what, name string) string {
	if name == "" || !quotable(name) {
		return "A " + what
	}
	return "The " + what + ` "` + name + `"`
}
