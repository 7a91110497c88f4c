package audit

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
)

func open(t *testing.T) *db.DB {
	t.Helper()
	return openCounted(t, t.TempDir(), func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) })
}

// openCounted opens a log that is counted and has no tree.
func openCounted(t testing.TB, folder string, now func() time.Time) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), db.Options{Path: filepath.Join(folder, "patronus.db"), Log: slog.New(slog.DiscardHandler), Now: now,
		BeforeCommit: func(tx *db.Tx, staged []any) error { return count(tx, events(staged)) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func write(t *testing.T, d *db.DB, e Event) error {
	t.Helper()
	return d.Write(context.Background(), func(tx *db.Tx) error { return Append(tx, e) })
}

func all(t *testing.T, d *db.DB) []Record {
	t.Helper()
	events, _, err := List(d.Read(context.Background()), Filter{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// TestNumbersHaveNoGaps: the number of an event that was rolled back is given
// again.
func TestNumbersHaveNoGaps(t *testing.T) {
	d := open(t)
	undone := errors.New("undone")
	for i := range 20 {
		err := d.Write(context.Background(), func(tx *db.Tx) error {
			if err := Append(tx, Event{Type: Logout, Success: true}); err != nil {
				return err
			}
			if i%3 == 1 {
				return undone
			}
			return nil
		})
		if err != nil && !errors.Is(err, undone) {
			t.Fatal(err)
		}
	}
	events := all(t, d)
	for i, e := range events {
		if want := int64(len(events) - i); e.Seq != want {
			t.Fatalf("number %d stands where %d should", e.Seq, want)
		}
	}
	if len(events) != 13 {
		t.Errorf("%d events, want 13", len(events))
	}
}

func TestSeverityIsTheContracts(t *testing.T) {
	for _, c := range []struct {
		kind    Type
		success bool
		want    Severity
	}{
		{LoginAttempt, true, Info}, {LoginAttempt, false, Warning}, {MFAVerify, true, Info}, {MFAVerify, false, Warning},
		{PolicyChange, true, Warning}, {PermissionGrant, true, Warning}, {PermissionRevoke, true, Warning},
		{AuthorizationFailed, false, Warning}, {SuspiciousActivity, true, Critical}, {AccountLock, true, Critical},
		{Logout, true, Info}, {APIKeyCreate, true, Info}, {SystemStart, true, Info},
	} {
		if got := severity(c.kind, c.success); got != c.want {
			t.Errorf("%s, success %t: %s, want %s", c.kind, c.success, got, c.want)
		}
	}
	d := open(t)
	if err := write(t, d, Event{Type: TokenRefresh, Severity: Critical}); err != nil {
		t.Fatal(err)
	}
	if got := all(t, d)[0].Severity; got != Critical {
		t.Errorf("a severity that was given became %s", got)
	}
}

func TestWhatClientsChooseIsBoundedAndVisible(t *testing.T) {
	d := open(t)
	err := write(t, d, Event{Type: LoginAttempt, Actor: Actor{Email: strings.Repeat("é", 300), UserAgent: "a\r\nforged: line\x1b[31m\u202eevil\u2028\u2029\u0085\xff" + strings.Repeat("x", 1000)}})
	if err != nil {
		t.Fatal(err)
	}
	a := all(t, d)[0].Actor
	if len(a.Email) > maxEmail || len(a.UserAgent) > maxUserAgent || strings.ContainsAny(a.UserAgent, "\r\n\x1b\u202e\u2028\u2029\u0085") {
		t.Errorf("kept: %q", a)
	}
	if !strings.HasSuffix(a.UserAgent, "x…") || !strings.HasSuffix(a.Email, "é…") {
		t.Errorf("what was cut has no mark: %q", a)
	}
	if strings.ToValidUTF8(a.Email, "") != a.Email {
		t.Errorf("a character was cut in two: %q", a.Email)
	}
}

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	d := open(t)
	if err := write(t, d, Event{Type: Logout, Details: Details{"x": strings.Repeat("a", maxDetails)}}); err == nil {
		t.Error("details of more than 8 KiB are taken")
	}
	if err := write(t, d, Event{Type: Logout, Details: Details{"x": func() {}}}); err == nil {
		t.Error("details that are no JSON are taken")
	}
	if n := len(all(t, d)); n != 0 {
		t.Errorf("%d events are left of them", n)
	}
}

func TestSearchTakesWildcardsLiterally(t *testing.T) {
	d := open(t)
	for _, email := range []string{"a_b@example.org", "axb@example.org", "100%@example.org", `back\slash@example.org`, "Ärger&<b>@example.org"} {
		if err := write(t, d, Event{Type: Logout, Actor: Actor{Email: email}}); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]int{"a_b": 1, "%": 1, `\`: 1, "EXAMPLE": 5, "'": 0, "Ärger&<B>": 1, "nothing": 0} {
		events, _, err := List(d.Read(context.Background()), Filter{Text: text, Limit: 10})
		if err != nil || len(events) != want {
			t.Errorf("%q finds %d, want %d (%v)", text, len(events), want, err)
		}
	}
}
