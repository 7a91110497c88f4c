package security_test

import (
	"context"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/securitytest"
)

// TestSearchIsBounded: a search that finds nothing for long says how far it came,
// and whoever goes on, and an export, find what is there.
func TestSearchIsBounded(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	securitytest.Denials(e.service, securitytest.SearchedByIndex)
	f := audit.Filter{Type: audit.AuthorizationFailed, Text: "FIRST@example", Limit: 50}
	p, err := e.service.Search(ctx, e.caller, f)
	if err != nil || len(p.Events) != 0 || p.Next == 0 || !p.Reached.Equal(e.clock.Now().Truncate(1e6)) {
		t.Fatalf("%+v, %v", p, err)
	}
	f.Before = p.Next
	p, err = e.service.Search(ctx, e.caller, f)
	if err != nil || len(p.Events) != 1 || p.Next != 0 || !p.Reached.IsZero() || p.Events[0].Actor.Email != "first@example.org" {
		t.Errorf("going on: %+v, %v", p, err)
	}
	f.Before = 0
	exported := 0
	err = e.service.Export(ctx, e.caller, f, "json", func(events []audit.Record) error {
		exported += len(events)
		return nil
	})
	if err != nil || exported != 1 {
		t.Errorf("%d events exported, %v", exported, err)
	}
	o, err := e.service.Overview(ctx, e.caller)
	if err != nil || o.Figures[audit.Warning] < securitytest.SearchedByIndex || !o.Since.Equal(audit.Hour(e.clock.Now().Add(-24*3600e9))) {
		t.Errorf("since %s: %v, %v", o.Since, o.Figures, err)
	}
	// Nobody who reaches only their own events finds or counts those of others.
	own := e.caller
	own.User.Role = "user"
	if p, err := e.service.Search(ctx, own, audit.Filter{Type: audit.AuthorizationFailed, Limit: 50}); err != nil || len(p.Events) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
	if o, err := e.service.Overview(ctx, own); err != nil || len(o.Figures) == 0 || o.Figures[audit.Warning] > 10 {
		t.Errorf("own: %v, %v", o.Figures, err)
	}
	if _, err := e.service.Search(ctx, security.Caller{}, audit.Filter{Type: "nonsense"}); err == nil {
		t.Error("a type that does not exist is searched for")
	}
}
