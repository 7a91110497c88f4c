package security_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/export"
	"patronus.internal/dashboard/security/securitytest"
)

// TestAnyMixtureOfWorkCanBeVerified: no work of this program makes the verification
// find anything, in whatever order it happens, over restarts, beside a second
// process and with a clock that is set. A false alarm would be as bad as none.
func TestAnyMixtureOfWorkCanBeVerified(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp("", "mixture")
		if err != nil {
			rt.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &mixture{t: rt, clock: securitytest.NewClock(), dir: filepath.Join(dir, "data"), archive: filepath.Join(dir, "archive")}
		m.server = m.open()
		m.command = m.open()
		defer func() { m.must(m.server.Close(context.Background())); m.must(m.command.Close(context.Background())) }()
		for range rapid.IntRange(5, 15).Draw(rt, "steps") {
			m.step()
			m.verify()
		}
		m.export(audit.Filter{})
		success := true
		m.export(audit.Filter{Success: &success})
		m.export(audit.Filter{Email: "b@example.org"})
	})
}

type mixture struct {
	t               *rapid.T
	clock           *securitytest.Clock
	dir, archive    string
	server, command *security.Service
	users           int
}

func (m *mixture) must(err error) {
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *mixture) open() *security.Service {
	s, err := security.Open(context.Background(), security.Options{DataDir: m.dir, ArchiveDir: m.archive,
		PublicURL: &url.URL{Scheme: "https", Host: "dashboard.example.org"}, Hashing: securitytest.CheapHashing, Now: m.clock.Now, Log: slog.New(slog.DiscardHandler)})
	m.must(err)
	return s
}

func (m *mixture) step() {
	ctx := context.Background()
	by := m.server
	if rapid.Bool().Draw(m.t, "beside") {
		by = m.command
	}
	switch rapid.SampledFrom([]string{"events", "events", "erase", "erase", "clock", "days", "back", "retain", "keep", "copy", "restart", "maintain"}).Draw(m.t, "work") {
	case "events":
		m.must(by.AppendEvents(ctx, rapid.IntRange(1, 300).Draw(m.t, "events"), m.event))
	case "erase": // one of the people whom the events tell of, or nobody
		m.users++
		who := rapid.SampledFrom([]string{"a", "b", "c", "ab"}).Draw(m.t, "who")
		m.must(by.BeginErasure(ctx, "user-"+who, who+"@example.org"))
		if rapid.Bool().Draw(m.t, "at once") {
			m.must(by.ErasePending(ctx))
		}
	case "clock":
		m.clock.Advance(time.Duration(rapid.IntRange(1, 7200).Draw(m.t, "seconds")) * time.Second)
	case "days":
		m.clock.Advance(time.Duration(rapid.IntRange(1, 70).Draw(m.t, "days")) * 24 * time.Hour)
	case "back":
		m.clock.Advance(-time.Duration(rapid.IntRange(1, 7200).Draw(m.t, "seconds")) * time.Second)
	case "retain":
		m.must(by.Retain(ctx))
	case "keep":
		m.must(by.KeepCheckpoint(ctx))
	case "copy":
		m.must(by.CopyHead(ctx))
	case "restart":
		m.must(m.server.Close(ctx))
		m.server = m.open()
		m.must(m.server.Started(ctx, "test"))
	case "maintain":
		m.must(by.ErasePending(ctx))
		m.must(by.Retain(ctx))
		m.must(by.CopyHead(ctx))
	}
}

// event is one of any kind: acted and about are drawn apart.
func (m *mixture) event(int) audit.Event {
	people := []string{"a", "b", "c", "ab", ""}
	e := audit.Event{Type: rapid.SampledFrom(audit.Types[:5]).Draw(m.t, "type"), Success: rapid.Bool().Draw(m.t, "success"), Details: audit.Details{}}
	if who := rapid.SampledFrom(people).Draw(m.t, "acted"); who != "" {
		e.Actor = audit.Actor{Email: who + "@example.org", IPAddress: "192.0.2.1"}
		if rapid.Bool().Draw(m.t, "known") {
			e.Actor.UserID = "user-" + who
		}
	}
	if who := rapid.SampledFrom(people).Draw(m.t, "about"); who != "" {
		e.Details["target_user_id"], e.Details["target_email"] = "user-"+who, who+"@example.org"
	}
	if rapid.Bool().Draw(m.t, "text") {
		e.Details["q"] = rapid.String().Draw(m.t, "q")
		e.Actor.UserAgent = rapid.String().Draw(m.t, "agent")
	}
	return e
}

func (m *mixture) verify() {
	key, err := security.AuditKeyOf(m.dir)
	m.must(err)
	if _, err := security.VerifyLog(context.Background(), m.dir, key); err != nil {
		m.t.Fatalf("a healthy log: %v", err)
	}
	entries, err := os.ReadDir(m.dir)
	m.must(err)
	for _, entry := range entries {
		if bytes.Contains([]byte(entry.Name()), []byte("conflict")) {
			m.t.Fatalf("a healthy log has %s", entry.Name())
		}
	}
}

func (m *mixture) export(f audit.Filter) {
	var file bytes.Buffer
	lines, n := export.NewWriter(export.NDJSON, &file, export.Product{}), 0
	m.must(m.server.ExportForHost(context.Background(), f, "ndjson", func(batch []audit.Record) error {
		n += len(batch)
		return export.WriteBatch(lines, batch)
	}))
	m.must(lines.Close())
	key, err := security.AuditKeyOf(m.dir)
	m.must(err)
	report, err := security.VerifyExport(&file, key)
	if n == 0 {
		return
	}
	if err != nil || report.Events != int64(n) {
		m.t.Fatalf("a healthy export of %d: %+v, %v", n, report, fmt.Sprint(err))
	}
}
