package security_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
)

// manyEvents gives the log n events more.
func (e *enrolled) manyEvents(t *testing.T, n int) {
	t.Helper()
	if err := e.service.AppendEvents(context.Background(), n, func(int) audit.Event {
		return audit.Event{Type: audit.LoginAttempt, Actor: audit.Actor{UserID: e.caller.User.ID, Email: email}}
	}); err != nil {
		t.Fatal(err)
	}
}

func (e *enrolled) newest(t *testing.T) int64 {
	t.Helper()
	events, _, err := e.service.Events(context.Background(), e.caller, audit.Filter{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	return events[0].Seq
}

// TestExportIsWhole: each event up to the beginning once, in order, in bounded
// batches, and none of what happens meanwhile.
func TestExportIsWhole(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	e.manyEvents(t, 1700)
	newest := e.newest(t)
	var last int64
	err := e.service.Export(ctx, e.caller, audit.Filter{}, "ndjson", func(batch []audit.Record) error {
		if len(batch) == 0 || len(batch) > 500 {
			t.Errorf("a batch of %d", len(batch))
		}
		for _, event := range batch {
			if event.Seq != last+1 {
				t.Fatalf("%d follows %d", event.Seq, last)
			}
			last = event.Seq
		}
		return nil
	})
	if err != nil || last != newest {
		t.Errorf("it ends with %d, want %d (%v)", last, newest, err)
	}
	// The search, which looks at a part of the log at a time, goes on as well.
	var found int
	err = e.service.Export(ctx, e.caller, audit.Filter{Text: "example.org"}, "ndjson", func(batch []audit.Record) error {
		found += len(batch)
		return nil
	})
	if err != nil || found < 1700 {
		t.Errorf("a search exports %d (%v)", found, err)
	}
}

// TestExportStopsWithItsReader, and leaves its place to the next.
func TestExportStopsWithItsReader(t *testing.T) {
	e := enrol(t, "admin")
	e.manyEvents(t, 1700)
	gone := errors.New("gone")
	for range 10 { // more than there are places
		batches := 0
		err := e.service.Export(context.Background(), e.caller, audit.Filter{}, "csv", func([]audit.Record) error {
			batches++
			return gone
		})
		if !errors.Is(err, gone) || batches != 1 {
			t.Fatalf("%d batches, %v", batches, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	err := e.service.Export(ctx, e.caller, audit.Filter{}, "csv", func([]audit.Record) error {
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an export goes on although nobody waits: %v", err)
	}
}

// TestExportEndsWithItsSession, however slowly it is read.
func TestExportEndsWithItsSession(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	e.manyEvents(t, 1700)
	batches := 0
	err := e.service.Export(ctx, e.caller, audit.Filter{}, "csv", func([]audit.Record) error {
		batches++
		return e.service.Logout(ctx, e.caller)
	})
	if !secerr.Is(err, secerr.TokenRevoked) || batches != 1 {
		t.Errorf("%d batches, %v", batches, err)
	}
}

// TestOneExportForAPerson: the second at once is told to come back, without an
// event, and the next after the first has ended is not.
func TestOneExportForAPerson(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	ignore := func([]audit.Record) error { return nil }
	inside := false
	err := e.service.Export(ctx, e.caller, audit.Filter{}, "csv", func([]audit.Record) error {
		inside = true
		before := e.newest(t)
		if err := e.service.Export(ctx, e.caller, audit.Filter{}, "csv", ignore); !secerr.Is(err, secerr.Unavailable) {
			t.Errorf("the second: %v", err)
		}
		if after := e.newest(t); after != before {
			t.Errorf("a refused export wrote an event: %d, %d", before, after)
		}
		return e.service.ExportForHost(ctx, audit.Filter{}, "csv", ignore)
	})
	if err != nil || !inside {
		t.Errorf("the first: %v", err)
	}
	if err := e.service.Export(ctx, e.caller, audit.Filter{}, "csv", ignore); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestExportTellsHowFarItIs while it runs, and to nobody else.
func TestExportTellsHowFarItIs(t *testing.T) {
	e := enrol(t, "admin")
	if err := e.service.AppendEvents(context.Background(), 2000, old(0)); err != nil {
		t.Fatal(err)
	}
	var told []int
	err := e.service.Export(context.Background(), e.caller, audit.Filter{}, "csv", func([]audit.Record) error {
		percent, running := e.service.ExportProgress(e.caller)
		if !running {
			t.Error("it does not run")
		}
		told = append(told, percent)
		if _, running := e.service.ExportProgress(security.Caller{}); running {
			t.Error("somebody else is told of it")
		}
		return nil
	})
	if err != nil || !slices.IsSorted(told) || told[0] < 20 || told[0] > 30 || told[len(told)-1] != 100 {
		t.Errorf("told %v, %v", told, err)
	}
	if _, running := e.service.ExportProgress(e.caller); running {
		t.Error("it runs for ever")
	}
}
