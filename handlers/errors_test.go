package handlers

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

// secerrCodes reads the codes from the source of package secerr, so that a new
// one is found without anybody listing it here.
func secerrCodes(t *testing.T) map[string]secerr.Code {
	t.Helper()
	files, err := filepath.Glob("../security/secerr/*.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]secerr.Code{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Code" || len(spec.Values) != 1 {
				return true
			}
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			codes[spec.Names[0].Name] = secerr.Code(value)
			return true
		})
	}
	if len(codes) < 20 {
		t.Fatalf("found %d codes in package secerr; the test no longer reads it right", len(codes))
	}
	return codes
}

// contractStatus is the table of the contract, and of what joined it.
var contractStatus = map[secerr.Code]int{
	"bad_request": 400, "unauthenticated": 401, "token_expired": 401, "token_revoked": 401, "invalid_credentials": 401,
	"invalid_code": 401, "captcha_required": 401, "forbidden": 403, "insufficient_scope": 403, "mfa_enrollment_required": 403,
	"csrf_failed": 403, "ip_blocked": 403, "nonce_invalid": 403, "not_found": 404, "method_not_allowed": 405, "conflict": 409,
	"precondition_failed": 412, "payload_too_large": 413, "unsupported_media_type": 415, "validation_failed": 422, "nonce_required": 428,
	"rate_limited": 429, "account_locked": 429, "internal": 500, "unavailable": 503,
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	codes := secerrCodes(t)
	known := map[secerr.Code]bool{}
	for name, code := range codes {
		known[code] = true
		row, ok := refusals[code]
		if !ok || row.Title == "" {
			t.Errorf("secerr.%s has no row in refusals", name)
			continue
		}
		if want, ok := contractStatus[code]; ok && row.Status != want {
			t.Errorf("%s is %d, the contract says %d", code, row.Status, want)
		}
		if p := ToProblem(secerr.New(code, "Because."), "r"); p.Status != row.Status || p.Code != code || p.Detail != "Because." {
			t.Errorf("%s becomes %+v", code, p)
		}
	}
	for code := range refusals {
		if !known[code] {
			t.Errorf("refusals has %s, which package secerr does not know", code)
		}
	}
}

func TestToProblem(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		code  secerr.Code
		retry int64
	}{
		{"a refusal", secerr.New(secerr.Conflict, "Taken."), secerr.Conflict, 0},
		{"a wrapped refusal", fmt.Errorf("saving: %w", secerr.New(secerr.NotFound, "")), secerr.NotFound, 0},
		{"a code without a row", secerr.New("made_up", "hidden-cause"), secerr.Internal, 0},
		{"an unforeseen error", errors.New("open /secret/hidden-cause: no such file"), secerr.Internal, 0},
		{"the router's 404", echo.ErrNotFound, secerr.NotFound, 0},
		{"the router's 405", echo.ErrMethodNotAllowed, secerr.MethodNotAllowed, 0},
		{"echo's 401", echo.ErrUnauthorized, secerr.Unauthenticated, 0},
		{"echo's 403", echo.ErrForbidden, secerr.Forbidden, 0},
		{"echo's 413", echo.ErrStatusRequestEntityTooLarge, secerr.PayloadTooLarge, 0},
		{"echo's 415", echo.ErrUnsupportedMediaType, secerr.UnsupportedMediaType, 0},
		{"echo's 429", echo.ErrTooManyRequests, secerr.RateLimited, 1},
		{"echo's 503", echo.ErrServiceUnavailable, secerr.Unavailable, 1},
		{"another 4xx with a message", echo.NewHTTPError(http.StatusTeapot, "hidden-cause"), secerr.BadRequest, 0},
		{"another 5xx with a message", echo.NewHTTPError(http.StatusBadGateway, "hidden-cause"), secerr.Internal, 0},
		{"a refusal inside echo's error", echo.NewHTTPError(400).SetInternal(secerr.New(secerr.Forbidden, "")), secerr.Forbidden, 0},
		{"a body beyond its limit", fmt.Errorf("reading: %w", &http.MaxBytesError{Limit: 1}), secerr.PayloadTooLarge, 0},
		{"a deadline", fmt.Errorf("query: %w", context.DeadlineExceeded), secerr.Unavailable, 1},
		{"a cancelled wait", fmt.Errorf("query: %w", context.Canceled), secerr.Unavailable, 1},
		{"limited without a time", secerr.New(secerr.RateLimited, ""), secerr.RateLimited, 1},
		{"a part of a second is a whole one", &secerr.Error{Code: secerr.RateLimited, RetryAfter: time.Millisecond}, secerr.RateLimited, 1},
		{"rounded up", &secerr.Error{Code: secerr.Unavailable, RetryAfter: 2*time.Second + 1}, secerr.Unavailable, 3},
		{"whole seconds stay", &secerr.Error{Code: secerr.Unavailable, RetryAfter: 2 * time.Second}, secerr.Unavailable, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := ToProblem(test.err, "the-id")
			if p.Code != test.code || p.RetryAfter != test.retry || p.Status != refusals[test.code].Status {
				t.Errorf("got %+v, want code %s and retry_after %d", p, test.code, test.retry)
			}
			if p.Detail == "" || p.Title == "" || p.Type != "about:blank" || p.RequestID != "the-id" {
				t.Errorf("a member is missing: %+v", p)
			}
			if strings.Contains(fmt.Sprint(p), "hidden-cause") {
				t.Errorf("the cause leaks: %+v", p)
			}
		})
	}
}

