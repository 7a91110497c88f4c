package security_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/captcha"
	"patronus.internal/dashboard/security/geo"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// suspicions are the reasons of each suspicious_activity event, oldest first.
func suspicions(t *testing.T, dataDir string) (reasons []string) {
	t.Helper()
	rows, err := (&enrolled{dataDir: dataDir}).outside(t).Query("SELECT details FROM audit_events WHERE event_type = $1 AND severity = 'critical' ORDER BY seq", string(audit.SuspiciousActivity))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		var details struct{ Reasons []string }
		if err := json.Unmarshal([]byte(text), &details); err != nil {
			t.Fatal(err)
		}
		reasons = append(reasons, details.Reasons...)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return reasons
}

// try is an attempt to sign in as a handler makes it: first the limiter.
func try(s *security.Service, from string, email, password string) error {
	ctx, req := context.Background(), security.Request{IP: netip.MustParseAddr(from)}
	if err := s.Blocked(ctx, req); err != nil {
		return err
	}
	if _, err := s.LimitLogin(ctx, req, email); err != nil {
		return err
	}
	_, err := s.Login(ctx, req, session.API, email, secret.NewText(password))
	return err
}

// TestSprayIsBlockedAndOthersSignIn: one guess on each of a thousand accounts,
// from one address, with the policy of a new installation.
func TestSprayIsBlockedAndOthersSignIn(t *testing.T) {
	s, dir := securitytest.Open(t, securitytest.NewClock())
	if _, _, err := s.AddUser(context.Background(), email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	codes := map[secerr.Code]int{}
	for i := range 1000 {
		codes[secerr.CodeOf(try(s, "198.51.100.7", fmt.Sprintf("user%d@example.org", i), "Winter2026"))]++
		if i == 500 {
			if err := try(s, "192.0.2.1", email, pw); err != nil {
				t.Errorf("somebody else, in the middle of it: %v", err)
			}
		}
	}
	if codes[secerr.InvalidCredentials] != 5 || codes[secerr.IPBlocked] < 900 {
		t.Errorf("the answers were %v", codes)
	}
	if got := suspicions(t, dir); !slices.Equal(got, []string{"spray"}) {
		t.Errorf("the events tell of %v", got)
	}
	var blocks int
	if err := (&enrolled{dataDir: dir}).outside(t).QueryRow("SELECT COUNT(*) FROM ip_blocks WHERE network = '198.51.100.7/32' AND source = 'automatic'").Scan(&blocks); err != nil || blocks != 1 {
		t.Errorf("%d blocks, %v", blocks, err)
	}
	var events int
	if err := (&enrolled{dataDir: dir}).outside(t).QueryRow("SELECT COUNT(*) FROM audit_events").Scan(&events); err != nil || events > 60 {
		t.Errorf("%d events were written of it, %v", events, err)
	}
}

// TestAHundredAddressesOnOneAccount: the account is locked for them, the event
// tells what it was, and a browser that signed in before signs in.
func TestAHundredAddressesOnOneAccount(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	s, dir := securitytest.Open(t, clock)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in, err := s.Login(ctx, security.Request{}, session.Browser, email, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	if err := securitytest.WithoutRateLimits(dir); err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for i := range 100 {
		req := security.Request{IP: netip.AddrFrom4([4]byte{203, 0, 113, byte(i)})}
		_, err := s.Login(ctx, req, session.API, email, secret.NewText("wrong"))
		if refusal := asCaptcha(err); refusal != nil {
			req.Captcha.Work = securitytest.SolveCaptcha(t, *refusal)
			_, err = s.Login(ctx, req, session.API, email, secret.NewText("wrong"))
		}
		if secerr.Is(err, secerr.InvalidCredentials) {
			wrong++
		}
		clock.Advance(2 * time.Second)
	}
	if limit := int(s.Policy().Lockout.LockAfter); wrong > limit {
		t.Errorf("%d passwords were tried, the lock comes after %d", wrong, limit)
	}
	if got := suspicions(t, dir); !slices.Equal(got, []string{"distributed"}) {
		t.Errorf("the events tell of %v", got)
	}
	if _, err := s.Login(ctx, security.Request{Device: in.Device}, session.Browser, email, secret.NewText(pw)); err != nil {
		t.Errorf("the owner: %v", err)
	}
}

func asCaptcha(err error) *captcha.Challenge {
	if refusal, ok := err.(*secerr.Error); ok && refusal.Code == secerr.CaptchaRequired {
		challenge := refusal.Captcha.(captcha.Challenge)
		return &challenge
	}
	return nil
}

// TestALockSurvivesARestart, and the moments in which it begins and ends.
func TestALockSurvivesARestart(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	s, dir := securitytest.Open(t, clock)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	outside := (&enrolled{dataDir: dir}).outside(t)
	if err := securitytest.SetPolicy(dir, `"lockout":{"captcha_after":1000,"delay_after":1000,"lock_after":4}`); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, err := range together(func(int) error {
		_, err := s.Login(ctx, security.Request{}, session.API, email, secret.NewText("wrong"))
		return err
	}) {
		switch {
		case secerr.Is(err, secerr.InvalidCredentials):
			told++
		case !secerr.Is(err, secerr.AccountLocked):
			t.Errorf("%v", err)
		}
	}
	if told != 4 {
		t.Errorf("%d of twenty at once were tried, the lock comes after 4", told)
	}
	var locks int
	if err := outside.QueryRow("SELECT COUNT(*) FROM audit_events WHERE event_type = 'account_lock'").Scan(&locks); err != nil || locks != 1 {
		t.Errorf("%d events, %v", locks, err)
	}
	clock.Advance(5 * time.Minute)
	if err := s.Close(ctx); err != nil {
		t.Fatal(err)
	}
	s = securitytest.Beside(t, clock, dir)
	right := func() error {
		_, err := s.Login(ctx, security.Request{}, session.API, email, secret.NewText(pw))
		return err
	}
	if err := right(); !secerr.Is(err, secerr.AccountLocked) {
		t.Errorf("after a restart: %v", err)
	}
	clock.Advance(10*time.Minute - time.Microsecond)
	if err := right(); !secerr.Is(err, secerr.AccountLocked) {
		t.Errorf("just before its end: %v", err)
	}
	clock.Advance(time.Microsecond)
	if err := right(); err != nil {
		t.Errorf("at its end: %v", err)
	}
}

// TestManyAtOnceWithTheRightPassword: none of them is a failure, so all pass.
func TestManyAtOnceWithTheRightPassword(t *testing.T) {
	s, _ := securitytest.Open(t, securitytest.NewClock())
	if _, _, err := s.AddUser(context.Background(), email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	for _, err := range together(func(int) error {
		_, err := s.Login(context.Background(), security.Request{}, session.API, email, secret.NewText(pw))
		return err
	}) {
		if err != nil {
			t.Errorf("%v", err)
		}
	}
}

// TestTheRightOneAmongManyAtOnce: a guess that comes behind the rules is told
// nothing, also when it is right.
func TestTheRightOneAmongManyAtOnce(t *testing.T) {
	ctx := context.Background()
	s, dir := securitytest.Open(t, securitytest.NewClock())
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, err := range together(func(int) error {
		_, err := s.Login(ctx, security.Request{}, session.API, email, secret.NewText("wrong"))
		return err
	}) {
		switch {
		case secerr.Is(err, secerr.InvalidCredentials):
			told++
		case !secerr.Is(err, secerr.CaptchaRequired):
			t.Errorf("%v", err)
		}
	}
	if told != 3 {
		t.Errorf("%d of twenty at once were told that they are wrong, a CAPTCHA comes after 3", told)
	}
	if _, err := s.Login(ctx, security.Request{}, session.API, email, secret.NewText(pw)); !secerr.Is(err, secerr.CaptchaRequired) {
		t.Errorf("the right one behind them: %v", err)
	}
	var failures int
	if err := (&enrolled{dataDir: dir}).outside(t).QueryRow("SELECT SUM(failures) FROM login_failures").Scan(&failures); err != nil || failures != 3 {
		t.Errorf("%d failures are counted, %v", failures, err)
	}
}

// TestAKeyFromANewNetwork: after its first day, once for each network.
func TestAKeyFromANewNetwork(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	_, token, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	use := func(from string) {
		t.Helper()
		if _, err := e.service.IdentifyBearer(ctx, security.Request{IP: netip.MustParseAddr(from), Route: "GET /x"}, token); err != nil {
			t.Fatal(err)
		}
		e.clock.Advance(time.Hour)
	}
	use("192.0.2.1")
	use("198.51.100.1") // the first day
	e.clock.Advance(24 * time.Hour)
	use("192.0.2.200") // the same network
	if got := suspicions(t, e.dataDir); len(got) != 0 {
		t.Errorf("the events tell of %v", got)
	}
	use("203.0.113.5")
	use("192.0.2.1")
	use("203.0.113.6")
	if got := suspicions(t, e.dataDir); !slices.Equal(got, []string{"key_network"}) {
		t.Errorf("the events tell of %v", got)
	}
}

// world maps addresses to places.
type world map[string]geo.Place

// Lookup implements security.Places.
func (w world) Lookup(ip netip.Addr) (geo.Place, bool) {
	place, known := w[ip.String()]
	return place, known
}

// TestSignInsFromPlaces: a new country, and a journey that nobody makes.
func TestSignInsFromPlaces(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	dir := filepath.Join(t.TempDir(), "data")
	s, err := security.Open(ctx, security.Options{DataDir: dir, PublicURL: &url.URL{Scheme: "https", Host: "dashboard.example.org"},
		Hashing: securitytest.CheapHashing, Now: clock.Now, Log: slog.New(slog.DiscardHandler), Places: world{
			"192.0.2.1":    {Country: "DE", HasCoordinates: true, Latitude: 52.5, Longitude: 13.4},
			"198.51.100.1": {Country: "AU", HasCoordinates: true, Latitude: -33.9, Longitude: 151.2},
			"203.0.113.1":  {Country: "DE", HasCoordinates: true, Latitude: 48.1, Longitude: 11.6}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	signIn := func(from string) {
		t.Helper()
		if _, err := s.Login(ctx, security.Request{IP: netip.MustParseAddr(from)}, session.API, email, secret.NewText(pw)); err != nil {
			t.Fatal(err)
		}
		clock.Advance(time.Hour)
	}
	signIn("192.0.2.1")
	signIn("203.0.113.1")
	signIn("192.0.2.99") // of which nothing is known
	if got := suspicions(t, dir); len(got) != 0 {
		t.Errorf("the events tell of %v", got)
	}
	signIn("198.51.100.1")
	if got := suspicions(t, dir); !slices.Equal(got, []string{"new_country", "impossible_travel"}) {
		t.Errorf("the events tell of %v", got)
	}
	clock.Advance(48 * time.Hour)
	signIn("192.0.2.1")
	if got := suspicions(t, dir); len(got) != 2 {
		t.Errorf("the events tell of %v", got)
	}
}

// TestAReusedRefreshTokenIsSuspicious beside what it does.
func TestAReusedRefreshTokenIsSuspicious(t *testing.T) {
	ctx := context.Background()
	s, dir := securitytest.Open(t, securitytest.NewClock())
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in := login(t, s)
	for range 3 {
		_, _ = s.Refresh(ctx, security.Request{}, in.Secret) // the first is good
	}
	if got := suspicions(t, dir); !slices.Equal(got, []string{"refresh_reuse"}) {
		t.Errorf("the events tell of %v", got)
	}
}
