package handlers

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

// testMAC keeps purposes and the borders of data apart, as the real one does.
func testMAC(purpose string, data ...[]byte) []byte {
	h := hmac.New(sha256.New, []byte("key"))
	for _, part := range append([][]byte{[]byte(purpose)}, data...) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return h.Sum(nil)
}

func formServer(t *testing.T, publicURL string) *Server {
	t.Helper()
	site := mustSite(t, publicURL)
	return &Server{site: site, sessions: sessionStore{secure: site.HTTPS()}, csrf: newCSRF(testMAC, rand.Reader, site), log: slog.New(slog.DiscardHandler)}
}

func TestCSRFToken(t *testing.T) {
	p := formServer(t, "http://localhost:8080").csrf
	first, err := p.token("form:a")
	if err != nil {
		t.Fatal(err)
	}
	second, err := p.token("form:a")
	if err != nil {
		t.Fatal(err)
	}
	if first == second {
		t.Error("a token is shown twice")
	}
	if !p.valid(first, "form:a") || !p.valid(second, "form:a") {
		t.Error("a token is not valid for its own binding")
	}
	raw, err := base64.RawURLEncoding.DecodeString(first)
	if err != nil || len(raw) != csrfRandomBytes+sha256.Size {
		t.Fatalf("token %q: %v", first, err)
	}
	for i := range raw {
		changed := bytes.Clone(raw)
		changed[i] ^= 1
		if p.valid(base64.RawURLEncoding.EncodeToString(changed), "form:a") {
			t.Errorf("byte %d may change", i)
		}
	}
	other := newCSRF(func(purpose string, data ...[]byte) []byte { return testMAC("other "+purpose, data...) }, rand.Reader, p.own)
	for name, valid := range map[string]bool{
		"another binding": p.valid(first, "form:b"), "another kind": p.valid(first, "session:a"), "no binding": p.valid(first, ""),
		"another key": other.valid(first, "form:a"), "empty": p.valid("", "form:a"), "random bytes alone": p.valid(first[:22], "form:a"),
		"padded": p.valid(first+"=", "form:a"), "with a line break": p.valid(first+"\n", "form:a"), "longer": p.valid(first+"AAAA", "form:a"), "rubbish": p.valid("%%%", "form:a"),
	} {
		if valid {
			t.Errorf("%s: valid", name)
		}
	}
	noBinding, err := p.token("")
	if err != nil || p.valid(noBinding, "") {
		t.Errorf("a token for nobody is valid (%v)", err)
	}
	if token, err := newCSRF(testMAC, bytes.NewReader(nil), p.own).token("form:a"); err == nil {
		t.Errorf("a token without randomness: %q", token)
	}
}

