package security_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// uses lets a key in with each permission.
func uses(t *testing.T, s *security.Service, token secret.Text, permissions ...rbac.Permission) {
	t.Helper()
	c, err := s.VerifyKey(context.Background(), security.Request{Route: "GET /x"}, token)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range permissions {
		if err := s.Authorize(context.Background(), c, p); err != nil {
			t.Fatal(err)
		}
	}
}

func (e *enrolled) inspect(t *testing.T, s *security.Service, id string) security.KeyDetail {
	t.Helper()
	d, err := s.InspectKey(context.Background(), e.caller, id)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// returns signs the user in again, after a time that no session outlives.
func (e *enrolled) returns(t *testing.T) {
	t.Helper()
	in, err := e.service.SecondFactor(context.Background(), security.Request{}, session.API, login(t, e.service).Secret, mfa.TOTP, e.code(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	e.caller = identify(t, e.service, in)
}

// TestNarrowingAKey: to what it used in the last 30 days, and no further.
func TestNarrowingAKey(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	key, token := e.newKey(t, "audit:read", "sites:*", "users:read")
	if _, err := e.service.NarrowKey(ctx, e.caller, key.ID, nil); !secerr.Is(err, secerr.Conflict) {
		t.Errorf("a key that used nothing: %v", err)
	}
	uses(t, e.service, token, "users:read", "sites:read")
	e.clock.Advance(day)
	uses(t, e.service, token, "sites:read", "audit:read")
	e.clock.Advance(29 * day)
	d := e.inspect(t, e.service, key.ID)
	if want := []rbac.Permission{"sites:write"}; !slices.Equal(d.Taken, want) {
		t.Errorf("a day before: %v would be taken", d.Taken)
	}
	e.clock.Advance(day)
	d = e.inspect(t, e.service, key.ID)
	if want := []rbac.Permission{"sites:write", "users:read"}; !slices.Equal(d.Taken, want) || !slices.Equal(d.Kept, []string{"sites:read", "audit:read"}) {
		t.Errorf("%v would be taken, and %v kept", d.Taken, d.Kept)
	}
	e.returns(t)
	narrow, err := e.service.NarrowKey(ctx, e.caller, key.ID, nil)
	if err != nil || !slices.Equal(narrow.Scopes, d.Kept) {
		t.Fatalf("the scopes are %v, %v", narrow.Scopes, err)
	}
	c, err := e.service.VerifyKey(ctx, security.Request{Route: "GET /x"}, token)
	if err != nil || c.Reach("sites:write") != rbac.None || c.Reach("users:read") != rbac.None || c.Reach("sites:read") != rbac.All {
		t.Errorf("%v, and it may do %v", err, c.Held().Permissions())
	}
	if _, err := e.service.NarrowKey(ctx, e.caller, key.ID, nil); !secerr.Is(err, secerr.Conflict) {
		t.Errorf("a second time: %v", err)
	}
	if n := e.events(t, audit.APIKeyUpdate, true); n != 1 {
		t.Errorf("%d events", n)
	}
	if err := e.service.RevokeKey(ctx, e.caller, key.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := e.service.NarrowKey(ctx, e.caller, key.ID, nil); !secerr.Is(err, secerr.Conflict) {
		t.Errorf("a revoked one: %v", err)
	}
	if d := e.inspect(t, e.service, key.ID); d.Taken != nil {
		t.Errorf("of a revoked one %v would be taken", d.Taken)
	}
}

// TestOneNarrowingOfAKey: of many at once one takes something, and writes the event.
func TestOneNarrowingOfAKey(t *testing.T) {
	e := enrol(t, "admin")
	key, token := e.newKey(t, "audit:read", "users:read")
	uses(t, e.service, token, "audit:read")
	one(t, together(func(int) error {
		_, err := e.service.NarrowKey(context.Background(), e.caller, key.ID, nil)
		return err
	}), secerr.Conflict)
	if n := e.events(t, audit.APIKeyUpdate, true); n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestUsesAreWrittenOnceADay: not with every request, and all of them at the end.
func TestUsesAreWrittenOnceADay(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	other := securitytest.Beside(t, e.clock, e.dataDir)
	key, token := e.newKey(t, "audit:read", "users:read")
	rows := func() (n int) {
		t.Helper()
		if err := e.outside(t).QueryRow("SELECT COUNT(*) FROM api_key_uses").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for range 20 {
		uses(t, other, token, "audit:read")
	}
	if n := rows(); n != 0 {
		t.Errorf("%d rows before the minute is over", n)
	}
	if d := e.inspect(t, other, key.ID); len(d.Uses) != 1 {
		t.Errorf("the server that was asked shows %v", d.Uses)
	}
	if err := other.WriteUses(ctx); err != nil {
		t.Fatal(err)
	}
	if d := e.inspect(t, e.service, key.ID); len(d.Uses) != 1 || !d.Uses[0].Last.Time().Equal(e.clock.Now().UTC().Truncate(24*time.Hour)) {
		t.Errorf("the server beside shows %v", d.Uses)
	}
	if err := e.outside(t).QueryRow("DELETE FROM api_key_uses RETURNING 1").Scan(new(int)); err != nil {
		t.Fatal(err)
	}
	uses(t, other, token, "audit:read")
	if err := other.WriteUses(ctx); err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != 0 {
		t.Errorf("%d rows were written a second time on one day", n)
	}
	e.clock.Advance(day)
	uses(t, other, token, "audit:read", "users:read")
	if err := other.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != 2 {
		t.Errorf("%d rows after the server has ended", n)
	}
	if err := e.service.DeleteKey(ctx, e.caller, key.ID); err != nil {
		t.Fatal(err)
	}
	if n := rows(); n != 0 {
		t.Errorf("%d rows of a key that is gone", n)
	}
}

// TestUsesOfManyKeysAreBounded: beyond the bound they are written at once.
func TestUsesOfManyKeysAreBounded(t *testing.T) {
	e := enrol(t, "admin")
	key, token := e.newKey(t, "*:read")
	c, err := e.service.VerifyKey(context.Background(), security.Request{Route: "GET /x"}, token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * security.MaxUses {
		of := *c.Key
		if i > 0 {
			of.ID = "key-that-is-not-there-" + time.Duration(i).String()
		}
		c.Key = &of
		if err := e.service.Authorize(context.Background(), c, rbac.AuditRead); err != nil {
			t.Fatal(err)
		}
	}
	if n := e.service.UsesKept(); n > security.MaxUses {
		t.Errorf("%d uses are kept", n)
	}
	if d := e.inspect(t, e.service, key.ID); len(d.Uses) != 1 {
		t.Errorf("of the first key %v is left", d.Uses)
	}
}

// TestAKeyShrinksWithItsOwner: it shows what its owner may not do any more.
func TestAKeyShrinksWithItsOwner(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	u, _, err := e.service.AddUser(ctx, "olga@example.org", "operator", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	in, err := e.service.Login(ctx, security.Request{}, session.API, u.Email, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	key, token, err := e.service.CreateKey(ctx, identify(t, e.service, in), security.KeyRequest{Name: "x", Scopes: []string{"sites:*", "users:read", "audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	lost := func() (all []rbac.Permission) {
		for _, scope := range e.inspect(t, e.service, key.ID).Scopes {
			all = append(all, scope.Lost...)
		}
		return all
	}
	if l := lost(); l != nil {
		t.Errorf("at its making %v is lost", l)
	}
	nonce, err := e.service.Nonce(ctx, e.caller, "users.role", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	viewer := "viewer"
	if _, err := e.service.UpdateUser(ctx, e.caller, nonce, u.ID, security.UserPatch{Role: &viewer}); err != nil {
		t.Fatal(err)
	}
	if want := []rbac.Permission{"sites:write", "users:read"}; !slices.Equal(lost(), want) {
		t.Errorf("after it %v is lost, want %v", lost(), want)
	}
	c, err := e.service.VerifyKey(ctx, security.Request{Route: "GET /x"}, token)
	if err != nil || c.Reach("sites:write") != rbac.None || c.Reach("sites:read") != rbac.All {
		t.Errorf("%v, and it may do %v", err, c.Held().Permissions())
	}
	if _, err := e.service.UpdateUser(ctx, e.caller, secret.Text{}, u.ID, security.UserPatch{Enabled: new(bool)}); err != nil {
		t.Fatal(err)
	}
	works(t, e.service, "of somebody who is disabled", token, secerr.Unauthenticated)
}
