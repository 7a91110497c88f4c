package audit

import (
	"encoding/json"
	"fmt"

	"patronus.internal/dashboard/security/db"
)

// Person is whose events are looked for. The address is canonical.
type Person struct{ UserID, Email string }

const (
	// personWindow is how many events are looked through at once for those of a
	// person: what was done to somebody is in no index.
	personWindow = 20_000
	// personBatch is how many are handed over at once.
	personBatch = 500
)

// AllOf goes through the events up to upTo that a person did or tried, and through
// those that were done to them, oldest first, and hands over each as they may have
// it. It hands over up to where it has looked, too, and batches
// may be empty, so that who waits hears how far it is. A log of any length takes
// the memory of one batch. It stops with the first error of take.
func AllOf(r db.Reader, p Person, upTo int64, take func(events []Record, at int64) error) error {
	for done := int64(0); done < upTo; {
		events, at, err := p.next(r, done, min(done+personWindow, upTo))
		if err != nil {
			return err
		}
		if err := take(events, at); err != nil {
			return err
		}
		done = at
	}
	return nil
}

// next returns the next events of a window, and up to where it looked.
func (p Person) next(r db.Reader, after, to int64) (events []Record, at int64, err error) {
	// Only where there is no user id does an address stand for the person: with one,
	// it may be that of somebody who had the address before.
	rows, err := r.Query("SELECT "+columns+` FROM audit_events WHERE seq > $1 AND seq <= $2
		AND (user_id = $3 OR user_id IS NULL AND email = $4 OR LOWER(details) LIKE $5 ESCAPE '\' OR LOWER(COALESCE(personal_details, '')) LIKE $6 ESCAPE '\')
		ORDER BY seq LIMIT $7`,
		after, to, p.UserID, p.Email, likePattern(`"target_user_id":"`+p.UserID+`"`), likePattern(`"target_email":"`+inJSON(p.Email)+`"`), personBatch)
	if err != nil {
		return nil, 0, fmt.Errorf("audit: the events of a person: %w", err)
	}
	defer rows.Close()
	found := 0
	for rows.Next() {
		event, err := scanRecord(rows)
		if err != nil {
			return nil, 0, fmt.Errorf("audit: the events of a person: %w", err)
		}
		found, at = found+1, event.Seq
		if event, theirs := event.of(p); theirs {
			events = append(events, event)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("audit: the events of a person: %w", err)
	}
	if found < personBatch {
		at = to
	}
	return events, at, nil
}

// of is the event as a person may have it who did it or whom it was done to, and
// reports whether it is of either kind. It gives what an erasure would take away:
// of what others did to them, it does not say from where and with what; of what
// they did to others, not the personal details of those.
func (r Record) of(p Person) (Record, bool) {
	var target struct {
		UserID string `json:"target_user_id"`
		Email  string `json:"target_email"`
	}
	// A row that holds anything else names nobody.
	_ = json.Unmarshal(r.Details, &target)
	did := r.Actor.UserID == p.UserID || r.Actor.UserID == "" && r.Actor.Email == p.Email
	toThem := target.UserID == p.UserID || target.UserID == "" && target.Email == p.Email
	if !did {
		r.Actor = Actor{UserID: r.Actor.UserID}
	}
	if !toThem && (target.UserID != "" || target.Email != "") {
		r.Details = json.RawMessage(r.row.details)
	}
	return r, did || toThem
}
