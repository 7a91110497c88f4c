package handlers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// sample has a member of each kind that the API takes.
type sample struct {
	Email    string         `json:"email"`
	Password secret.Text    `json:"password"`
	Count    int64          `json:"count"`
	On       bool           `json:"on"`
	Scopes   []string       `json:"scopes"`
	Days     *int64         `json:"days"`
	Nested   *nestedSample  `json:"nested"`
	Raw      jsontext.Value `json:"raw"`
	Free     any            `json:"free"`
}

type nestedSample struct {
	Ratio float64           `json:"ratio"`
	Names map[string]string `json:"names"`
}

// bodyContext is a request with a body, as a handler sees it.
func bodyContext(method, contentType, body string) echo.Context {
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return echo.New().NewContext(r, httptest.NewRecorder())
}

func TestDecodeJSON(t *testing.T) {
	var got sample
	c := bodyContext("POST", "application/json", ` {"email":"a@b","password":"p\u00e4","count":-3,"on":true,"scopes":["x","y"],
		"days":null,"nested":{"ratio":1.5,"names":{"k":"v"}},"raw":{"a":[null]},"free":null} `)
	if err := decodeJSON(c, &got); err != nil {
		t.Fatal(err)
	}
	if got.Email != "a@b" || got.Password.Reveal() != "pä" || got.Count != -3 || !got.On || len(got.Scopes) != 2 || got.Days != nil ||
		got.Nested.Ratio != 1.5 || got.Nested.Names["k"] != "v" || string(got.Raw) != `{"a":[null]}` || got.Free != nil {
		t.Errorf("got %+v", got)
	}
	var patch jsontext.Value
	if err := decodeJSON(bodyContext("PATCH", "application/merge-patch+json", `{"a":{"b":null}}`), &patch); err != nil || string(patch) != `{"a":{"b":null}}` {
		t.Errorf("%s %v", patch, err)
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	const secretValue = "hunter2-hunter2"
	deep := func(n int) string { return `{"raw":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	tests := []struct {
		name, body string
		detail     string // a part of it
	}{
		{"nothing", "", "empty"},
		{"white space", " \n", "empty"},
		{"null", "null", "The body must be an object"},
		{"a list", "[]", "The body must be an object"},
		{"a string", `"` + secretValue + `"`, "The body must be an object"},
		{"an unknown member", `{"admin":true}`, `"/admin" is not known`},
		{"an unknown nested member", `{"nested":{"x":1}}`, `"/nested/x" is not known`},
		{"another case", `{"Email":"a@b"}`, `"/Email" is not known`},
		{"a member twice", `{"email":"a","email":"b"}`, `"/email" is there twice`},
		{"a member twice, escaped", `{"email":"a","em\u0061il":"b"}`, `"/email" is there twice`},
		{"a member of raw JSON twice", `{"raw":{"a":1,"a":2}}`, `"/raw/a" is there twice`},
		{"a number for a string", `{"email":5}`, `"/email" must be a string`},
		{"a number for a secret", `{"password":5}`, `"/password" must be a string`},
		{"a list for a string", `{"email":["` + secretValue + `"]}`, `"/email" must be a string`},
		{"a string for a number", `{"count":"` + secretValue + `"}`, `"/count" must be a whole number`},
		{"a fraction for a whole number", `{"count":1.5}`, `"/count" must be a whole number`},
		{"too large a number", `{"count":9223372036854775808}`, `"/count" must be a whole number`},
		{"a number for a truth", `{"on":1}`, `"/on" must be true or false`},
		{"a string for a list", `{"scopes":"x"}`, `"/scopes" must be a list`},
		{"a number in a list of strings", `{"scopes":["x",1]}`, `"/scopes/1" must be a string`},
		{"a list for an object", `{"nested":[]}`, `"/nested" must be an object`},
		{"a string for a pointer to a number", `{"days":"1"}`, `"/days" must be a whole number`},
		{"null for a string", `{"email":null}`, `"/email" must be a string`},
		{"null for a secret", `{"password":null}`, `"/password" must be a string`},
		{"null for a number", `{"count":null}`, `"/count" must be a whole number`},
		{"null for a truth", `{"on":null}`, `"/on" must be true or false`},
		{"null for a list", `{"scopes":null}`, `"/scopes" must be a list`},
		{"null in a list", `{"scopes":[null]}`, `"/scopes/0" must be a string`},
		{"null for a map", `{"nested":{"names":null}}`, `"/nested/names" must be an object`},
		{"a value behind it", `{} {}`, "not valid JSON"},
		{"rubbish behind it", `{}x`, "not valid JSON"},
		{"cut short", `{"email":"a`, "middle of its JSON"},
		{"a comment", `{/*x*/}`, "not valid JSON"},
		{"a comma too many", `{"count":1,}`, "not valid JSON"},
		{"NaN", `{"count":NaN}`, "not valid JSON"},
		{"a byte order mark", "\ufeff{}", "not valid JSON"},
		{"invalid UTF-8", "{\"email\":\"\xff\"}", "not valid JSON in UTF-8"},
		{"invalid UTF-8 in a name", "{\"\xff\":1}", "not valid JSON in UTF-8"},
		{"half a surrogate pair", `{"email":"\ud800"}`, "not valid JSON in UTF-8"},
		{"NUL escaped", `{"email":"a\u0000b"}`, `"/email" holds a NUL`},
		{"NUL in a secret", `{"password":"` + secretValue + `\u0000"}`, `"/password" holds a NUL`},
		{"NUL in a name", `{"raw":{"a\u0000":1}}`, "holds a NUL"},
		{"NUL raw", "{\"email\":\"a\x00b\"}", "not valid JSON"},
		{"NUL in raw JSON", `{"raw":["\u0000"]}`, `"/raw/0" holds a NUL`},
		{"nested too deep", deep(maxJSONDepth), "nested more than 16"},
		{"a name that could be a key", `{"pk_` + strings.Repeat("a", 64) + `":1}`, "A member of the body is not known"},
		{"a name of markup", `{"<script>":1}`, "A member of the body is not known"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got sample
			err := decodeJSON(bodyContext("POST", "application/json", test.body), &got)
			e, ok := errors.AsType[*secerr.Error](err)
			if !ok || e.Code != secerr.BadRequest || !strings.Contains(e.Detail, test.detail) {
				t.Fatalf("got %v, want bad_request with %q", err, test.detail)
			}
			if strings.Contains(e.Error(), secretValue) {
				t.Errorf("the error repeats a value: %v", e)
			}
		})
	}
	if err := decodeJSON(bodyContext("POST", "application/json", deep(maxJSONDepth-1)), &sample{}); err != nil {
		t.Errorf("one less deep: %v", err)
	}
}

func TestContentTypes(t *testing.T) {
	tests := []struct {
		method string
		types  []string
		ok     bool
	}{
		{"POST", []string{"application/json"}, true},
		{"POST", []string{"Application/JSON; charset=UTF-8"}, true},
		{"POST", []string{`application/json;charset="utf-8"`}, true},
		{"POST", nil, false},
		{"POST", []string{""}, false},
		{"POST", []string{"text/plain"}, false},
		{"POST", []string{"application/x-www-form-urlencoded"}, false},
		{"POST", []string{"application/json; charset=utf-16"}, false},
		{"POST", []string{"application/json; boundary=x"}, false},
		{"POST", []string{"application/json; profile=utf-8"}, false},
		{"POST", []string{"application/json;"}, true},
		{"POST", []string{"application/jsonp"}, false},
		{"POST", []string{"text/plain; application/json"}, false},
		{"POST", []string{"application/json, text/plain"}, false},
		{"POST", []string{"application/json", "text/plain"}, false},
		{"POST", []string{"application/merge-patch+json"}, false},
		{"PATCH", []string{"application/merge-patch+json"}, true},
		{"PATCH", []string{"application/json"}, true},
		{"PATCH", []string{"application/json-patch+json"}, false},
	}
	for _, test := range tests {
		c := bodyContext(test.method, "", "{}")
		c.Request().Header["Content-Type"] = test.types
		err := decodeJSON(c, &sample{})
		if test.ok && err != nil || !test.ok && !secerr.Is(err, secerr.UnsupportedMediaType) {
			t.Errorf("%s %q: %v", test.method, test.types, err)
		}
	}
	for encoding, ok := range map[string]bool{"identity": true, "Identity": true, "gzip": false, "gzip, identity": false, "br": false} {
		c := bodyContext("POST", "application/json", "{}")
		c.Request().Header.Set("Content-Encoding", encoding)
		if err := decodeJSON(c, &sample{}); ok != (err == nil) || !ok && !secerr.Is(err, secerr.UnsupportedMediaType) {
			t.Errorf("encoding %q: %v", encoding, err)
		}
	}
}

func TestDecodeNoBody(t *testing.T) {
	for _, test := range []struct {
		media, body string
		code        secerr.Code
	}{
		{"", "", ""},
		{"text/plain", "", ""},
		{"application/json", "", ""},
		{"application/json", "{}", ""},
		{"application/json", " {\n} ", ""},
		{"", "{}", secerr.UnsupportedMediaType},
		{"text/plain", "{}", secerr.UnsupportedMediaType},
		{"application/json", `{"all":true}`, secerr.BadRequest},
		{"application/json", "[]", secerr.BadRequest},
		{"application/json", "null", secerr.BadRequest},
		{"application/json", " ", secerr.BadRequest},
	} {
		err := decodeNoBody(bodyContext("POST", test.media, test.body))
		if test.code == "" && err != nil || test.code != "" && !secerr.Is(err, test.code) {
			t.Errorf("%q as %q: %v, want %q", test.body, test.media, err, test.code)
		}
	}
}

// failingBody ends as a connection may.
type failingBody struct{ err error }

func (b failingBody) Read([]byte) (int, error) { return 0, b.err }
func (b failingBody) Close() error             { return nil }

func TestBodyThatDoesNotArrive(t *testing.T) {
	for _, test := range []struct {
		err  error
		code secerr.Code
	}{
		{io.ErrUnexpectedEOF, secerr.BadRequest},
		{fmt.Errorf("read tcp: %w", os.ErrDeadlineExceeded), secerr.BadRequest},
		{&http.MaxBytesError{Limit: 1}, secerr.PayloadTooLarge},
	} {
		c := bodyContext("POST", "application/json", "")
		c.Request().Body = failingBody{test.err}
		if err := decodeJSON(c, &sample{}); !secerr.Is(err, test.code) {
			t.Errorf("%v: %v", test.err, err)
		}
	}
	// Without the middleware, too, a body ends at the limit.
	c := bodyContext("POST", "application/json", strings.Repeat(" ", maxBodyBytes+1))
	if err := decodeJSON(c, &sample{}); !secerr.Is(err, secerr.PayloadTooLarge) {
		t.Errorf("without a limited body: %v", err)
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{"", "{}", "null", `{"email":"a"}`, `{"nested":{"ratio":1e400}}`, `{"raw":[[[[]]]]}`, `{"email":"\u0000"}`, "{\"\xff\":1}", `{"a":1,"a":2}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var got sample
		err := decodeJSON(bodyContext("POST", "application/json", body), &got)
		if err == nil {
			if strings.ContainsRune(got.Email+got.Password.Reveal()+strings.Join(got.Scopes, ""), 0) {
				t.Errorf("NUL came through: %q", body)
			}
			return
		}
		e, ok := errors.AsType[*secerr.Error](err)
		if !ok || statusOfCode(e.Code) >= 500 || e.Detail == "" {
			t.Errorf("%q: %v", body, err)
		}
	})
}

func statusOfCode(code secerr.Code) int { return refusals[code].Status }
