package audit

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// -rows is how long the log is that BenchmarkSearch and BenchmarkAppendToLong build
// first. 10,000,000 take some three minutes and 5 GB.
var benchRows = flag.Int("rows", 1_000_000, "events in the log that is searched")

var benchEnd = time.Date(2026, 6, 30, 12, 34, 56, 0, time.UTC)

// BenchmarkSearch asks a log of 90 days, 200 users and a few busy guessers what the
// pages ask. It reports the median.
func BenchmarkSearch(b *testing.B) {
	r := openCounted(b, bigLog(b, *benchRows), benchNow).Read(context.Background())
	month := benchEnd.AddDate(0, -1, 0)
	failed := false
	for _, c := range []struct {
		name string
		f    Filter
	}{
		{"newest", Filter{}},
		{"user and month", Filter{UserID: benchUser(3), Since: month.AddDate(0, -1, 0), Until: month}},
		{"type and address", Filter{Type: APIKeyUsage, IP: benchIP(1)}},
		{"rare type, last hour", Filter{Type: PolicyChange, Since: benchEnd.Add(-time.Hour)}},
		{"user and severity", Filter{UserID: benchUser(0), Severity: Critical}},
		{"key", Filter{APIKeyID: benchKey(2)}},
		{"email", Filter{Email: benchEmail(7)}},
		{"failures", Filter{Success: &failed}},
		{"address without a match", Filter{IP: benchIP(1), Success: &failed, Type: PolicyChange}},
		{"q hit", Filter{Text: "ann7@"}},
		{"q miss", Filter{Text: "nowhere to be found"}},
		{"q of a busy user, miss", Filter{Text: "nowhere to be found", UserID: benchUser(0)}},
		{"q of a calm user, miss", Filter{Text: "nowhere to be found", UserID: benchUser(100)}},
		{"oldest, as exports", Filter{OldestFirst: true, Limit: 500, After: 1000}},
	} {
		if c.f.Limit == 0 {
			c.f.Limit = 50
		}
		b.Run(c.name, func(b *testing.B) {
			median(b, func() (int, error) {
				p, err := Search(r, c.f)
				return len(p.Events), err
			})
		})
	}
	histogram := func(back, step time.Duration) func() (int, error) {
		return func() (int, error) {
			bars, err := Histogram(r, Filter{}, Hour(benchEnd.Add(-back)), Hour(benchEnd), step)
			return len(bars), err
		}
	}
	b.Run("hours of a day", func(b *testing.B) { median(b, histogram(24*time.Hour, time.Hour)) })
	b.Run("days of 90 days", func(b *testing.B) { median(b, histogram(90*24*time.Hour, 24*time.Hour)) })
	b.Run("counts of a day", func(b *testing.B) {
		median(b, func() (int, error) {
			f, err := CountSince(r, benchEnd.Add(-24*time.Hour))
			return len(f), err
		})
	})
}

