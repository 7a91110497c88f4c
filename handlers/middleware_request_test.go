package handlers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/labstack/echo/v4"
)

func TestRequestIDIsOurs(t *testing.T) {
	e := baseServer(t, "http://localhost:8080", nil)
	seen := map[string]bool{}
	for range 3 {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = "localhost"
		r.Header.Set("X-Request-Id", "forged")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		id := w.Header().Get("X-Request-Id")
		if len(w.Header().Values("X-Request-Id")) != 1 || len(id) != 32 || seen[id] {
			t.Errorf("request id %q", id)
		}
		seen[id] = true
	}
	if got := RequestIDFrom(t.Context()); got != "" {
		t.Errorf("outside a request: %q", got)
	}
}

func TestLogHandlerKeepsTheID(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewLogHandler(slog.NewTextHandler(&out, nil))).With("a", 1).WithGroup("g")
	ctx := context.WithValue(t.Context(), requestIDKey{}, "the-id")
	log.InfoContext(ctx, "inside")
	if !strings.Contains(out.String(), "request_id=the-id") || !strings.Contains(out.String(), "a=1") {
		t.Errorf("log: %s", out.String())
	}
	out.Reset()
	log.InfoContext(t.Context(), "outside")
	if strings.Contains(out.String(), "request_id") {
		t.Errorf("log: %s", out.String())
	}
}

func TestAccessLog(t *testing.T) {
	for _, test := range []struct {
		method, target string
		want           []string
		not            string
	}{
		{"GET", "/items/secret-7?token=secret", []string{"level=INFO", "route=/items/:id", "status=200", "method=GET", "client_ip=198.51.100.7"}, "secret"},
		{"GET", "/secret-path", []string{"route=unmatched", "status=404"}, "secret"},
		{"POST", "/items/secret-7", []string{"route=/items/:id", "status=405"}, "secret"},
		{"SECRET", "/items/7", []string{"method=OTHER", "status=405"}, "SECRET"},
		{"GET", "/healthz", []string{"level=DEBUG", "status=200"}, "level=INFO"},
		{"GET", "/panic", []string{"status=500", "panic=boom", "stack=", "level=ERROR"}, "status=200"},
	} {
		var out bytes.Buffer
		log := slog.New(NewLogHandler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})))
		e := baseServer(t, "http://localhost:8080", log)
		r := httptest.NewRequest(test.method, test.target, nil)
		r.Host, r.RemoteAddr = "localhost", "127.0.0.1:9"
		r.Header.Set("X-Forwarded-For", "198.51.100.7")
		w := httptest.NewRecorder()
		e.ServeHTTP(w, r)
		id := w.Header().Get("X-Request-Id")
		if n := strings.Count(out.String(), "msg=request "); n != 1 || !strings.Contains(out.String(), "request_id="+id) {
			t.Errorf("%s %s: %d lines: %s", test.method, test.target, n, out.String())
		}
		for _, part := range test.want {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s %s: no %q in: %s", test.method, test.target, part, out.String())
			}
		}
		if strings.Contains(out.String(), test.not) {
			t.Errorf("%s %s: %q in: %s", test.method, test.target, test.not, out.String())
		}
	}
}

func TestPanicIsAnInternalError(t *testing.T) {
	w := get(baseServer(t, "http://localhost:8080", nil), "/panic")
	if w.Code != 500 || strings.Contains(w.Body.String(), "boom") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	defer func() {
		if v := recover(); v != http.ErrAbortHandler {
			t.Errorf("recovered %v", v)
		}
	}()
	get(baseServer(t, "http://localhost:8080", nil), "/abort")
	t.Error("http.ErrAbortHandler was swallowed")
}

