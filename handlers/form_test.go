package handlers

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

func TestParseForm(t *testing.T) {
	c := bodyContext("POST", "application/x-www-form-urlencoded; charset=UTF-8", "email=a%40b+c&scopes=x&scopes=y&empty=")
	c.Request().URL.RawQuery = "email=from-the-query&role=admin"
	form, err := parseForm(c)
	if err != nil {
		t.Fatal(err)
	}
	if form.One("email") != "a@b c" || form.One("role") != "" || form.One("empty") != "" || form.Many("none") != nil || !slices.Equal(form.Many("scopes"), []string{"x", "y"}) {
		t.Errorf("got %v", form.values)
	}
	again, err := parseForm(c)
	if err != nil || again.One("email") != "a@b c" {
		t.Errorf("a second time: %v %v", again.values, err)
	}
	if form, err := parseForm(bodyContext("POST", "application/x-www-form-urlencoded", "")); err != nil || form.One("x") != "" {
		t.Errorf("an empty form: %v", err)
	}
}

func TestParseFormRefuses(t *testing.T) {
	const media = "application/x-www-form-urlencoded"
	tests := []struct {
		name, media, body string
		code              secerr.Code
		detail            string
	}{
		{"multipart", "multipart/form-data; boundary=x", "--x--", secerr.UnsupportedMediaType, media},
		{"plain text", "text/plain", "a=b", secerr.UnsupportedMediaType, media},
		{"JSON", "application/json", "{}", secerr.UnsupportedMediaType, media},
		{"no type", "", "a=b", secerr.UnsupportedMediaType, media},
		{"another charset", media + "; charset=iso-8859-1", "a=b", secerr.UnsupportedMediaType, "UTF-8"},
		{"too large", media, "a=" + strings.Repeat("b", maxBodyBytes), secerr.PayloadTooLarge, "64 KiB"},
		{"a field twice", media, "email=a&email=b", secerr.BadRequest, `"email" was sent more than once`},
		{"a long name twice", media, strings.Repeat(strings.Repeat("k", 67)+"=b&", 2), secerr.BadRequest, "A field was sent more than once"},
		{"invalid UTF-8", media, "email=%ff", secerr.BadRequest, "UTF-8"},
		{"invalid UTF-8 in a name", media, "%ff=x", secerr.BadRequest, "UTF-8"},
		{"NUL", media, "password=hunter2%00", secerr.BadRequest, "NUL"},
		{"NUL in a name", media, "a%00=x", secerr.BadRequest, "NUL"},
		{"a broken escape", media, "password=hunter2%zz", secerr.BadRequest, "malformed"},
		{"a semicolon", media, "a=1;b=2", secerr.BadRequest, "malformed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parseForm(bodyContext("POST", test.media, test.body))
			e, ok := errors.AsType[*secerr.Error](err)
			if !ok || e.Code != test.code || !strings.Contains(e.Detail, test.detail) {
				t.Fatalf("got %v, want %s with %q", err, test.code, test.detail)
			}
			if strings.Contains(e.Error(), "hunter2") {
				t.Errorf("the error repeats a value: %v", e)
			}
		})
	}
}

func TestQueryParams(t *testing.T) {
	read := func(query string) (string, error) {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		values, err := queryParams(echo.New().NewContext(r, httptest.NewRecorder()), "since", "limit")
		return values.Get("since"), err
	}
	for query, want := range map[string]string{"": "", "since=7d": "7d", "limit=5&since=%201h": " 1h", "since=&limit=": ""} {
		if got, err := read(query); err != nil || got != want {
			t.Errorf("%q: %q %v", query, got, err)
		}
	}
	for query, detail := range map[string]string{
		"colour=red":                       `"colour" is not known`,
		"Since=7d":                         `"Since" is not known`,
		"since=1h&since=2h":                `"since" is there more than once`,
		"pk_" + strings.Repeat("a", 64):    "A query parameter is not known",
		"%3Cscript%3E=1":                   "A query parameter is not known",
		"=1":                               "A query parameter is not known",
		"since=%ff":                        "UTF-8",
		"since=%00":                        "NUL",
		"since=1h;limit=2":                 "malformed",
		"since=%":                          "malformed",
		"since=hunter2&limit=%zz":          "malformed",
		"since=1h&limit=5&colour=hunter2":  `"colour" is not known`,
		"since=hunter2&since=hunter2":      `"since" is there more than once`,
		"limit=1&since=2&limit=1&limit=11": `"limit" is there more than once`,
	} {
		_, err := read(query)
		e, ok := errors.AsType[*secerr.Error](err)
		if !ok || e.Code != secerr.BadRequest || !strings.Contains(e.Detail, detail) || strings.Contains(e.Error(), "hunter2") || strings.Contains(e.Error(), "aaaa") {
			t.Errorf("%q: %v, want %q", query, err, detail)
		}
	}
}

func FuzzParseForm(f *testing.F) {
	for _, seed := range []string{"", "a=b", "a=b&a=c", "scopes=1&scopes=2", "%00", "%ff=%ff", ";", "a=%", "=&=", "+=+"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		form, err := parseForm(bodyContext("POST", mediaForm, body))
		if err != nil {
			if _, ok := errors.AsType[*secerr.Error](err); !ok {
				t.Errorf("%q: %v", body, err)
			}
			return
		}
		for name, list := range form.values {
			if len(list) > 1 && name != "scopes" || strings.ContainsRune(name+strings.Join(list, ""), 0) {
				t.Errorf("%q came through: %q", body, form.values)
			}
		}
	})
}