func median(b *testing.B, ask func() (found int, err error)) {
	var took []time.Duration
	var found int
	for b.Loop() {
		begin := time.Now()
		n, err := ask()
		if err != nil {
			b.Fatal(err)
		}
		took, found = append(took, time.Since(begin)), n
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(found), "found")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAppendToLong has 64 callers each waiting for its own event to be on disk, in
// the tree and counted, at the end of a log of -rows events.
func BenchmarkAppendToLong(b *testing.B) {
	d := withTree(b, bigLog(b, *benchRows), *benchRows)
	var left, n atomic.Int64
	left.Store(int64(b.N))
	random := rand.New(rand.NewPCG(7, 7))
	actors := make([]benchEvent, 1<<14)
	for i := range actors {
		actors[i] = drawEvent(random)
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				e := actors[n.Add(1)%int64(len(actors))]
				err := d.Write(context.Background(), func(tx *db.Tx) error {
					return Append(tx, Event{Type: e.kind, Severity: e.severity, Success: e.success, Details: Details{"reason": "wrong_password", "route": "/x"},
						Actor: Actor{UserID: e.user, Email: e.email, IPAddress: e.ip, APIKeyID: e.key, SessionID: e.session, RequestID: benchID(random.Uint64()), UserAgent: benchAgent}})
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// bigLog builds a log by plain statements, indexes last, and opens it.
func bigLog(b *testing.B, n int) (folder string) {
	b.Helper()
	folder = b.TempDir()
	if err := openCounted(b, folder, benchNow).Close(); err != nil {
		b.Fatal(err)
	}
	if err := build(filepath.Join(folder, "patronus.db"), n); err != nil {
		b.Fatal(err)
	}
	return folder
}

func benchNow() time.Time { return benchEnd }

// withTree opens a log that was built, with a tree of n leaves that stand for its
// events.
func withTree(b *testing.B, folder string, n int) *db.DB {
	b.Helper()
	tree := newTree(b)
	d, err := db.Open(context.Background(), db.Options{Path: filepath.Join(folder, "patronus.db"), Log: slog.New(slog.DiscardHandler),
		Now: benchNow, BeforeCommit: tree.Grow})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := d.Close(); err != nil {
			b.Error(err)
		}
	})
	edge := &merkle.Edge{}
	for edge.Size() < int64(n) {
		err := d.Write(context.Background(), func(tx *db.Tx) error {
			for range min(1<<16, int64(n)-edge.Size()) {
				edge.Append(merkle.Hash{})
			}
			return tree.store(tx, edge)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return d
}

func build(path string, n int) (err error) {
	plain, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=OFF&_synchronous=OFF&_cache_size=-500000&_locking_mode=EXCLUSIVE")
	if err != nil {
		return err
	}
	defer plain.Close()
	plain.SetMaxOpenConns(1)
	indexes, err := texts(plain, "SELECT sql FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'audit_events' AND sql IS NOT NULL")
	if err != nil {
		return err
	}
	drops, err := texts(plain, "SELECT 'DROP INDEX ' || name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'audit_events' AND sql IS NOT NULL")
	if err != nil {
		return err
	}
	tx, err := plain.Begin()
	if err != nil {
		return err
	}
	for _, drop := range drops {
		if _, err := tx.Exec(drop); err != nil {
			return err
		}
	}
	insert, err := tx.Prepare(`INSERT INTO audit_events (seq, time_us, event_type, severity, success, user_id, email, ip_address, user_agent, session_id,
		api_key_id, request_id, details, personal_details, actor_seal) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, NULL, $14)`)
	if err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2))
	salt := make([]byte, saltLength)
	step := 90 * 24 * time.Hour / time.Duration(n)
	for i := range n {
		e := drawEvent(random)
		at := benchEnd.Add(-step * time.Duration(n-i)).Truncate(time.Millisecond)
		_, err := insert.Exec(i+1, at.UnixMicro(), string(e.kind), string(e.severity), boolInt(e.success), orNull(e.user), orNull(e.email), e.ip, benchAgent, orNull(e.session),
			orNull(e.key), benchID(random.Uint64()), `{"reason":"wrong_password","route":"POST /api/v1/auth/login"}`, salt)
		if err != nil {
			return err
		}
	}
	for _, statement := range append(indexes,
		`INSERT INTO audit_counts SELECT time_us / 3600000000 * 3600000000, event_type, severity, success, COUNT(*) FROM audit_events GROUP BY 1, 2, 3, 4`,
		`INSERT INTO audit_hours SELECT time_us / 3600000000 * 3600000000, MIN(seq), MAX(seq) FROM audit_events GROUP BY 1`) {
		if _, err := tx.Exec(statement); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func texts(plain *sql.DB, query string) (found []string, err error) {
	rows, err := plain.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		found = append(found, text)
	}
	return found, rows.Err()
}

type benchEvent struct {
	kind                          Type
	severity                      Severity
	success                       bool
	user, email, ip, key, session string
}

const benchAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

func benchUser(n int) string     { return fmt.Sprintf("01980000-0000-7000-8000-%012d", n) }
func benchKey(n int) string      { return fmt.Sprintf("01980000-0001-7000-8000-%012d", n) }
func benchEmail(n int) string    { return fmt.Sprintf("ann%d@example.org", n) }
func benchIP(n int) string       { return fmt.Sprintf("192.0.2.%d", n) }
func benchID(bits uint64) string { return fmt.Sprintf("01980000-0002-7000-8000-%012x", bits>>16) }

// drawEvent: a third are guesses, most of them from ten addresses, at names of
// whom few exist; a third is the use of keys; the rest is what people do.
func drawEvent(random *rand.Rand) benchEvent {
	user := int(200 * random.Float64() * random.Float64()) // the first are the busiest
	switch dice := random.IntN(1000); {
	case dice < 330:
		e := benchEvent{kind: LoginAttempt, severity: Warning, ip: fmt.Sprintf("198.51.100.%d", random.IntN(10))}
		if random.IntN(10) == 0 {
			e.ip = fmt.Sprintf("2001:db8:%x:%x::1", random.IntN(1<<16), random.IntN(1<<8))
		}
		if random.IntN(4) == 0 {
			e.user, e.email = benchUser(user), benchEmail(user)
		} else {
			e.email = fmt.Sprintf("guess%d@example.com", random.IntN(20_000))
		}
		return e
	case dice < 660:
		return benchEvent{kind: APIKeyUsage, severity: Info, success: true, user: benchUser(user), email: benchEmail(user), ip: benchIP(user % 50), key: benchKey(user)}
	case dice == 999 && random.IntN(100) == 0:
		return benchEvent{kind: PolicyChange, severity: Warning, success: true, user: benchUser(0), email: benchEmail(0), ip: benchIP(0)}
	case dice == 998 && random.IntN(10) == 0:
		return benchEvent{kind: SuspiciousActivity, severity: Critical, ip: benchIP(user % 50), user: benchUser(user), email: benchEmail(user)}
	default:
		kind := []Type{LoginAttempt, MFAVerify, Logout, TokenRefresh, SessionEnd, TokenRefresh, AuthorizationFailed}[random.IntN(7)]
		return benchEvent{kind: kind, severity: severity(kind, true), success: kind != AuthorizationFailed, user: benchUser(user), email: benchEmail(user), ip: benchIP(user % 200),
			session: benchID(uint64(user*1000+random.IntN(1000)) << 16)}
	}
}
