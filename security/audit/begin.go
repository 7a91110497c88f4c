package audit

import (
	"encoding/json"
	"fmt"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// Begin makes the head of a new log, and brings the events that a version without
// a tree wrote into it, in the one change that it is called in: some 20 µs an
// event. It is for a log that never had a head.
func (t *Tree) Begin(tx *db.Tx) error {
	edge := &merkle.Edge{}
	for {
		rows, err := rowsAfter(tx, edge.Size(), 1000)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if r.seq != edge.Size()+1 {
				return fmt.Errorf("audit: event %d follows on %d in the log from before: events were removed. Put a backup of the database in its place", r.seq, edge.Size())
			}
			if err := adopt(tx, &r); err != nil {
				return err
			}
			edge.Append(r.leaf())
		}
		if len(rows) == 0 {
			return t.store(tx, edge)
		}
	}
}

// adopt divides the details of an old event and gives it its salts.
func adopt(tx *db.Tx, r *row) error {
	if r.actorSeal != nil || r.detailsSeal != nil {
		return nil
	}
	var details Details
	if err := json.Unmarshal([]byte(r.details), &details); err != nil {
		return fmt.Errorf("audit: the details of event %d: %w", r.seq, err)
	}
	var err error
	if r.details, r.personal, err = split(details); err != nil {
		return fmt.Errorf("audit: the details of event %d: %w", r.seq, err)
	}
	if err := r.draw(tx); err != nil {
		return err
	}
	_, err = tx.Exec("UPDATE audit_events SET details = $1, personal_details = $2, actor_seal = $3, details_seal = $4 WHERE seq = $5",
		r.details, orNull(r.personal), r.actorSeal.column(), r.detailsSeal.column(), r.seq)
	if err != nil {
		return fmt.Errorf("audit: adopt event %d: %w", r.seq, err)
	}
	return nil
}

// rowsAfter reads the next events behind a number, in order.
func rowsAfter(r db.Reader, seq int64, limit int) ([]row, error) {
	return rowsOf(r, "WHERE seq > $1 ORDER BY seq LIMIT $2", seq, limit)
}

// rowAt reads one event, nil when there is none.
func rowAt(r db.Reader, seq int64) (*row, error) {
	rows, err := rowsOf(r, "WHERE seq = $1", seq)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// rowsOf reads events with all that their leaves hold.
func rowsOf(r db.Reader, clause string, args ...any) ([]row, error) {
	rows, err := r.Query("SELECT "+columns+" FROM audit_events "+clause, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: read: %w", err)
	}
	defer rows.Close()
	var found []row
	for rows.Next() {
		r, err := scanRow(rows)
		if err != nil {
			return nil, fmt.Errorf("audit: read: %w", err)
		}
		found = append(found, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: read: %w", err)
	}
	return found, nil
}

// nextBase is the number behind which the events of a batch are numbered: that of
// the signed head. Events that stand behind it were not written by this program, so
// they make way, and how many is told by an event.
func nextBase(tx *db.Tx) (base, strays int64, err error) {
	newest, err := Newest(tx)
	if err != nil {
		return 0, 0, err
	}
	head, err := Head(tx)
	if err != nil || head == "" { // without a head nothing is signed, which Grow decides about
		return newest, 0, err
	}
	signed, err := parseCheckpoint(head)
	if err != nil {
		return 0, 0, broken("its head is no checkpoint (%v)", err)
	}
	if newest <= signed.Size {
		return signed.Size, 0, nil
	}
	const fields = `seq, time_us, event_type, severity, success, user_id, email, ip_address, user_agent,
		session_id, api_key_id, request_id, details, personal_details, actor_seal, details_seal`
	if _, err := tx.Exec("INSERT INTO audit_strays (found_at_us, "+fields+") SELECT $1, "+fields+" FROM audit_events WHERE seq > $2",
		db.Micros(tx.Now()), signed.Size); err != nil {
		return 0, 0, fmt.Errorf("audit: move strays: %w", err)
	}
	result, err := tx.Exec("DELETE FROM audit_events WHERE seq > $1", signed.Size)
	if err != nil {
		return 0, 0, fmt.Errorf("audit: move strays: %w", err)
	}
	strays, err = result.RowsAffected()
	return signed.Size, strays, err
}
