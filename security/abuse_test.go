package security_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// TestASprayerDoesNotHideByLeaving: requests whose senders close the connection
// count and are recorded all the same.
func TestASprayerDoesNotHideByLeaving(t *testing.T) {
	s, dir := securitytest.Open(t, securitytest.NewClock())
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	req := security.Request{IP: netip.MustParseAddr("198.51.100.7")}
	for i := range 40 {
		ctx := context.Background()
		if i >= 15 && i < 25 {
			ctx = gone
		}
		_, _ = s.LimitLogin(ctx, req, fmt.Sprintf("user%d@example.org", i)) // refused from the sixth on
	}
	if got := suspicions(t, dir); !slices.Equal(got, []string{"spray"}) {
		t.Errorf("the events tell of %v", got)
	}
}

// TestAFloodFromOneNetworkIsOneEvent: whichever of its addresses it uses, and
// whatever it types.
func TestAFloodFromOneNetworkIsOneEvent(t *testing.T) {
	ctx := context.Background()
	s, dir := securitytest.Open(t, securitytest.NewClock())
	refused := 0
	for i := range 1000 {
		ip := netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: byte(i >> 8), 15: byte(i)})
		if _, err := s.LimitUnauthenticated(ctx, security.Request{IP: ip}); secerr.Is(err, secerr.RateLimited) {
			refused++
		}
		_, _ = s.LimitLogin(ctx, security.Request{IP: ip}, fmt.Sprintf("%d@example.org", i))
	}
	if refused != 975 {
		t.Errorf("%d were refused", refused)
	}
	var events int
	if err := (&enrolled{dataDir: dir}).outside(t).QueryRow("SELECT COUNT(*) FROM audit_events WHERE event_type = $1", string(audit.AuthorizationFailed)).Scan(&events); err != nil || events > 2 {
		t.Errorf("%d events, %v", events, err)
	}
}

// TestRefusalsOfOthersOutliveAFlood: one address pushes nobody else's out.
func TestRefusalsOfOthersOutliveAFlood(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	victim, flood := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")
	e.service.Refused(security.Refusal{RequestID: "asked for", IP: victim, Code: secerr.RateLimited, Email: " UMA@example.org"})
	for i := range 10_000 {
		e.clock.Advance(time.Millisecond)
		e.service.Refused(security.Refusal{RequestID: fmt.Sprint(i), IP: flood, Code: secerr.RateLimited})
	}
	found, err := e.service.Explain(ctx, e.caller, "asked for")
	if err != nil || found.IP != victim || len(found.Refusals) != 1 || found.Refusals[0].Email != "uma@example.org" {
		t.Errorf("%+v, %v", found, err)
	}
	if _, known := found.Callers["sign-ins of uma@example.org"]; !known {
		t.Errorf("the limit of the account is not told: %v", found.Callers)
	}
	if found, err = e.service.Explain(ctx, e.caller, flood.String()); err != nil || len(found.Refusals) != 20 || found.Refusals[0].RequestID != "9999" {
		t.Errorf("%d refusals of the flood, %v", len(found.Refusals), err)
	}
	if _, err := e.service.Explain(ctx, e.caller, "0"); !secerr.Is(err, secerr.ValidationFailed) {
		t.Errorf("%v", err)
	}
}

// TestUnlockForgetsEverything: strangers' failures, those of devices, and what is
// used up of the limit, in every server.
func TestUnlockForgetsEverything(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	u, _, err := e.service.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	device, err := e.service.Login(ctx, security.Request{}, session.Browser, "uma@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	attempt := func(from string, device secret.Text, password string) error {
		req := security.Request{IP: netip.MustParseAddr(from), Device: device}
		if _, err := e.service.LimitLogin(ctx, req, "uma@example.org"); err != nil {
			return err
		}
		_, err := e.service.Login(ctx, req, session.API, "uma@example.org", secret.NewText(password))
		return err
	}
	for i := range 5 {
		if err := attempt(fmt.Sprintf("192.0.2.%d", i), secret.Text{}, "wrong"); err == nil {
			t.Fatal("signed in")
		}
		if err := attempt(fmt.Sprintf("198.51.100.%d", i), device.Device, "wrong"); err == nil {
			t.Fatal("signed in")
		}
	}
	for _, by := range []secret.Text{{}, device.Device} {
		if err := attempt("203.0.113.1", by, pw); !secerr.Is(err, secerr.RateLimited) {
			t.Errorf("before: %v", err)
		}
	}
	if err := e.service.Unlock(ctx, e.caller, u.ID); err != nil {
		t.Fatal(err)
	}
	if err := attempt("203.0.113.2", secret.Text{}, pw); err != nil {
		t.Errorf("a stranger's way afterwards: %v", err)
	}
	e.clock.Advance(time.Minute) // the device has a limit of its own
	if err := attempt("203.0.113.3", device.Device, pw); err != nil {
		t.Errorf("the device afterwards: %v", err)
	}
}

// TestTheKeyThatRoams is told of, and not over and over.
func TestTheKeyThatRoams(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	_, token, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	e.clock.Advance(25 * time.Hour)
	for i := range 300 {
		ip := netip.AddrFrom4([4]byte{10, byte(i % 150), 0, 1})
		if _, err := e.service.IdentifyBearer(ctx, security.Request{IP: ip, Route: "GET /x"}, token); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(suspicions(t, e.dataDir)); n != 99 {
		t.Errorf("%d events", n)
	}
}
