package security_test

import (
	"context"
	"net/netip"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// TestHistoriesAreForWhoMayReadThem: who does not read the whole log learns
// nothing of others by a question that is put in another way.
func TestHistoriesAreForWhoMayReadThem(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	if _, _, err := e.service.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in, err := e.service.Login(ctx, security.Request{}, session.API, "uma@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	uma := identify(t, e.service, in)
	// A key that reads the users and not the log.
	_, token, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"users:read", "ip_blocks:read"}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := e.service.IdentifyBearer(ctx, security.Request{}, token)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		who  security.Caller
		of   string
		want bool
	}{
		"an admin, of another": {e.caller, uma.User.ID, true},
		"one's own":            {uma, uma.User.ID, true},
		"a user, of another":   {uma, e.caller.User.ID, false},
		"a key without audit":  {key, uma.User.ID, false},
	} {
		events, err := e.service.UserLogs(ctx, c.who, c.of, 100)
		if err != nil || len(events) > 0 != c.want {
			t.Errorf("%s: %d events, %v", name, len(events), err)
		}
		for _, event := range events {
			if event.Actor.UserID != c.of {
				t.Errorf("%s: an event of %s", name, event.Actor.Email)
			}
		}
	}

	// The critical events: a user sees none of another's.
	spent := login(t, e.service)
	if in, err = e.service.SecondFactor(ctx, security.Request{}, session.API, spent.Secret, "backup_code", e.backup[0].Reveal()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err = e.service.Refresh(ctx, security.Request{}, in.Secret)
	}
	if err == nil {
		t.Fatal("a refresh token is good twice")
	}
	for name, c := range map[string]struct {
		who  security.Caller
		want bool
	}{"an admin": {e.caller, true}, "a user": {uma, false}} {
		events, _, err := e.service.CriticalEvents(ctx, c.who, audit.Filter{Limit: 50})
		if err != nil || len(events) > 0 != c.want {
			t.Errorf("%s: %d critical events, %v", name, len(events), err)
		}
	}

	// What an explanation tells of sign-ins is a part of the log too.
	from := security.Request{IP: netip.MustParseAddr("203.0.113.9")}
	if _, err := e.service.Login(ctx, from, session.API, "uma@example.org", secret.NewText("wrong")); err == nil {
		t.Fatal("a wrong password is right")
	}
	for name, c := range map[string]struct {
		who  security.Caller
		want int
	}{"an admin": {e.caller, 1}, "a key without audit": {key, 0}} {
		explanation, err := e.service.Explain(ctx, c.who, "203.0.113.9")
		if err != nil || len(explanation.FailedLogins) != c.want {
			t.Errorf("%s: %d failed sign-ins, %v", name, len(explanation.FailedLogins), err)
		}
	}
}
