package security_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
)

const day = 24 * time.Hour

// keyFor makes a key that ends after some days.
func keyFor(t *testing.T, s *security.Service, c security.Caller, name string, days int64) string {
	t.Helper()
	key, _, err := s.CreateKey(context.Background(), c, security.KeyRequest{Name: name, Scopes: []string{"audit:read"}, ExpiresInDays: &days})
	if err != nil {
		t.Fatal(err)
	}
	return key.ID
}

// warned runs the janitor and returns what arrived.
func warned(t *testing.T, s *security.Service, p *post) []string {
	t.Helper()
	ctx := context.Background()
	if err := s.WarnOfExpiry(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.DeliverDue(ctx); err != nil {
		t.Fatal(err)
	}
	return p.take()
}

// TestAnExpiryIsToldOnce: seven days before, in one mail, whichever of two servers
// notices it.
func TestAnExpiryIsToldOnce(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, dir := securitytest.OpenWithMail(t, clock, sender)
	other := securitytest.BesideWithMail(t, clock, dir, sender)
	if _, _, err := s.AddUser(ctx, email, "admin", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	c := identify(t, s, login(t, s))
	p.take()
	keyFor(t, s, c, "nightly http://evil.example", 30)
	keyFor(t, s, c, "short", 7)
	revoked := keyFor(t, s, c, "revoked", 30)
	if err := s.RevokeKey(ctx, c, revoked); err != nil {
		t.Fatal(err)
	}
	clock.Advance(23*day - time.Microsecond)
	if mails := warned(t, s, p); len(mails) != 0 {
		t.Errorf("too soon:\n%s", mails)
	}
	clock.Advance(time.Microsecond)
	mails := warned(t, s, p)
	if len(mails) != 1 || !strings.Contains(mails[0], "To: "+email) || !strings.Contains(mails[0], "Your API key expires soon") ||
		!strings.Contains(mails[0], "Name: nightly http evil example") || !strings.Contains(mails[0], "Expires: 1 February 2026") {
		t.Fatalf("the mails are %q", mails)
	}
	for _, again := range []*security.Service{s, other} {
		clock.Advance(day)
		if mails := warned(t, again, p); len(mails) != 0 {
			t.Errorf("a second mail:\n%s", mails)
		}
	}
}

// TestAnExpiryIsNotToldInVain: not of a key that was revoked while its mail
// waited, nor to who is shut out.
func TestAnExpiryIsNotToldInVain(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, _ := securitytest.OpenWithMail(t, clock, sender)
	for _, address := range []string{email, "eve@example.org"} {
		if _, _, err := s.AddUser(ctx, address, "admin", secret.NewText(pw)); err != nil {
			t.Fatal(err)
		}
	}
	c := identify(t, s, login(t, s))
	id := keyFor(t, s, c, "x", 30)
	keyFor(t, s, c, "y", 60)
	p.take()
	clock.Advance(24 * day)
	if err := s.WarnOfExpiry(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.RevokeKey(ctx, identify(t, s, login(t, s)), id); err != nil {
		t.Fatal(err)
	}
	for _, mail := range warned(t, s, p) {
		if strings.Contains(mail, "expires soon") {
			t.Errorf("a mail about a revoked key:\n%s", mail)
		}
	}
	clock.Advance(30 * day)
	if err := s.DisableUser(ctx, email); err != nil {
		t.Fatal(err)
	}
	if mails := warned(t, s, p); len(mails) != 0 {
		t.Errorf("a mail to a disabled user:\n%s", mails)
	}
}

// TestManyExpiriesAreAllTold: beyond what an address gets at once, later.
func TestManyExpiriesAreAllTold(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	p, sender := openPost(t)
	s, _ := securitytest.OpenWithMail(t, clock, sender)
	if _, _, err := s.AddUser(ctx, email, "admin", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	c := identify(t, s, login(t, s))
	p.take()
	const keys = 8
	for i := range keys {
		keyFor(t, s, c, fmt.Sprintf("key %d.", i), 30)
	}
	clock.Advance(24 * day)
	var mails []string
	for range 30 { // half an hour
		mails = append(mails, warned(t, s, p)...)
		clock.Advance(time.Minute)
	}
	all := strings.Join(mails, "\n")
	for i := range keys {
		if n := strings.Count(all, fmt.Sprintf("Name: key %d\r\n", i)) + strings.Count(all, fmt.Sprintf("Name: key %d\n", i)); n != 1 {
			t.Errorf("key %d is told of %d times", i, n)
		}
	}
}
