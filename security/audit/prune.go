package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// Prune is what the newest event says about what retention removed.
type Prune struct {
	To int64 // all events up to this one; 0 when there is no such event
	At time.Time
}

// LastPrune reads it. An event that is not as it was written says nothing, since
// events are removed by what it says.
func LastPrune(r db.Reader, verifier note.Verifier) (Prune, error) {
	signed, err := signedHead(r, verifier)
	if err != nil {
		return Prune{}, err
	}
	return lastPrune(r, func(e *row) (bool, error) { return proven(r, signed, e) })
}

// lastPrune reads the newest that is confirmed. More than a few that are not are
// nothing that happens by itself.
func lastPrune(r db.Reader, confirmed func(*row) (bool, error)) (Prune, error) {
	rows, err := rowsOf(r, "WHERE event_type = $1 ORDER BY seq DESC LIMIT 20", string(AuditPrune))
	if err != nil {
		return Prune{}, err
	}
	for _, e := range rows {
		var details struct {
			To int64 `json:"to"`
		}
		if err := json.Unmarshal([]byte(e.details), &details); err != nil || details.To >= e.seq {
			continue
		}
		switch ok, err := confirmed(&e); {
		case err != nil:
			return Prune{}, err
		case ok:
			return Prune{To: details.To, At: db.FromMicros(e.timeUS)}, nil
		}
	}
	return Prune{}, nil
}

// PrunePlan is a run of events at the beginning of the log that retention removes.
type PrunePlan struct {
	From, To int64
	Events   int64 // 0: there is nothing to remove
}

// PlanPrune plans to remove the events before an instant, to the hour: those of the
// hour in which it lies stay a little longer. The last one that goes is old; where a
// clock was set, none goes before those that stand in front of it. So an event with a
// time to come, of a clock that ran ahead, goes when one behind it is old.
func PlanPrune(r db.Reader, before, now time.Time) (PrunePlan, error) {
	e, err := extentOf(r)
	if err != nil || e.newest == 0 {
		return PrunePlan{}, err
	}
	var kept, last int64 // the first that stays, and the last that is old
	err = r.QueryRow("SELECT COALESCE(MIN(first_seq), $1) FROM audit_hours WHERE hour_us >= $2 AND hour_us <= $3",
		e.newest+1, hourOf(db.Micros(before)), hourOf(db.Micros(now))).Scan(&kept)
	if err == nil {
		err = r.QueryRow("SELECT COALESCE(MAX(last_seq), 0) FROM audit_hours WHERE hour_us < $1 AND last_seq < $2",
			hourOf(db.Micros(before)), kept).Scan(&last)
	}
	if err != nil {
		return PrunePlan{}, fmt.Errorf("audit: plan to prune: %w", err)
	}
	p := PrunePlan{From: e.first, To: last}
	p.Events = max(0, p.To-p.From+1)
	return p, nil
}

// Check goes through the events of a plan and returns a *Finding unless each of
// them is there, as it was written, and old enough: what is removed can be verified
// by nobody any more, and the hours that the plan was made of are not signed.
func (p PrunePlan) Check(r db.Reader, verifier note.Verifier, before, now time.Time) error {
	signed, err := signedHead(r, verifier)
	if err != nil {
		return err
	}
	if p.From < 1 || p.To > signed.Size {
		return &Finding{Seq: p.From, Why: fmt.Sprintf("the log has no events from %d to %d", p.From, p.To)}
	}
	var tree merkle.Range
	if err := p.cover(r, &tree, p.From-1); err != nil {
		return err
	}
	for tree.Size() < p.To {
		rows, err := rowsAfter(r, tree.Size(), int(min(1000, p.To-tree.Size())))
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return &Finding{Seq: tree.Size() + 1, Why: "it is missing"}
		}
		for _, e := range rows {
			if e.seq != tree.Size()+1 {
				return &Finding{Seq: tree.Size() + 1, Why: "it is missing"}
			}
			if e.timeUS >= db.Micros(before) && (e.timeUS <= db.Micros(now) || e.seq == p.To) {
				return &Finding{Seq: e.seq, Why: "it is to be removed before its time"}
			}
			tree.Append(e.leaf())
		}
	}
	if err := p.cover(r, &tree, signed.Size); err != nil {
		return err
	}
	if tree.Root() != signed.Root {
		return &Finding{Seq: p.From, Why: fmt.Sprintf("from here to %d the log is not the one that was signed", p.To)}
	}
	return nil
}

// cover goes on to a size by the stored hashes.
func (p PrunePlan) cover(r db.Reader, tree *merkle.Range, size int64) error {
	hashes, err := (&subtrees{r: r}).cover(tree.Size(), size)
	if gone, ok := errors.AsType[*MissingTileError](err); ok {
		return &Finding{Seq: p.From, Why: gone.Error()}
	}
	if err != nil {
		return err
	}
	return appendCover(tree, size, each(hashes))
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

// RemoveStrays removes the rows that were moved aside before an instant: they tell
// of persons as events do.
func RemoveStrays(tx *db.Tx, before time.Time) error {
	if _, err := tx.Exec("DELETE FROM audit_strays WHERE found_at_us < $1", db.Micros(before)); err != nil {
		return fmt.Errorf("audit: remove strays: %w", err)
	}
	return nil
}

func countStrays(r db.Reader) (int64, error) {
	var n int64
	if err := r.QueryRow("SELECT COUNT(*) FROM audit_strays").Scan(&n); err != nil {
		return 0, fmt.Errorf("audit: count strays: %w", err)
	}
	return n, nil
}