// failing answers each request with err through the error handler.
func failing(t *testing.T, err error, log *slog.Logger, r *http.Request) *httptest.ResponseRecorder {
	t.Helper()
	e := echo.New()
	e.HTTPErrorHandler = ErrorHandler(func(c echo.Context, p Problem) error {
		return c.HTML(p.Status, "<p>"+p.Detail+"</p>")
	}, log)
	e.Use(requestIDs(strings.NewReader(strings.Repeat("0", requestIDBytes))))
	e.Any("/*", func(c echo.Context) error {
		c.Response().Header().Set("Content-Disposition", "attachment")
		c.Response().Header().Set("ETag", `"1"`)
		return err
	})
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

func TestProblemOnTheWire(t *testing.T) {
	err := &secerr.Error{Code: secerr.ValidationFailed, Detail: "No.", Fields: []secerr.Field{{Field: "email", Detail: "Bad."}}}
	w := failing(t, err, slog.New(slog.DiscardHandler), httptest.NewRequest("POST", "/api/v1/users", nil))
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	if w.Code != 422 || w.Header().Get("Content-Disposition") != "" || w.Header().Get("ETag") != "" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("status %d, headers %v", w.Code, w.Header())
	}
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"type": "about:blank", "title": refusals[secerr.ValidationFailed].Title, "status": 422.0, "detail": "No.",
		"code": "validation_failed", "request_id": w.Header().Get("X-Request-Id"), "errors": []any{map[string]any{"field": "email", "detail": "Bad."}}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got["request_id"] == "" {
		t.Error("no request id")
	}

	w = failing(t, secerr.New(secerr.RateLimited, "Slow down."), slog.New(slog.DiscardHandler), httptest.NewRequest("GET", "/api/v1/me", nil))
	if w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"retry_after":1`) {
		t.Errorf("Retry-After %q, body %s", w.Header().Get("Retry-After"), w.Body)
	}
	if strings.Contains(w.Body.String(), "errors") {
		t.Errorf("errors outside 422: %s", w.Body)
	}
}

func TestWhoGetsAPage(t *testing.T) {
	tests := []struct {
		method, path, accept string
		json                 bool
	}{
		{"GET", "/api/v1/nothing", "text/html", true},
		{"GET", "/healthz", "", true},
		{"GET", "/readyz", "text/html", true},
		{"GET", "/metrics", "", true},
		{"GET", "/ws/audit", "", true},
		{"GET", "/audit", "text/html,application/xhtml+xml,*/*;q=0.8", false},
		{"GET", "/audit", "", false},
		{"GET", "/audit", "*/*", false},
		{"GET", "/audit", "application/json", true},
		{"GET", "/audit", "application/problem+json", true},
		{"GET", "/audit", "application/json, text/html", false},
		{"GET", "/apiary", "", false},
		{"GET", "/healthzz", "", false},
	}
	for _, test := range tests {
		r := httptest.NewRequest(test.method, test.path, nil)
		r.Header.Set("Accept", test.accept)
		w := failing(t, secerr.New(secerr.Forbidden, "Not yours."), slog.New(slog.DiscardHandler), r)
		if isJSON := w.Header().Get("Content-Type") == problemContentType; isJSON != test.json || w.Code != 403 || !strings.Contains(w.Body.String(), "Not yours.") {
			t.Errorf("%s %s (%s): JSON %v, status %d, body %s", test.method, test.path, test.accept, isJSON, w.Code, w.Body)
		}
	}
}

func TestHeadHasNoBody(t *testing.T) {
	for path, media := range map[string]string{"/audit": "text/html; charset=utf-8", "/api/v1/me": problemContentType} {
		w := failing(t, echo.ErrNotFound, slog.New(slog.DiscardHandler), httptest.NewRequest("HEAD", path, nil))
		if w.Code != 404 || w.Body.Len() != 0 || w.Header().Get("Content-Type") != media {
			t.Errorf("%s: %d %q %v", path, w.Code, w.Body, w.Header())
		}
	}
}

func TestBearerChallenge(t *testing.T) {
	tests := []struct {
		code          secerr.Code
		authorization string
		want          string
	}{
		{secerr.Unauthenticated, "", `Bearer realm="patronus"`},
		{secerr.Unauthenticated, "Bearer x", `Bearer realm="patronus", error="invalid_token"`},
		{secerr.TokenExpired, "Bearer x", `Bearer realm="patronus", error="invalid_token"`},
		{secerr.TokenRevoked, "Bearer x", `Bearer realm="patronus", error="invalid_token"`},
		{secerr.InvalidCredentials, "", `Bearer realm="patronus"`},
		{secerr.InsufficientScope, "Bearer x", `Bearer realm="patronus", error="insufficient_scope"`},
		{secerr.Forbidden, "Bearer x", ""},
		{secerr.NotFound, "", ""},
	}
	for _, test := range tests {
		r := httptest.NewRequest("GET", "/api/v1/me", nil)
		if test.authorization != "" {
			r.Header.Set("Authorization", test.authorization)
		}
		w := failing(t, secerr.New(test.code, ""), slog.New(slog.DiscardHandler), r)
		if got := w.Header().Get("WWW-Authenticate"); got != test.want {
			t.Errorf("%s with %q: %q, want %q", test.code, test.authorization, got, test.want)
		}
	}
	if w := failing(t, secerr.New(secerr.InvalidCredentials, ""), slog.New(slog.DiscardHandler), httptest.NewRequest("POST", "/login", nil)); w.Header().Get("WWW-Authenticate") != "" {
		t.Error("a page must not challenge")
	}
}

func TestCauseGoesToTheLogOnly(t *testing.T) {
	for path, level := range map[string]string{"/api/v1/me": "ERROR", "/audit": "ERROR"} {
		var out bytes.Buffer
		log := slog.New(NewLogHandler(slog.NewTextHandler(&out, nil)))
		w := failing(t, errors.New("disk on fire"), log, httptest.NewRequest("GET", path, nil))
		if w.Code != 500 || strings.Contains(w.Body.String(), "fire") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		for _, part := range []string{"level=" + level, "disk on fire", "code=internal", "request_id=" + w.Header().Get("X-Request-Id")} {
			if !strings.Contains(out.String(), part) {
				t.Errorf("no %q in the log: %s", part, out.String())
			}
		}
	}
	var out bytes.Buffer
	failing(t, secerr.Wrap(secerr.Forbidden, "No.", errors.New("why")), slog.New(slog.NewTextHandler(&out, nil)), httptest.NewRequest("GET", "/audit", nil))
	if !strings.Contains(out.String(), "level=INFO") || !strings.Contains(out.String(), "code=forbidden") || !strings.Contains(out.String(), "why") {
		t.Errorf("log: %s", out.String())
	}
}

func TestClientThatLeft(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	r := httptest.NewRequest("GET", "/audit", nil).WithContext(ctx)
	w := failing(t, fmt.Errorf("query: %w", ctx.Err()), slog.New(slog.NewTextHandler(&out, nil)), r)
	if w.Code != statusClientClosedRequest || w.Body.Len() != 0 || out.Len() != 0 {
		t.Errorf("%d %q, log %q", w.Code, w.Body, out.String())
	}
}

// At shutdown a wait inside is cancelled while the client is still there.
func TestClientThatStillWaits(t *testing.T) {
	w := failing(t, fmt.Errorf("writer: %w", context.Canceled), slog.New(slog.DiscardHandler), httptest.NewRequest("GET", "/api/v1/me", nil))
	if w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestErrorAfterTheAnswerBegan(t *testing.T) {
	var out bytes.Buffer
	e := echo.New()
	e.HTTPErrorHandler = ErrorHandler(nil, slog.New(slog.NewTextHandler(&out, nil)))
	e.GET("/", func(c echo.Context) error {
		if err := c.String(http.StatusOK, "half"); err != nil {
			return err
		}
		return errors.New("torn")
	})
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 200 || w.Body.String() != "half" || !strings.Contains(out.String(), "torn") {
		t.Errorf("%d %q, log %q", w.Code, w.Body, out.String())
	}
}

func TestPageThatFailsBecomesJSON(t *testing.T) {
	var out bytes.Buffer
	e := echo.New()
	e.HTTPErrorHandler = ErrorHandler(func(echo.Context, Problem) error { return errors.New("no template") }, slog.New(slog.NewTextHandler(&out, nil)))
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/nothing", nil))
	if w.Code != 404 || w.Header().Get("Content-Type") != problemContentType || !strings.Contains(out.String(), "no template") {
		t.Errorf("%d %v, log %q", w.Code, w.Header(), out.String())
	}
}

// An error page must be drawn even when the request's time is over.
func TestPageIsDrawnAfterTheDeadline(t *testing.T) {
	e := echo.New()
	e.HTTPErrorHandler = ErrorHandler(func(c echo.Context, p Problem) error {
		if err := c.Request().Context().Err(); err != nil {
			return err
		}
		return c.HTML(p.Status, "page")
	}, slog.New(slog.DiscardHandler))
	e.Use(timeLimit(0))
	e.GET("/", func(c echo.Context) error { return c.Request().Context().Err() })
	w := httptest.NewRecorder()
	e.Use(logRequests(slog.New(slog.DiscardHandler), time.Now))
	e.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 503 || w.Body.String() != "page" || w.Header().Get("Retry-After") != "1" {
		t.Errorf("%d %q %v", w.Code, w.Body, w.Header())
	}
}
