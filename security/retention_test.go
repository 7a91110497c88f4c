package security_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/securitytest"
)

// archiving opens a service that archives, on a data folder of a test.
func archiving(t *testing.T, clock *securitytest.Clock, dataDir, archive string) *security.Service {
	t.Helper()
	s, err := security.Open(context.Background(), security.Options{DataDir: dataDir, ArchiveDir: archive,
		PublicURL: &url.URL{Scheme: "https", Host: "dashboard.example.org"}, Hashing: securitytest.CheapHashing, Now: clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func old(n int) func(int) audit.Event {
	return func(i int) audit.Event {
		return audit.Event{Type: audit.LoginAttempt, Success: true, Actor: audit.Actor{Email: "old@example.org", IPAddress: "192.0.2.1"}, Details: audit.Details{"n": n + i}}
	}
}

// TestRetentionRemovesOldEvents, writes them to an archive first, records it, and
// leaves a log that can be verified, also when it was cut off in the middle.
func TestRetentionRemovesOldEvents(t *testing.T) {
	ctx := context.Background()
	clock, dir := securitytest.NewClock(), t.TempDir()
	dataDir, archive := filepath.Join(dir, "data"), filepath.Join(dir, "archive")
	s := archiving(t, clock, dataDir, archive)
	if err := s.AppendEvents(ctx, 1000, old(0)); err != nil {
		t.Fatal(err)
	}
	clock.Advance(50 * 24 * time.Hour)
	if err := s.AppendEvents(ctx, 500, old(1000)); err != nil {
		t.Fatal(err)
	}
	if err := s.Retain(ctx); err != nil {
		t.Fatal(err)
	}
	if report := verified(t, dataDir); report.Events != 1500 || report.Absent != 0 {
		t.Fatalf("something was removed before its time: %+v", report)
	}

	// The first batch is removed, and then the disk is in the way.
	clock.Advance(41 * 24 * time.Hour)
	outside := (&enrolled{dataDir: dataDir}).outside(t)
	if _, err := outside.Exec("CREATE TRIGGER full BEFORE DELETE ON audit_events WHEN old.seq = 500 BEGIN SELECT RAISE(ABORT, 'no room'); END"); err != nil {
		t.Fatal(err)
	}
	if err := s.Retain(ctx); err == nil {
		t.Fatal("the trigger did nothing")
	}
	if _, err := outside.Exec("DROP TRIGGER full"); err != nil {
		t.Fatal(err)
	}
	if report := verified(t, dataDir); report.Absent != 400 {
		t.Errorf("cut off: %+v", report)
	}
	again := archiving(t, clock, dataDir, archive)
	if err := again.Retain(ctx); err != nil {
		t.Fatal(err)
	}
	report := verified(t, dataDir)
	if report.Events != 501 || report.Absent != 1000 {
		t.Errorf("%+v", report)
	}
	newest, err := securitytest.NewestEvent(filepath.Join(dataDir, "patronus.db"))
	if err != nil {
		t.Fatal(err)
	}
	var event struct {
		Type    string `json:"event_type"`
		Details struct {
			From, To, Events int64
			Root, Archive    string
		}
	}
	if err := json.Unmarshal(newest, &event); err != nil {
		t.Fatal(err)
	}
	if d := event.Details; event.Type != "audit_prune" || d.From != 1 || d.To != 1000 || d.Events != 1000 || len(d.Root) != 64 || d.Archive != "audit-1-1000.ndjson.gz" {
		t.Errorf("the event: %s", newest)
	}

	// The archive has what is gone, and can be verified.
	file, err := os.Open(filepath.Join(archive, "audit-1-1000.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := security.AuditKeyOf(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	if archived, err := security.VerifyExport(unpacked, key); err != nil || archived.Events != 1000 {
		t.Errorf("%+v, %v", archived, err)
	}
	if names, err := os.ReadDir(archive); err != nil || len(names) != 1 {
		t.Errorf("in the archive: %v, %v", names, err)
	}

	// Once a day is enough, and numbers go on when all that was old is gone.
	clock.Advance(200 * 24 * time.Hour)
	if err := again.Retain(ctx); err != nil {
		t.Fatal(err)
	}
	if err := again.AppendEvents(ctx, 1, old(0)); err != nil {
		t.Fatal(err)
	}
	if report := verified(t, dataDir); report.Events != 2 || report.Absent != 1501 || report.Head.Size != 1503 {
		t.Errorf("%+v", report)
	}
	clock.Advance(23 * time.Hour)
	if err := again.Retain(ctx); err != nil {
		t.Fatal(err)
	}
	if report := verified(t, dataDir); report.Head.Size != 1503 {
		t.Errorf("a second time in a day: %+v", report)
	}
}

// TestNothingIsRemovedWithoutItsArchive: a folder that cannot be written to.
func TestNothingIsRemovedWithoutItsArchive(t *testing.T) {
	ctx := context.Background()
	clock, dir := securitytest.NewClock(), t.TempDir()
	taken := filepath.Join(dir, "archive")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dataDir := filepath.Join(dir, "data")
	s := archiving(t, clock, dataDir, taken)
	if err := s.AppendEvents(ctx, 10, old(0)); err != nil {
		t.Fatal(err)
	}
	clock.Advance(100 * 24 * time.Hour)
	if err := s.Retain(ctx); err == nil {
		t.Error("an archive was written into a file")
	}
	if report := verified(t, dataDir); report.Events != 10 {
		t.Errorf("%+v", report)
	}
}

// TestNothingIsRemovedOnFalseGrounds: what somebody wrote into the database makes
// retention neither remove events before their time nor remove the traces of a
// change.
func TestNothingIsRemovedOnFalseGrounds(t *testing.T) {
	ctx := context.Background()
	for name, alter := range map[string]string{
		"no hours":          "DELETE FROM audit_hours",
		"hours of long ago": "UPDATE audit_hours SET hour_us = 0",
		"a forged pruning":  `UPDATE audit_events SET event_type = 'audit_prune', details = '{"to":9}' WHERE seq = 10`,
		"an edited event":   "UPDATE audit_events SET success = 0 WHERE seq = 3; UPDATE audit_hours SET hour_us = 0",
		"a deleted event":   "DELETE FROM audit_events WHERE seq = 3; UPDATE audit_hours SET hour_us = 0",
	} {
		t.Run(name, func(t *testing.T) {
			clock, dataDir := securitytest.NewClock(), filepath.Join(t.TempDir(), "data")
			s := archiving(t, clock, dataDir, "")
			if err := s.AppendEvents(ctx, 20, old(0)); err != nil {
				t.Fatal(err)
			}
			outside := (&enrolled{dataDir: dataDir}).outside(t)
			if _, err := outside.Exec(alter); err != nil {
				t.Fatal(err)
			}
			var before, after int
			if err := outside.QueryRow("SELECT COUNT(*) FROM audit_events").Scan(&before); err != nil {
				t.Fatal(err)
			}
			err := s.Retain(ctx)
			if (err == nil) != (name == "a forged pruning" || name == "no hours") {
				t.Errorf("retention says %v", err)
			}
			if err := outside.QueryRow("SELECT COUNT(*) FROM audit_events WHERE event_type <> 'suspicious_activity'").Scan(&after); err != nil || after != before {
				t.Errorf("%d events are left of %d, %v", after, before, err)
			}
		})
	}
}

// TestAClockThatWasSetBackRemovesNothing: events with a time to come are old when
// something behind them is.
func TestAClockThatWasSetBackRemovesNothing(t *testing.T) {
	ctx := context.Background()
	for _, back := range []time.Duration{90 * time.Minute, 365 * 24 * time.Hour} {
		clock, dataDir := securitytest.NewClock(), filepath.Join(t.TempDir(), "data")
		s := archiving(t, clock, dataDir, "")
		if err := s.AppendEvents(ctx, 100, old(0)); err != nil {
			t.Fatal(err)
		}
		clock.Advance(-back)
		if err := s.AppendEvents(ctx, 1, old(0)); err != nil {
			t.Fatal(err)
		}
		if err := s.Retain(ctx); err != nil {
			t.Fatal(err)
		}
		if report := verified(t, dataDir); report.Events != 101 || report.Absent != 0 {
			t.Errorf("%s back: %+v", back, report)
		}
		// In time all of it goes.
		clock.Advance(back + 100*24*time.Hour)
		if err := s.Retain(ctx); err != nil {
			t.Fatal(err)
		}
		if report := verified(t, dataDir); report.Absent != 101 {
			t.Errorf("%s back, and a hundred days on: %+v", back, report)
		}
	}
}
