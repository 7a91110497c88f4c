package handlers

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"
)

// baseServer is echo behind Base, as the Server has it, with routes to try.
func baseServer(t testing.TB, publicURL string, log *slog.Logger) *echo.Echo {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e := echo.New()
	e.HTTPErrorHandler = ErrorHandler(func(c echo.Context, p Problem) error {
		return c.HTML(p.Status, "<p>"+p.Detail+" "+templ.GetNonce(c.Request().Context())+"</p>")
	}, log)
	e.Use(Base(BaseOptions{Site: mustSite(t, publicURL), TrustedProxies: prefixes("127.0.0.0/8"), Now: time.Now, Rand: rand.Reader, Log: log})...)
	page := func(c echo.Context) error { return c.HTML(http.StatusOK, templ.GetNonce(c.Request().Context())) }
	for _, path := range []string{"/", "/login", "/reset-password", "/items/:id", "/healthz", "/readyz", "/api/v1/me", "/static/app.css"} {
		e.GET(path, page)
	}
	e.POST("/api/v1/echo", func(c echo.Context) error {
		var body struct {
			Text string `json:"text"`
		}
		if err := decodeJSON(c, &body); err != nil {
			return err
		}
		return c.String(http.StatusOK, body.Text)
	})
	e.GET("/panic", func(echo.Context) error { panic("boom") })
	e.GET("/abort", func(echo.Context) error { panic(http.ErrAbortHandler) })
	return e
}

func get(e *echo.Echo, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", path, nil)
	r.Host = "localhost:8080"
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func TestHeadersAreOnEveryResponse(t *testing.T) {
	e := baseServer(t, "http://localhost:8080", nil)
	always := map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-XSS-Protection": "0",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Permissions-Policy": permissionsPolicy,
	}
	for path, status := range map[string]int{"/": 200, "/login": 200, "/nothing": 404, "/panic": 500, "/healthz": 200,
		"/api/v1/me": 200, "/api/v1/nothing": 404, "/static/app.css": 200, "/static/nothing.css": 404} {
		w := get(e, path)
		if w.Code != status {
			t.Errorf("%s: status %d, want %d", path, w.Code, status)
		}
		for name, want := range always {
			if got := w.Header().Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		csp := w.Header().Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: CSP %q", path, csp)
		}
		if len(w.Header().Get("X-Request-Id")) != 2*requestIDBytes || w.Header().Get("Strict-Transport-Security") != "" {
			t.Errorf("%s: %v", path, w.Header())
		}
		wantCache := "no-store"
		if path == "/static/app.css" {
			wantCache = ""
		}
		if got := w.Header().Get("Cache-Control"); got != wantCache {
			t.Errorf("%s: Cache-Control %q", path, got)
		}
	}
}

func TestNonceReachesTheTemplates(t *testing.T) {
	e := baseServer(t, "http://localhost:8080", nil)
	seen := map[string]bool{}
	for range 3 {
		w := get(e, "/login")
		nonce := w.Body.String()
		if raw, err := base64.StdEncoding.DecodeString(nonce); err != nil || len(raw) != nonceBytes || seen[nonce] {
			t.Fatalf("nonce %q is repeated or malformed: %v", nonce, err)
		}
		seen[nonce] = true
		if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "script-src 'self' 'nonce-"+nonce+"';") {
			t.Errorf("CSP %q is not for nonce %q", csp, nonce)
		}
	}
	// The page of an error has one too.
	w := get(e, "/nothing")
	nonce := strings.TrimSuffix(w.Body.String()[strings.LastIndex(w.Body.String(), " ")+1:], "</p>")
	if nonce == "" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "'nonce-"+nonce+"'") {
		t.Errorf("error page %q with CSP %q", w.Body, w.Header().Get("Content-Security-Policy"))
	}
	if body := get(e, "/api/v1/me").Body.String(); body != "" {
		t.Errorf("the API has a nonce: %q", body)
	}
}

func TestHeadersOverHTTPS(t *testing.T) {
	site := mustSite(t, "https://dash.example.org")
	e := echo.New()
	e.Use(securityHeaders(site, rand.Reader))
	e.GET("/*", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	for path, referrer := range map[string]string{
		"/login": "same-origin", "/reset-password?token=abc": "no-referrer", "/setup?x=1&token=abc": "no-referrer", "/login?next=token": "same-origin",
	} {
		h := get(e, path).Header()
		if h.Get("Strict-Transport-Security") != "max-age=63072000; includeSubDomains" || !strings.HasSuffix(h.Get("Content-Security-Policy"), "; upgrade-insecure-requests") {
			t.Errorf("%s: %v", path, h)
		}
		if got := h.Get("Referrer-Policy"); got != referrer {
			t.Errorf("%s: Referrer-Policy %q, want %q", path, got, referrer)
		}
	}
	// Over http the form of such a page would lose its Origin and, in some
	// browsers, have nothing in its place.
	if got := get(baseServer(t, "http://localhost:8080", nil), "/reset-password?token=abc").Header().Get("Referrer-Policy"); got != "same-origin" {
		t.Errorf("over http: %q", got)
	}
}

func TestHeadersWithoutRandomness(t *testing.T) {
	e := echo.New()
	e.Use(securityHeaders(mustSite(t, "http://localhost"), bytes.NewReader(nil)))
	e.GET("/", func(c echo.Context) error { return c.String(http.StatusOK, "page") })
	if w := get(e, "/"); w.Code != 500 || strings.Contains(w.Header().Get("Content-Security-Policy"), "nonce") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestForeignHostIsRefused(t *testing.T) {
	e := baseServer(t, "http://localhost:8080", nil)
	for _, test := range []struct {
		target, host string
		status       int
	}{
		{"/login", "localhost:8080", 200},
		{"/login", "127.0.0.1:8080", 200},
		{"/login", "evil.example", 400},
		{"/login", "", 400},
		{"/api/v1/me", "evil.example", 400},
		{"/static/app.css", "evil.example", 400},
		{"/healthz", "10.1.2.3:8080", 200},
		{"/readyz", "10.1.2.3:8080", 200},
		{"/nothing", "evil.example", 400}, // a stranger learns no paths
	} {
		r := httptest.NewRequest("GET", test.target, nil)
		r.Host = test.host
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%s at %q: %d, want %d", test.target, test.host, w.Code, test.status)
		}
		if strings.Contains(w.Body.String(), "evil") {
			t.Errorf("the answer repeats the host: %s", w.Body)
		}
	}
}
