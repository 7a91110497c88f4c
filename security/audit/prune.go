package audit

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
)

// Prune is what the newest event says about what retention removed.
type Prune struct {
	To int64 // all events up to this one; 0 when there is no such event
	At time.Time
}

// LastPrune reads it.
func LastPrune(r db.Reader) (Prune, error) {
	var text string
	var at int64
	err := r.QueryRow("SELECT time_us, details FROM audit_events WHERE event_type = $1 ORDER BY seq DESC LIMIT 1", string(AuditPrune)).Scan(&at, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return Prune{}, nil
	}
	if err != nil {
		return Prune{}, fmt.Errorf("audit: what was pruned: %w", err)
	}
	var details struct {
		To int64 `json:"to"`
	}
	if err := json.Unmarshal([]byte(text), &details); err != nil {
		return Prune{}, fmt.Errorf("audit: what was pruned: %w", err)
	}
	return Prune{To: details.To, At: db.FromMicros(at)}, nil
}

// PrunePlan is a run of events at the beginning of the log that retention removes.
type PrunePlan struct {
	From, To int64
	Events   int64 // 0: there is nothing to remove
}

// PlanPrune plans to remove the events before an instant, to the hour: those of the
// hour in which it lies stay a little longer. Where a clock went back, none goes
// before those that stand in front of it.
func PlanPrune(r db.Reader, before time.Time) (PrunePlan, error) {
	e, err := extentOf(r)
	if err != nil || e.newest == 0 {
		return PrunePlan{}, err
	}
	var kept int64 // the first that stays
	err = r.QueryRow("SELECT COALESCE(MIN(first_seq), $1) FROM audit_hours WHERE hour_us >= $2", e.newest+1, hourOf(db.Micros(before))).Scan(&kept)
	if err != nil {
		return PrunePlan{}, fmt.Errorf("audit: plan to prune: %w", err)
	}
	p := PrunePlan{From: e.first, To: kept - 1}
	p.Events = max(0, p.To-p.From+1)
	return p, nil
}

// Record writes the event of a prune: the range, and the root of the tree over all
// events up to its end, by which an archive can be told to be the right one.
func (p PrunePlan) Record(tx *db.Tx, details Details) error {
	root, err := rootAt(tx, p.To)
	if err != nil {
		return fmt.Errorf("audit: prune: %w", err)
	}
	details["from"], details["to"], details["events"], details["root"] = p.From, p.To, p.Events, fmt.Sprintf("%x", root[:])
	return Append(tx, Event{Type: AuditPrune, Success: true, Details: details})
}

// removeBatch is how many events are removed in one change: some 5 ms with an index
// on random values of each.
const removeBatch = 200

// RemoveUpTo removes the oldest events up to a number that an event of a prune
// names, some at a time, and reports whether more wait. With the last of them go
// the counts of their hours and the heads that were kept of them.
func RemoveUpTo(tx *db.Tx, to int64) (more bool, err error) {
	result, err := tx.Exec("DELETE FROM audit_events WHERE seq IN (SELECT seq FROM audit_events WHERE seq <= $1 ORDER BY seq LIMIT $2)", to, removeBatch)
	if err != nil {
		return false, fmt.Errorf("audit: remove: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("audit: remove: %w", err)
	}
	if n == removeBatch {
		return true, nil
	}
	for _, statement := range []string{
		"DELETE FROM audit_counts WHERE hour_us IN (SELECT hour_us FROM audit_hours WHERE last_seq <= $1)",
		"DELETE FROM audit_hours WHERE last_seq <= $1",
		"DELETE FROM audit_checkpoints WHERE size <= $1",
	} {
		if _, err := tx.Exec(statement, to); err != nil {
			return false, fmt.Errorf("audit: remove: %w", err)
		}
	}
	return false, nil
}

// extent is the first and the newest number, 0 when there are no events.
type extent struct{ first, newest int64 }

func extentOf(r db.Reader) (extent, error) {
	var e extent
	err := r.QueryRow(`SELECT COALESCE((SELECT MIN(seq) FROM audit_events), 0),
		COALESCE((SELECT MAX(seq) FROM audit_events), 0)`).Scan(&e.first, &e.newest)
	if err != nil {
		return extent{}, fmt.Errorf("audit: extent: %w", err)
	}
	return e, nil
}
