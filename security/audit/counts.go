package audit

import (
	"fmt"
	"maps"

	"patronus.internal/dashboard/security/db"
)

const hourUS = 3_600_000_000

// hourOf is the beginning of the hour of an instant, both in microseconds.
func hourOf(us int64) int64 { return us / hourUS * hourUS }

// bucket is what events of an hour are counted by.
type bucket struct {
	hour           int64
	kind, severity string
	success        bool
}

// count adds a batch of events to the counts of their hours.
func count(tx *db.Tx, added []appended) error {
	counts := map[bucket]int{}
	for _, e := range added {
		counts[bucket{e.hour, e.kind, e.severity, e.success}]++
	}
	for b, n := range counts {
		_, err := tx.Exec(`INSERT INTO audit_counts (hour_us, event_type, severity, success, events) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (hour_us, event_type, severity, success) DO UPDATE SET events = audit_counts.events + excluded.events`,
			b.hour, b.kind, b.severity, boolInt(b.success), n)
		if err != nil {
			return broken("the counts of its events cannot be kept (%v)", err)
		}
	}
	// The events of a batch share its time, so this is once.
	for from := 0; from < len(added); {
		to := from + 1
		for to < len(added) && added[to].hour == added[from].hour {
			to++
		}
		_, err := tx.Exec(`INSERT INTO audit_hours (hour_us, first_seq, last_seq) VALUES ($1, $2, $3)
			ON CONFLICT (hour_us) DO UPDATE SET last_seq = excluded.last_seq`,
			added[from].hour, added[from].seq, added[to-1].seq)
		if err != nil {
			return broken("the hours of its events cannot be kept (%v)", err)
		}
		from = to
	}
	return nil
}

// hours is what the events of each hour are, as a verification has seen them: what
// searches go by and bars show must be that.
type hours map[int64]*hourSeen

type hourSeen struct {
	first, last int64
	counts      map[bucket]int64
}

func (h hours) add(r *row) {
	if h == nil {
		return
	}
	at := hourOf(r.timeUS)
	seen := h[at]
	if seen == nil {
		seen = &hourSeen{first: r.seq, counts: map[bucket]int64{}}
		h[at] = seen
	}
	seen.last = r.seq
	seen.counts[bucket{at, r.kind, r.severity, r.success}]++
}

// compare returns an error when the hours that are kept do not cover the events, or
// the counts are others. An hour of which retention removed a part keeps its counts.
func (h hours) compare(r db.Reader, prunedTo int64) error {
	kept, counts, err := keptHours(r)
	if err != nil {
		return err
	}
	for at, seen := range h {
		held, ok := kept[at]
		if !ok || held.first > seen.first || held.last < seen.last {
			return fmt.Errorf("the events are as they were written, but the hour from %s is not: searches for a time leave events out", Time(db.FromMicros(at)))
		}
		if held.first > prunedTo && !maps.Equal(counts[at], seen.counts) {
			return fmt.Errorf("the events are as they were written, but the counts of the hour from %s are not those of its events", Time(db.FromMicros(at)))
		}
	}
	return nil
}

// keptHours reads the ranges and the counts of all hours.
func keptHours(r db.Reader) (ranges map[int64]hourSeen, counts map[int64]map[bucket]int64, err error) {
	ranges, counts = map[int64]hourSeen{}, map[int64]map[bucket]int64{}
	rows, err := r.Query("SELECT hour_us, first_seq, last_seq FROM audit_hours")
	if err != nil {
		return nil, nil, fmt.Errorf("audit: hours: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var at int64
		var seen hourSeen
		if err := rows.Scan(&at, &seen.first, &seen.last); err != nil {
			return nil, nil, fmt.Errorf("audit: hours: %w", err)
		}
		ranges[at] = seen
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("audit: hours: %w", err)
	}
	counted, err := r.Query("SELECT hour_us, event_type, severity, success, events FROM audit_counts")
	if err != nil {
		return nil, nil, fmt.Errorf("audit: counts: %w", err)
	}
	defer counted.Close()
	for counted.Next() {
		var b bucket
		var success int
		var n int64
		if err := counted.Scan(&b.hour, &b.kind, &b.severity, &success, &n); err != nil {
			return nil, nil, fmt.Errorf("audit: counts: %w", err)
		}
		b.success = success == 1
		if counts[b.hour] == nil {
			counts[b.hour] = map[bucket]int64{}
		}
		counts[b.hour][b] = n
	}
	if err := counted.Err(); err != nil {
		return nil, nil, fmt.Errorf("audit: counts: %w", err)
	}
	return ranges, counts, nil
}
