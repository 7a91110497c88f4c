package handlers_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/handlers"
	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// discard is a ResponseWriter that keeps nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkRequest is GET /api/v1/me with all checks, beside a bare handler of
// the framework with an answer of the same size. What the network costs is in
// neither.
func BenchmarkRequest(b *testing.B) {
	ctx := context.Background()
	public := &url.URL{Scheme: "http", Host: "localhost"}
	quiet := slog.New(handlers.NewLogHandler(slog.DiscardHandler))
	s, err := security.Open(ctx, security.Options{DataDir: filepath.Join(b.TempDir(), "data"), PublicURL: public, Hashing: securitytest.CheapHashing, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(ctx); err != nil {
			b.Error(err)
		}
	}()
	const address = "ada@example.org"
	if _, _, err := s.AddUser(ctx, address, "viewer", secret.NewText(scriptPassword)); err != nil {
		b.Fatal(err)
	}
	in, err := s.Login(ctx, security.Request{}, session.API, address, secret.NewText(scriptPassword))
	if err != nil {
		b.Fatal(err)
	}
	tokens, err := s.Tokens(in)
	if err != nil {
		b.Fatal(err)
	}
	caller, err := s.IdentifyBearer(ctx, security.Request{}, tokens.Access)
	if err != nil {
		b.Fatal(err)
	}
	_, key, err := s.CreateKey(ctx, caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		b.Fatal(err)
	}
	web, err := handlers.New(handlers.Options{Service: s, PublicURL: public, Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	bare := echo.New()
	bare.GET("/api/v1/me", func(c echo.Context) error {
		return c.JSON(http.StatusOK, map[string]any{"id": caller.User.ID, "email": address, "role": "viewer", "permissions": caller.Held().Permissions(), "mfa_enabled": false})
	})
	for _, c := range []struct {
		name    string
		handler http.Handler
		bearer  secret.Text
	}{{"bare", bare, key}, {"key", web, key}, {"token", web, tokens.Access}} {
		b.Run(c.name, func(b *testing.B) {
			request := httptest.NewRequest(http.MethodGet, "http://localhost/api/v1/me", nil)
			request.Header.Set("Authorization", "Bearer "+c.bearer.Reveal())
			b.ReportAllocs()
			for b.Loop() {
				c.handler.ServeHTTP(&discard{http.Header{}}, request)
			}
		})
	}
}