func TestTraceAndConnectAreRefused(t *testing.T) {
	e := baseServer(t, "http://localhost:8080", nil)
	e.Any("/any", func(c echo.Context) error { return c.String(http.StatusOK, c.Request().Header.Get("Authorization")) })
	for _, method := range []string{"TRACE", "CONNECT"} {
		for _, path := range []string{"/any", "/nothing", "/login"} {
			r := httptest.NewRequest(method, path, nil)
			r.Host = "localhost"
			r.Header.Set("Authorization", "Bearer secret")
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != 405 || w.Header().Get("Allow") == "" || strings.Contains(w.Body.String(), "secret") {
				t.Errorf("%s %s: %d %v %s", method, path, w.Code, w.Header(), w.Body)
			}
		}
	}
	r := httptest.NewRequest("DELETE", "/login", nil)
	r.Host = "localhost"
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code != 405 || !strings.Contains(w.Header().Get("Allow"), "GET") || strings.Contains(w.Header().Get("Allow"), "DELETE") {
		t.Errorf("405 of the router: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestTimeLimitEndsTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := baseServer(t, "http://localhost:8080", nil)
		e.GET("/api/v1/slow", func(c echo.Context) error {
			<-c.Request().Context().Done()
			return fmt.Errorf("query: %w", c.Request().Context().Err())
		})
		start := time.Now()
		w := get(e, "/api/v1/slow")
		if w.Code != 503 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"unavailable"`) {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		if took := time.Since(start); took != requestTimeout {
			t.Errorf("took %s of the bubble's clock", took)
		}
	})
}

// exchange sends raw bytes to a real server and reads one answer.
func exchange(t *testing.T, addr, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A server that waits for more than it was sent fails the test here.
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func TestBodiesOnTheWire(t *testing.T) {
	server := httptest.NewServer(baseServer(t, "http://localhost:8080", nil))
	defer server.Close()
	addr := server.Listener.Addr().String()
	chunk := func(n int) string { return fmt.Sprintf("%x\r\n%s\r\n", n, strings.Repeat(" ", n)) }
	const head = "POST /api/v1/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	const small = `{"text":"x"}`
	tests := []struct {
		name, request string
		status        int
		closes        bool
	}{
		{"a length", head + "Content-Length: 12\r\n\r\n" + small, 200, false},
		{"chunked", head + "Transfer-Encoding: chunked\r\n\r\nc\r\n" + small + "\r\n0\r\n\r\n", 200, true},
		{"a length and chunked", head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n" + small + "\r\n0\r\n\r\n", 200, true},
		{"a declared length too large", head + "Content-Length: 65537\r\n\r\n", 413, true},
		{"chunked and too large", head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(40000) + chunk(40000) + "0\r\n\r\n", 413, true},
		{"an absolute target of another host", "GET http://evil.example/login HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, false},
		{"an absolute target of ours", "GET http://localhost/login HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200, false},
		{"an encoded slash is no way around the host", "GET /healthz%2f..%2flogin HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400, false},
		{"TRACE", "TRACE /login HTTP/1.1\r\nHost: localhost\r\n\r\n", 405, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			answer, body := exchange(t, addr, test.request)
			if answer.StatusCode != test.status || answer.Close != test.closes {
				t.Errorf("status %d, close %v: %s", answer.StatusCode, answer.Close, body)
			}
			if answer.Header.Get("X-Frame-Options") != "DENY" || answer.Header.Get("X-Request-Id") == "" {
				t.Errorf("headers: %v", answer.Header)
			}
		})
	}
}

func TestExactlyTheLimitPasses(t *testing.T) {
	e := baseServer(t, "http://localhost:8080", nil)
	for length, status := range map[int]int{maxBodyBytes: 200, maxBodyBytes + 1: 413} {
		for _, known := range []bool{true, false} {
			body := `{"text":"` + strings.Repeat("x", length-len(`{"text":""}`)) + `"}`
			r := httptest.NewRequest("POST", "/api/v1/echo", io.NopCloser(strings.NewReader(body)))
			r.Host = "localhost"
			r.Header.Set("Content-Type", "application/json")
			r.ContentLength = -1
			if known {
				r.ContentLength = int64(length)
			}
			w := httptest.NewRecorder()
			e.ServeHTTP(w, r)
			if w.Code != status {
				t.Errorf("%d bytes, length known %v: %d %s", length, known, w.Code, w.Body)
			}
		}
	}
}

// Whatever a handler does with a body, it gets no more than the limit.
func TestEveryReaderOfABodyIsLimited(t *testing.T) {
	e := baseServer(t, "http://localhost:8080", nil)
	e.POST("/api/v1/raw", func(c echo.Context) error {
		_, err := io.Copy(io.Discard, c.Request().Body)
		return err
	})
	r := httptest.NewRequest("POST", "/api/v1/raw", io.NopCloser(strings.NewReader(strings.Repeat("x", maxBodyBytes+1))))
	r.Host, r.ContentLength = "localhost", -1
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code != 413 || !strings.Contains(w.Body.String(), `"payload_too_large"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestNoRequestIDWithoutRandomness(t *testing.T) {
	e := echo.New()
	e.Use(requestIDs(io.LimitReader(rand.Reader, requestIDBytes-1)))
	e.GET("/", func(c echo.Context) error { return c.NoContent(http.StatusNoContent) })
	if w := get(e, "/"); w.Code != 500 {
		t.Errorf("status %d", w.Code)
	}
}
