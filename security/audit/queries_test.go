package audit

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
)

// diary is a log with an event an hour, from its beginning on.
func diary(t *testing.T, events ...Event) (r db.Reader, start time.Time) {
	t.Helper()
	start = time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	now := start
	d := openCounted(t, t.TempDir(), func() time.Time { return now })
	for _, e := range events {
		if err := write(t, d, e); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Hour)
	}
	return d.Read(context.Background()), start
}

func numbers(events []Record) []int64 {
	var found []int64
	for _, e := range events {
		found = append(found, e.Seq)
	}
	return found
}

func TestUserLogs(t *testing.T) {
	r, _ := diary(t,
		Event{Type: LoginAttempt, Success: true, Actor: Actor{UserID: "ann"}},
		Event{Type: Logout, Success: true, Actor: Actor{UserID: "ben"}},
		Event{Type: UserUpdate, Success: true, Actor: Actor{UserID: "ben"}, Details: Details{"target_user_id": "ann"}},
		Event{Type: Logout, Success: true, Actor: Actor{UserID: "ann"}},
		Event{Type: SystemStart, Success: true},
		Event{Type: LoginAttempt, Actor: Actor{UserID: "ann"}})
	for _, c := range []struct {
		user  string
		limit int
		want  []int64
	}{{"ann", 100, []int64{6, 4, 1}}, {"ann", 2, []int64{6, 4}}, {"ben", 100, []int64{3, 2}}, {"cleo", 100, nil}, {"", 100, nil}} {
		events, err := UserLogs(r, c.user, c.limit)
		if err != nil || !slices.Equal(numbers(events), c.want) {
			t.Errorf("%q, %d: %v, want %v, %v", c.user, c.limit, numbers(events), c.want, err)
		}
	}
}

func TestCriticalEvents(t *testing.T) {
	r, start := diary(t,
		Event{Type: AccountLock, Success: true},
		Event{Type: LoginAttempt},
		Event{Type: SuspiciousActivity},
		Event{Type: PolicyChange, Success: true},
		Event{Type: TokenRefresh, Severity: Critical})
	for _, c := range []struct {
		filter Filter
		want   []int64
		next   int64
	}{
		{Filter{Limit: 50}, []int64{5, 3, 1}, 0},
		{Filter{Limit: 2}, []int64{5, 3}, 3},
		{Filter{Limit: 2, Before: 3}, []int64{1}, 0},
		{Filter{Limit: 50, Since: start.Add(2 * time.Hour)}, []int64{5, 3}, 0},
		{Filter{Limit: 50, Until: start.Add(2 * time.Hour)}, []int64{1}, 0},
		// No other severity passes, whatever is asked for.
		{Filter{Limit: 50, Severity: Warning}, []int64{5, 3, 1}, 0},
	} {
		events, next, err := CriticalEvents(r, c.filter)
		if err != nil || next != c.next || !slices.Equal(numbers(events), c.want) {
			t.Errorf("%+v: %v and %d, want %v and %d, %v", c.filter, numbers(events), next, c.want, c.next, err)
		}
	}
}

func TestFailedLogins(t *testing.T) {
	here, there := Actor{IPAddress: "192.0.2.7"}, Actor{IPAddress: "192.0.2.70"}
	r, start := diary(t,
		Event{Type: LoginAttempt, Actor: here},
		Event{Type: LoginAttempt, Success: true, Actor: here},
		Event{Type: LoginAttempt, Actor: there},
		Event{Type: MFAVerify, Actor: here},
		Event{Type: LoginAttempt, Actor: here},
		Event{Type: LoginAttempt})
	for _, c := range []struct {
		ip    string
		since time.Time
		limit int
		want  []int64
	}{
		{"192.0.2.7", start, 20, []int64{5, 1}},
		{"192.0.2.7", time.Time{}, 20, []int64{5, 1}},
		{"192.0.2.7", start.Add(time.Microsecond), 20, []int64{5}},
		{"192.0.2.7", start.Add(4 * time.Hour), 20, []int64{5}},
		{"192.0.2.7", start.Add(5 * time.Hour), 20, nil},
		{"192.0.2.7", start, 1, []int64{5}},
		{"192.0.2.70", start, 20, []int64{3}},
		{"", start, 20, nil},
	} {
		events, err := FailedLogins(r, c.ip, c.since, c.limit)
		if err != nil || !slices.Equal(numbers(events), c.want) {
			t.Errorf("%q since %s, %d: %v, want %v, %v", c.ip, c.since, c.limit, numbers(events), c.want, err)
		}
	}
}

func TestAllLogs(t *testing.T) {
	var events []Event
	for range 7 {
		events = append(events, Event{Type: SystemStart, Success: true})
	}
	r, start := diary(t, events...)
	for _, c := range []struct {
		from, to time.Duration
		batch    int
		want     [][]int64
	}{
		{0, 24 * time.Hour, 500, [][]int64{{1, 2, 3, 4, 5, 6, 7}}},
		{0, 24 * time.Hour, 3, [][]int64{{1, 2, 3}, {4, 5, 6}, {7}}},
		{0, 24 * time.Hour, 7, [][]int64{{1, 2, 3, 4, 5, 6, 7}}},
		// The beginning belongs to it, the end does not.
		{2 * time.Hour, 5 * time.Hour, 2, [][]int64{{3, 4}, {5}}},
		{24 * time.Hour, 48 * time.Hour, 2, nil},
	} {
		var got [][]int64
		err := AllLogs(r, Filter{Since: start.Add(c.from), Until: start.Add(c.to), Limit: c.batch}, func(batch []Record) error {
			got = append(got, numbers(batch))
			return nil
		})
		if err != nil || !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%s to %s by %d: %v, want %v, %v", c.from, c.to, c.batch, got, c.want, err)
		}
	}
	enough := errors.New("enough")
	batches := 0
	err := AllLogs(r, Filter{Limit: 2}, func([]Record) error { batches++; return enough })
	if !errors.Is(err, enough) || batches != 1 {
		t.Errorf("%d batches were handed over after %v", batches, err)
	}
}