func TestCheckOrigin(t *testing.T) {
	const own, foreign = "https://dash.example.org", "https://evil.example"
	tests := []struct {
		name         string
		site, origin []string
		ok           bool
	}{
		{"no header, the token decides", nil, nil, true},
		{"same origin", []string{"same-origin"}, []string{own}, true},
		{"same origin without Origin", []string{"same-origin"}, nil, true},
		{"an old browser", nil, []string{own}, true},
		{"typed by the user", []string{"none"}, nil, true},
		{"no-referrer page", []string{"same-origin"}, []string{"null"}, true},
		{"cross site", []string{"cross-site"}, []string{foreign}, false},
		{"cross site without Origin", []string{"cross-site"}, nil, false},
		{"cross site with our Origin", []string{"cross-site"}, []string{own}, false},
		{"a neighbouring name", []string{"same-site"}, []string{"https://other.example.org"}, false},
		{"a neighbouring name without Origin", []string{"same-site"}, nil, false},
		{"foreign from an old browser", nil, []string{foreign}, false},
		{"same origin with a foreign Origin", []string{"same-origin"}, []string{foreign}, false},
		{"a sandboxed frame", nil, []string{"null"}, false},
		{"a sandboxed frame, typed", []string{"none"}, []string{"null"}, false},
		{"a sandboxed frame, cross site", []string{"cross-site"}, []string{"null"}, false},
		{"http", nil, []string{"http://dash.example.org"}, false},
		{"another port", nil, []string{own + ":8443"}, false},
		{"a longer name", nil, []string{own + ".evil.example"}, false},
		{"user in front", nil, []string{"https://dash.example.org@evil.example"}, false},
		{"an unknown value", []string{"Same-Origin "}, nil, false},
		{"two sites", []string{"same-origin", "cross-site"}, nil, false},
		{"two origins", nil, []string{own, foreign}, false},
		{"an empty Origin", nil, []string{""}, false},
	}
	p := formServer(t, own).csrf
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/login", nil)
			r.Host = "dash.example.org"
			if test.site != nil {
				r.Header["Sec-Fetch-Site"] = test.site
			}
			if test.origin != nil {
				r.Header["Origin"] = test.origin
			}
			if err := p.checkOrigin(r); (err == nil) != test.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

// browserRequest is a form post with the cookies a browser would send.
func browserRequest(token string, cookies ...*http.Cookie) echo.Context {
	c := bodyContext("POST", mediaForm, url.Values{csrfField: {token}}.Encode())
	for _, cookie := range cookies {
		c.Request().AddCookie(cookie)
	}
	return c
}

func TestFormBeforeSignIn(t *testing.T) {
	s := formServer(t, "https://dash.example.org")
	page := echo.New().NewContext(httptest.NewRequest("GET", "/login", nil), httptest.NewRecorder())
	token := s.formToken(page)
	if again := s.formToken(page); again == "" || again == token {
		t.Errorf("second token of a page: %q", again)
	}
	cookies := page.Response().Writer.(*httptest.ResponseRecorder).Result().Cookies()
	if len(cookies) != 1 {
		t.Fatalf("cookies: %v", cookies)
	}
	cookie := cookies[0]
	if cookie.Name != "__Host-patronus-form" || !cookie.HttpOnly || !cookie.Secure || cookie.Path != "/" || cookie.Domain != "" ||
		cookie.SameSite != http.SameSiteLaxMode || cookie.MaxAge != 0 || !cookie.Expires.IsZero() || len(cookie.Value) != 22 {
		t.Errorf("cookie: %v", cookie)
	}
	if err := s.checkForm(browserRequest(token, cookie)); err != nil {
		t.Errorf("the right form: %v", err)
	}

	// The cookie stays as long as it is one of ours.
	page = echo.New().NewContext(browserRequest("", cookie).Request(), httptest.NewRecorder())
	if s.formToken(page) == "" || page.Response().Header().Get("Set-Cookie") != "" {
		t.Errorf("set anew: %v", page.Response().Header())
	}
	for _, value := range []string{"", "short", strings.Repeat("a", 300), "!!!!!!!!!!!!!!!!!!!!!!"} {
		page = echo.New().NewContext(browserRequest("", &http.Cookie{Name: cookie.Name, Value: value}).Request(), httptest.NewRecorder())
		if s.formToken(page) == "" || page.Response().Header().Get("Set-Cookie") == "" {
			t.Errorf("a cookie %q was kept", value)
		}
	}

	other := *cookie
	other.Value = base64.RawURLEncoding.EncodeToString(make([]byte, formCookieBytes))
	session := &http.Cookie{Name: "__Host-patronus", Value: "a-session"}
	for name, c := range map[string]echo.Context{
		"no token":               browserRequest("", cookie),
		"no cookie":              browserRequest(token),
		"another browser":        browserRequest(token, &other),
		"after signing in":       browserRequest(token, cookie, session),
		"a cookie for http":      browserRequest(token, &http.Cookie{Name: "patronus-form", Value: cookie.Value}),
		"a session of that name": browserRequest(token, &http.Cookie{Name: "__Host-patronus", Value: cookie.Value}),
		"token in the address":   queryToken(token, cookie),
	} {
		if err := s.checkForm(c); !secerr.Is(err, secerr.CSRFFailed) || !strings.Contains(err.Error(), "reload the page") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.checkForm(bodyContext("POST", "text/plain", "")); !secerr.Is(err, secerr.UnsupportedMediaType) {
		t.Errorf("text/plain: %v", err)
	}
	foreign := browserRequest(token, cookie)
	foreign.Request().Header.Set("Origin", "https://evil.example")
	if err := s.checkForm(foreign); !secerr.Is(err, secerr.CSRFFailed) {
		t.Errorf("a foreign origin with the right token: %v", err)
	}
}

func queryToken(token string, cookie *http.Cookie) echo.Context {
	c := bodyContext("POST", mediaForm, "")
	c.Request().URL.RawQuery = csrfField + "=" + token
	c.Request().AddCookie(cookie)
	return c
}

func TestFormOfASession(t *testing.T) {
	s := formServer(t, "http://localhost:8080")
	session := &http.Cookie{Name: "patronus", Value: "a-session"}
	page := browserRequest("", session)
	token := s.formToken(page)
	if page.Response().Header().Get("Set-Cookie") != "" {
		t.Error("a form cookie beside a session")
	}
	if err := s.checkForm(browserRequest(token, session)); err != nil {
		t.Errorf("the right form: %v", err)
	}
	if err := s.checkForm(browserRequest(token, &http.Cookie{Name: "patronus", Value: "another"})); !secerr.Is(err, secerr.CSRFFailed) {
		t.Errorf("another session: %v", err)
	}
	if err := s.checkForm(browserRequest(token)); !secerr.Is(err, secerr.CSRFFailed) {
		t.Errorf("signed out: %v", err)
	}
}

func TestFormWithoutRandomnessIsRefused(t *testing.T) {
	s := formServer(t, "http://localhost:8080")
	for _, bytesThere := range []int64{0, formCookieBytes} {
		s.csrf.random = io.LimitReader(rand.Reader, bytesThere)
		c := browserRequest("")
		if token := s.formToken(c); token != "" {
			t.Errorf("with %d bytes: %q", bytesThere, token)
		}
	}
	if err := s.checkForm(browserRequest("", &http.Cookie{Name: "patronus", Value: "x"})); !secerr.Is(err, secerr.CSRFFailed) {
		t.Errorf("an empty token: %v", err)
	}
}
