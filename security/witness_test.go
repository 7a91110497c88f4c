package security_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"patronus.internal/dashboard/security/securitytest"
)

// TestHeadsAreKeptWhenTheyAreDue: five minutes after the last one, or ten thousand
// events, and never without an event.
func TestHeadsAreKeptWhenTheyAreDue(t *testing.T) {
	ctx := context.Background()
	clock, dataDir := securitytest.NewClock(), filepath.Join(t.TempDir(), "data")
	s := archiving(t, clock, dataDir, "")
	outside := (&enrolled{dataDir: dataDir}).outside(t)
	kept := func(events int, passed time.Duration) (n int) {
		t.Helper()
		if events > 0 {
			if err := s.AppendEvents(ctx, events, old(0)); err != nil {
				t.Fatal(err)
			}
		}
		clock.Advance(passed)
		if err := s.KeepDueCheckpoint(ctx); err != nil {
			t.Fatal(err)
		}
		if err := outside.QueryRow("SELECT COUNT(*) FROM audit_checkpoints").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i, step := range []struct {
		events int
		passed time.Duration
		want   int
	}{
		{0, time.Hour, 0}, {1, 0, 1}, {1, 5*time.Minute - time.Second, 1}, {0, time.Second, 2}, {0, time.Hour, 2},
		{1, 0, 3}, {9_999, 0, 3}, {1, 0, 4},
	} {
		if got := kept(step.events, step.passed); got != step.want {
			t.Errorf("step %d: %d heads are kept, want %d", i, got, step.want)
		}
	}
	if report := verified(t, dataDir); report.Checkpoints < 4 {
		t.Errorf("%+v", report)
	}
}
