package security_test

import (
	"context"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// TestOneOfManyGrantsAndRevokes: of many at once one is told that it was done, and
// the log has one event of each.
func TestOneOfManyGrantsAndRevokes(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	uma, _, err := e.service.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	one(t, together(func(int) error {
		_, err := e.service.Grant(ctx, e.caller, uma.ID, "users:read", "")
		return err
	}), secerr.Conflict)
	granted, _, err := e.service.Grants(ctx, uma.ID, "", 10)
	if err != nil || len(granted) != 1 {
		t.Fatalf("%d are granted, %v", len(granted), err)
	}
	one(t, together(func(int) error { return e.service.Revoke(ctx, e.caller, uma.ID, granted[0].ID) }), secerr.NotFound)
	for _, kind := range []audit.Type{audit.PermissionGrant, audit.PermissionRevoke} {
		if events, _, err := e.service.Events(ctx, e.caller, audit.Filter{Type: kind, Limit: 10}); err != nil || len(events) != 1 {
			t.Errorf("%d events %s, %v", len(events), kind, err)
		}
	}
}

// TestGrantCountsInEveryServer at once, and no longer when it is revoked: for the
// person, and for a key that they made while they had it.
func TestGrantCountsInEveryServer(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	if _, _, err := e.service.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in, err := e.service.Login(ctx, security.Request{}, session.API, "uma@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	other := securitytest.Beside(t, e.clock, e.dataDir)
	tokens, err := e.service.Tokens(in)
	if err != nil {
		t.Fatal(err)
	}
	reaches := func(bearer secret.Text, want rbac.Reach) {
		t.Helper()
		for name, s := range map[string]*security.Service{"this server": e.service, "another": other} {
			who, err := s.IdentifyBearer(ctx, security.Request{}, bearer)
			if err != nil || who.Reach(rbac.UsersRead) != want {
				t.Errorf("in %s the reach is %d, want %d (%v)", name, who.Reach(rbac.UsersRead), want, err)
			}
		}
	}
	reaches(tokens.Access, rbac.None)
	g, err := e.service.Grant(ctx, e.caller, in.User.ID, "users:read", "")
	if err != nil {
		t.Fatal(err)
	}
	reaches(tokens.Access, rbac.All)
	_, key, err := e.service.CreateKey(ctx, identify(t, e.service, in), security.KeyRequest{Name: "x", Scopes: []string{"users:read"}})
	if err != nil {
		t.Fatal(err)
	}
	reaches(key, rbac.All)
	if err := e.service.Revoke(ctx, e.caller, in.User.ID, g.ID); err != nil {
		t.Fatal(err)
	}
	reaches(tokens.Access, rbac.None)
	reaches(key, rbac.None)
}
