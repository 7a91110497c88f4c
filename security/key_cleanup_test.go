package security_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// TestKeysThatAreOverGo: thirty days after their end, each with an event, and what
// was granted for them goes along.
func TestKeysThatAreOverGo(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	expired := keyFor(t, e.service, e.caller, "expired", 1)
	revoked := keyFor(t, e.service, e.caller, "revoked", 365)
	alive := keyFor(t, e.service, e.caller, "alive", 365)
	both := keyFor(t, e.service, e.caller, "both", 2)
	umaUser, _, err := e.service.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{expired, alive} {
		if _, err := e.service.Grant(ctx, e.caller, umaUser.ID, "api_keys:read", id); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{revoked, both} {
		if err := e.service.RevokeKey(ctx, e.caller, id); err != nil {
			t.Fatal(err)
		}
	}
	there := func(id string, want bool) {
		t.Helper()
		if _, err := e.service.Key(ctx, e.caller, id); (err == nil) != want || err != nil && !secerr.Is(err, secerr.NotFound) {
			t.Errorf("%v, want it to be there: %t", err, want)
		}
	}
	sweep := func() {
		t.Helper()
		if err := e.service.SweepKeys(ctx); err != nil {
			t.Fatal(err)
		}
	}
	before := e.events(t, audit.APIKeyRevoke, true)
	e.clock.Advance(30*day - time.Microsecond)
	sweep()
	for _, id := range []string{expired, revoked, both, alive} {
		there(id, true)
	}
	e.clock.Advance(time.Microsecond)
	sweep()
	there(revoked, false)
	there(both, false) // by whichever end came first
	there(expired, true)
	e.clock.Advance(day)
	sweep()
	sweep()
	there(expired, false)
	there(alive, true)
	if n := e.events(t, audit.APIKeyRevoke, true) - before; n != 3 {
		t.Errorf("%d events for three keys", n)
	}
	last, _, err := e.service.Events(ctx, e.caller, audit.Filter{Type: audit.APIKeyRevoke, Limit: 1})
	if err != nil || len(last) != 1 {
		t.Fatal(err)
	}
	details := string(last[0].ValidDetails())
	for _, want := range []string{`"purged":true`, `"reason":"expired"`, `"target_api_key_id":"` + expired + `"`, `"name":"expired"`} {
		if !strings.Contains(details, want) {
			t.Errorf("the event lacks %s: %s", want, details)
		}
	}
	if a := last[0].Actor; a != (audit.Actor{}) {
		t.Errorf("somebody acted: %+v", a)
	}
	grants, _, err := e.service.Grants(ctx, umaUser.ID, "", 10)
	if err != nil || len(grants) != 1 || grants[0].ResourceID != alive {
		t.Errorf("what is granted is %v, %v", grants, err)
	}
}

// TestKeysGoInBatches: so that no writer waits long behind them.
func TestKeysGoInBatches(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	for i := range 120 {
		keyFor(t, e.service, e.caller, fmt.Sprint(i), 1)
	}
	e.clock.Advance(31 * day)
	for _, want := range []int{20, 0} {
		if err := e.service.SweepKeys(ctx); err != nil {
			t.Fatal(err)
		}
		keys, _, err := e.service.ListUserKeys(ctx, e.caller, "", "", 500)
		if err != nil || len(keys) != want {
			t.Errorf("%d keys are left, want %d, %v", len(keys), want, err)
		}
	}
}
