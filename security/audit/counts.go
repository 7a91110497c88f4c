package audit

import (
	"fmt"

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
			return fmt.Errorf("audit: count: %w", err)
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
			return fmt.Errorf("audit: count: %w", err)
		}
		from = to
	}
	return nil
}
