package security_test

import (
	"context"
	"slices"
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

// TestGrantsForWhatIsGoneGo, and only these.
func TestGrantsForWhatIsGoneGo(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	uma, _, err := e.service.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	in, err := e.service.Login(ctx, security.Request{}, session.API, "uma@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range [][2]string{{"sessions:read", in.Session.ID}, {"sessions:read", uma.ID}, {"sites:read", "a-site"}, {"metrics:read", ""}, {"users:read", e.caller.User.ID}} {
		if _, err := e.service.Grant(ctx, e.caller, uma.ID, g[0], g[1]); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (resources []string) {
		t.Helper()
		if err := e.service.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		grants, _, err := e.service.Grants(ctx, uma.ID, "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range grants {
			resources = append(resources, g.ResourceID)
		}
		return resources
	}
	if got := left(); len(got) != 5 {
		t.Fatalf("grants are left for %q", got)
	}
	if _, err := e.outside(t).Exec("DELETE FROM sessions WHERE id = $1", in.Session.ID); err != nil {
		t.Fatal(err)
	}
	if got := left(); len(got) != 4 || slices.Contains(got, in.Session.ID) {
		t.Errorf("grants are left for %q", got)
	}
}

// TestTwinOfSomebodyDeletedIsFound: who looks like the younger of two from before,
// when the elder is gone, is refused as well.
func TestTwinOfSomebodyDeletedIsFound(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	elder, _, err := e.service.AddUser(ctx, "molly@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	younger, _, err := e.service.AddUser(ctx, "somebody@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.outside(t).Exec("UPDATE users SET email = 'mo11y@example.org', email_skeleton = NULL WHERE id = $1", younger.ID); err != nil {
		t.Fatal(err)
	}
	nonce, err := e.service.Nonce(ctx, e.caller, "users.delete", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.service.DeleteUser(ctx, e.caller, nonce, elder.ID, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.service.AddUser(ctx, "molly@example.org", "user", secret.NewText(pw)); !secerr.Is(err, secerr.Conflict) {
		t.Errorf("a third one is taken: %v", err)
	}
}
