package security_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/mail"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// BenchmarkTimingOfRefusals measures, with the real cost of a hash, how long the
// answers take that must not be told apart: 200 of each, mixed, so that
// whatever else the machine does meets all alike. Run it with -benchtime 1x.
func BenchmarkTimingOfRefusals(b *testing.B) {
	const rounds = 200
	dir := filepath.Join(b.TempDir(), "data")
	ctx := context.Background()
	s, err := security.Open(ctx, security.Options{DataDir: dir,
		PublicURL: &url.URL{Scheme: "https", Host: "dashboard.example.org"}, Log: slog.New(slog.DiscardHandler),
		Mail: mailerFunc(func(context.Context, mail.Message) error { return nil })})
	if err != nil {
		b.Fatal(err)
	}
	if err := securitytest.Unlimited(dir); err != nil {
		b.Fatal(err)
	}
	delivering, stop := context.WithCancel(ctx)
	var delivered sync.WaitGroup
	delivered.Go(func() { s.Deliver(delivering) })
	defer delivered.Wait()
	defer stop()
	defer func() {
		if err := s.Close(ctx); err != nil {
			b.Error(err)
		}
	}()
	if _, _, err := s.AddUser(ctx, "keeper@example.org", "admin", secret.NewText(pw)); err != nil {
		b.Fatal(err)
	}
	for _, address := range []string{"known@example.org", "disabled@example.org"} {
		if _, _, err := s.AddUser(ctx, address, "user", secret.NewText(pw)); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.DisableUser(ctx, "disabled@example.org"); err != nil {
		b.Fatal(err)
	}
	if _, _, err := s.AddUser(ctx, "invited@example.org", "user", secret.Text{}); err != nil {
		b.Fatal(err)
	}
	signIn := func(address string) func() {
		return func() {
			if _, err := s.Login(ctx, security.Request{}, session.API, address, secret.NewText("no password of anybody's")); err == nil {
				b.Fatal("signed in")
			}
		}
	}
	forget := func(address string) func() {
		return func() {
			if err := s.RequestPasswordReset(ctx, security.Request{}, address); err != nil {
				b.Fatal(err)
			}
		}
	}
	kinds := []struct {
		name string
		do   func()
	}{
		{"sign-in-wrong-password", signIn("known@example.org")}, {"sign-in-unknown", signIn("nobody@example.org")},
		{"sign-in-disabled", signIn("disabled@example.org")}, {"sign-in-no-password", signIn("invited@example.org")},
		{"forgot-known", forget("known@example.org")}, {"forgot-unknown", forget("nobody@example.org")}, {"forgot-disabled", forget("disabled@example.org")},
	}
	for b.Loop() {
		took := make([][]time.Duration, len(kinds))
		for range rounds {
			// In any order: what came before leaves the processor's caches warm
			// or cold.
			for _, i := range rand.Perm(len(kinds)) {
				began := time.Now()
				kinds[i].do()
				took[i] = append(took[i], time.Since(began))
			}
		}
		for i, kind := range kinds {
			slices.Sort(took[i])
			b.ReportMetric(float64(took[i][rounds/2].Microseconds()), kind.name+"-p50-µs")
			b.ReportMetric(float64(took[i][rounds*9/10].Microseconds()), kind.name+"-p90-µs")
		}
	}
	b.ReportMetric(0, "ns/op")
}
