package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"patronus.internal/dashboard/security/db"
)

var searchStart = time.Date(2026, 1, 2, 3, 30, 0, 0, time.UTC)

// mixedLog has events of a few users, addresses, keys and types, over a day in
// which the clock is set back twice, and returns them oldest first.
func mixedLog(t testing.TB, n int) (*db.DB, []Record) {
	t.Helper()
	now := searchStart
	d := openCounted(t, t.TempDir(), func() time.Time { return now })
	some := func(i, every int, text string) string {
		if i%every == 0 {
			return ""
		}
		return fmt.Sprintf("%s%d", text, i%every)
	}
	for i := range n {
		now = now.Add(7 * time.Minute)
		if i == n/3 || i == n/2 {
			now = now.Add(-5 * time.Hour)
		}
		err := d.Write(context.Background(), func(tx *db.Tx) error {
			return Append(tx, Event{Type: []Type{LoginAttempt, Logout, PolicyChange}[i*i%3], Severity: Severities[i*7%11%3], Success: i%5 < 3,
				Details: Details{"route": some(i, 4, "/path/"), "name": some(i, 6, "Key ")},
				Actor: Actor{UserID: some(i, 4, "u"), Email: some(i, 5, "Ann"), IPAddress: some(i, 3, "192.0.2."), APIKeyID: some(i, 7, "k"),
					RequestID: fmt.Sprintf("r%d", i/2), SessionID: some(i, 4, "s")}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	written, err := rowsAfter(d.Read(context.Background()), 0, n)
	if err != nil || len(written) != n {
		t.Fatalf("%d events, %v", len(written), err)
	}
	var events []Record
	for _, r := range written {
		e, err := Get(d.Read(context.Background()), r.seq)
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return d, events
}

// matches is the filter as one would say it.
func matches(f Filter, e Record) bool {
	text := strings.ToLower(f.Text)
	has := func(s string) bool { return strings.Contains(strings.ToLower(s), text) }
	return (f.Type == "" || e.Type == f.Type) && (f.Severity == "" || e.Severity == f.Severity) && (f.Success == nil || e.Success == *f.Success) &&
		(f.UserID == "" || e.Actor.UserID == f.UserID) && (f.Email == "" || e.Actor.Email == f.Email) && (f.IP == "" || e.Actor.IPAddress == f.IP) &&
		(f.APIKeyID == "" || e.Actor.APIKeyID == f.APIKeyID) && (f.Request == "" || e.Actor.RequestID == f.Request) && (f.Session == "" || e.Actor.SessionID == f.Session) &&
		(f.Since.IsZero() || !e.Time.Before(f.Since)) && (f.Until.IsZero() || e.Time.Before(f.Until)) &&
		(f.Before == 0 || e.Seq < f.Before) && e.Seq > f.After &&
		(has(e.Actor.Email) || has(e.Actor.IPAddress) || has(e.row.details) || has(e.row.personal) || has(e.Actor.RequestID))
}

func drawFilter(t *rapid.T, n int) Filter {
	one := func(name string, values ...string) string {
		if rapid.IntRange(0, 3).Draw(t, name+" is set") > 0 {
			return ""
		}
		return rapid.SampledFrom(values).Draw(t, name)
	}
	at := func(name string) time.Time {
		if rapid.Bool().Draw(t, name+" is set") {
			return searchStart.Add(time.Duration(rapid.IntRange(-2*60, 20*60).Draw(t, name)) * time.Minute)
		}
		return time.Time{}
	}
	f := Filter{Type: Type(one("type", string(LoginAttempt), string(Logout), string(PolicyChange), string(Consent))),
		Severity: Severity(one("severity", "info", "warning", "critical")), UserID: one("user", "u1", "u2", "nobody"), Email: one("email", "Ann1", "Ann4"),
		IP: one("ip", "192.0.2.1", "192.0.2.2"), APIKeyID: one("key", "k1", "k5"), Text: one("text", "ann", "PATH/2", "key 3", "r4", "192.0", "%"),
		Request: one("request", "r7", "r40"), Session: one("session", "s1", "s3"), Since: at("since"), Until: at("until"),
		OldestFirst: rapid.Bool().Draw(t, "oldest first"), Limit: rapid.IntRange(1, 30).Draw(t, "limit")}
	if rapid.Bool().Draw(t, "has an outcome") {
		success := rapid.Bool().Draw(t, "outcome")
		f.Success = &success
	}
	if rapid.Bool().Draw(t, "is bounded") {
		f.Before, f.After = int64(rapid.IntRange(0, n).Draw(t, "before")), int64(rapid.IntRange(0, n).Draw(t, "after"))
	}
	return f
}

// TestPagesAddUp: whoever goes on to the end has exactly what matches, in order and
// once, whatever the filters are and however little a search may examine.
func TestPagesAddUp(t *testing.T) {
	const n = 150
	d, events := mixedLog(t, n)
	r := d.Read(context.Background())
	property := func(t *rapid.T) {
		f := drawFilter(t, n)
		budget := rapid.SampledFrom([]int{1, 2, 3, 7, 20, n - 1, n, 10 * n}).Draw(t, "budget")
		var want []int64
		for _, e := range events {
			if matches(f, e) {
				want = append(want, e.Seq)
			}
		}
		if !f.OldestFirst {
			slices.Reverse(want)
		}
		var got []int64
		page := f
		for pages := 0; ; pages++ {
			if pages > 2*n {
				t.Fatal("it does not come to an end")
			}
			p, err := search(r, page, budget)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Events) > f.Limit {
				t.Fatalf("%d events, not %d at most", len(p.Events), f.Limit)
			}
			for _, e := range p.Events {
				got = append(got, e.Seq)
			}
			if short := len(p.Events) < f.Limit && p.Next > 0; short == p.Reached.IsZero() {
				t.Fatalf("%d of %d events, next %d, reached %s", len(p.Events), f.Limit, p.Next, p.Reached)
			}
			if p.Next == 0 {
				break
			}
			if f.OldestFirst {
				page.After = p.Next
			} else {
				page.Before = p.Next
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("found %v, want %v", got, want)
		}
	}
	for range 5 { // filters have many combinations
		rapid.Check(t, property)
	}
}

// TestEachSearchIsBounded: no statement goes through the table without a bound, or
// sorts what it finds.
func TestEachSearchIsBounded(t *testing.T) {
	d, _ := mixedLog(t, 40)
	r := d.Read(context.Background())
	failed := false
	for name, f := range map[string]Filter{
		"all": {}, "type": {Type: Logout}, "severity": {Severity: Critical}, "outcome": {Success: &failed}, "user": {UserID: "u1"}, "email": {Email: "Ann1"},
		"address": {IP: "192.0.2.1"}, "key": {APIKeyID: "k1"}, "time": {Since: searchStart, Until: searchStart.Add(9 * time.Hour)},
		"text": {Text: "x"}, "request": {Request: "r1", IP: "192.0.2.1"}, "session": {Session: "s1", UserID: "u1"},
		"user and month": {UserID: "u1", Since: searchStart.Add(time.Hour)}, "type and address": {Type: Logout, IP: "192.0.2.1"},
		"key and text": {APIKeyID: "k1", Text: "x"}, "type, outcome and time": {Type: Logout, Success: &failed, Since: searchStart},
		"everything": {Type: Logout, Severity: Info, Success: &failed, UserID: "u1", Email: "Ann1", IP: "192.0.2.1", APIKeyID: "k1", Since: searchStart, Until: searchStart.Add(9 * time.Hour), Text: "x", After: 3, Before: 30},
	} {
		for _, f.OldestFirst = range []bool{false, true} {
			w, err := f.window(r)
			if err != nil || w.empty() {
				t.Fatalf("%s: %+v, %v", name, w, err)
			}
			for _, by := range append(f.drivers(), driver{}) {
				s := scan{window: w, by: by, oldestFirst: f.OldestFirst}
				query, args := f.statement(s, 51, budget)
				explained(t, r, name, s, query, args)
				var where string
				args, where = s.where(nil)
				explained(t, r, name, s, "SELECT seq FROM audit_events WHERE "+where+s.order()+" LIMIT 1 OFFSET 7", args)
			}
		}
	}
	explained(t, r, "own counts", scan{by: driver{column: "user_id"}}, "SELECT severity, COUNT(*) FROM "+ownSince, []any{"u1", 1, 9, budget, 1})
}

// explained checks how the engine goes about a query: by the index of the driver
// or by number, in order.
func explained(t *testing.T, r db.Reader, name string, s scan, query string, args []any) {
	t.Helper()
	rows, err := r.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, query)
	}
	defer rows.Close()
	index := map[string]string{"": "INTEGER PRIMARY KEY", "user_id": "by_user", "api_key_id": "by_key", "email": "by_email",
		"ip_address": "by_ip", "event_type": "by_type", "severity": "by_severity"}[s.by.column]
	searched := false
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(step, "SEARCH audit_events") && strings.Contains(step, index) {
			searched = true
			continue
		}
		if strings.HasPrefix(step, "SCAN audit_events") || strings.HasPrefix(step, "SEARCH") || strings.Contains(step, "FOR ORDER BY") {
			t.Errorf("%s by %q: %s\n%s", name, s.by.column, step, query)
		}
	}
	if err := rows.Err(); err != nil || !searched {
		t.Errorf("%s by %q does not use %s (%v)\n%s", name, s.by.column, index, err, query)
	}
}

// TestFiguresAgreeWithTheEvents: what is counted is what there is, in hours that
// overlap because the clock was set back too.
func TestFiguresAgreeWithTheEvents(t *testing.T) {
	d, events := mixedLog(t, 150)
	r := d.Read(context.Background())
	from, to, err := Span(r)
	if err != nil || from.After(events[0].Time) || !to.After(events[len(events)-1].Time) {
		t.Fatalf("from %s to %s, %v", from, to, err)
	}
	failed := false
	for _, f := range []Filter{{}, {Type: Logout}, {Severity: Warning}, {Success: &failed}, {Type: LoginAttempt, Severity: Critical, Success: &failed}} {
		for _, step := range []time.Duration{time.Hour, 24 * time.Hour} {
			bars, err := Histogram(r, f, from, to, step)
			if err != nil {
				t.Fatal(err)
			}
			for _, bar := range bars {
				f := f
				f.Since, f.Until, f.Limit = bar.From, bar.To, 500
				found := Figures{}
				listed, _, err := List(r, f)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range listed {
					found[e.Severity]++
				}
				if fmt.Sprint(found) != fmt.Sprint(bar.Figures) {
					t.Errorf("%+v, %s: counted %v, listed %v", f, bar.From, bar.Figures, found)
				}
			}
		}
	}
	since := searchStart.Add(6*time.Hour + time.Minute)
	all, own := Figures{}, Figures{}
	for _, e := range events {
		if !e.Time.Before(Hour(since)) {
			all[e.Severity]++
			if e.Actor.UserID == "u2" {
				own[e.Severity]++
			}
		}
	}
	if got, err := CountSince(r, since); err != nil || fmt.Sprint(got) != fmt.Sprint(all) {
		t.Errorf("counted %v, want %v (%v)", got, all, err)
	}
	if got, err := CountOwnSince(r, "u2", since); err != nil || fmt.Sprint(got) != fmt.Sprint(own) || len(own) == 0 {
		t.Errorf("counted %v of one user, want %v (%v)", got, own, err)
	}
}

// TestEmptyLogAndUnknownTime: there is nothing, and nobody fails over it.
func TestEmptyLogAndUnknownTime(t *testing.T) {
	r := open(t).Read(context.Background())
	for _, f := range []Filter{{}, {Since: searchStart}, {Until: searchStart}, {Text: "x"}, {Text: "x", OldestFirst: true}, {UserID: "u", IP: "x"}} {
		f.Limit = 5
		if p, err := Search(r, f); err != nil || p.Next != 0 || len(p.Events) != 0 || !p.Reached.IsZero() {
			t.Errorf("%+v: %+v, %v", f, p, err)
		}
	}
	if from, to, err := Span(r); err != nil || !from.IsZero() || !to.IsZero() {
		t.Errorf("from %s to %s, %v", from, to, err)
	}
	if own, err := CountOwnSince(r, "u", searchStart); err != nil || len(own) != 0 {
		t.Errorf("%v, %v", own, err)
	}
}
