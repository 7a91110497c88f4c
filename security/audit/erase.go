package audit

import (
	"encoding/json"
	"fmt"
	"strings"

	"patronus.internal/dashboard/security/db"
)

// Erasure is one that an event records and that is not done yet.
type Erasure struct {
	EventSeq int64
	UserID   string
	Email    string // canonical
	DoneSeq  int64  // events up to here are done
}

// BeginErasure notes that the personal fields of a user are to be erased from all
// events up to the newest, which is the one that records it.
func BeginErasure(tx *db.Tx, userID, email string) error {
	seq, err := Newest(tx)
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO audit_erasures (event_seq, user_id, email, done_seq) VALUES ($1, $2, $3, 0)", seq, userID, email)
	if err != nil {
		return fmt.Errorf("audit: begin an erasure: %w", err)
	}
	return nil
}

// FormerIDs are other users who had the same address: the same person, before.
func FormerIDs(r db.Reader, userID, email string) ([]string, error) {
	rows, err := r.Query("SELECT DISTINCT user_id FROM audit_events WHERE email = $1 AND user_id <> $2 ORDER BY user_id LIMIT 50", email, userID)
	if err != nil {
		return nil, fmt.Errorf("audit: former ids: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("audit: former ids: %w", err)
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: former ids: %w", err)
	}
	return ids, nil
}

// Erasures lists those that are not done.
func Erasures(r db.Reader) ([]Erasure, error) {
	rows, err := r.Query("SELECT event_seq, user_id, email, done_seq FROM audit_erasures ORDER BY event_seq")
	if err != nil {
		return nil, fmt.Errorf("audit: erasures: %w", err)
	}
	defer rows.Close()
	var pending []Erasure
	for rows.Next() {
		var e Erasure
		if err := rows.Scan(&e.EventSeq, &e.UserID, &e.Email, &e.DoneSeq); err != nil {
			return nil, fmt.Errorf("audit: erasures: %w", err)
		}
		pending = append(pending, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: erasures: %w", err)
	}
	return pending, nil
}

const (
	// eraseWindow is how many events are looked through at once, beside the writer.
	eraseWindow = 20_000
	// eraseBatch is how many are blanked in one change: some 10 ms.
	eraseBatch = 200
)

// Concerned returns the next events that an erasure is to blank, some at a time,
// and up to where that looked. It only reads.
func (e Erasure) Concerned(r db.Reader) (seqs []int64, to int64, err error) {
	newest, err := Newest(r)
	if err != nil {
		return nil, 0, err
	}
	to = min(e.DoneSeq+eraseWindow, newest)
	// What is JSON has the address as JSON has it.
	inJSON, err := encode(e.Email)
	if err != nil {
		return nil, 0, err
	}
	rows, err := r.Query(`SELECT seq FROM audit_events WHERE seq > $1 AND seq <= $2
		AND (user_id = $3 OR email = $4 OR details LIKE $5 ESCAPE '\' OR personal_details LIKE $6 ESCAPE '\')
		ORDER BY seq LIMIT $7`,
		e.DoneSeq, to, e.UserID, e.Email, likePattern(`"target_user_id":"`+e.UserID+`"`), likePattern(strings.Trim(string(inJSON), `"`)), eraseBatch+1)
	if err != nil {
		return nil, 0, fmt.Errorf("audit: what to erase: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, 0, fmt.Errorf("audit: what to erase: %w", err)
		}
		seqs = append(seqs, seq)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("audit: what to erase: %w", err)
	}
	if len(seqs) > eraseBatch {
		seqs = seqs[:eraseBatch]
		to = seqs[eraseBatch-1]
	}
	return seqs, to, nil
}

// Erase blanks the events that Concerned returned and keeps how far it is. With the
// newest event done, the erasure is over, and it reports so.
func (e *Erasure) Erase(tx *db.Tx, seqs []int64, to int64) (over bool, err error) {
	for _, seq := range seqs {
		rows, err := rowsAfter(tx, seq-1, 1)
		if err != nil {
			return false, err
		}
		if len(rows) == 1 && rows[0].seq == seq {
			if err := e.blank(tx, &rows[0]); err != nil {
				return false, err
			}
		}
	}
	newest, err := Newest(tx)
	if err != nil {
		return false, err
	}
	statement, args := "UPDATE audit_erasures SET done_seq = $1 WHERE event_seq = $2", []any{to, e.EventSeq}
	if over = to >= newest; over {
		statement, args = "DELETE FROM audit_erasures WHERE event_seq = $1", []any{e.EventSeq}
	}
	if _, err := tx.Exec(statement, args...); err != nil {
		return false, fmt.Errorf("audit: keep how far an erasure is: %w", err)
	}
	e.DoneSeq = to
	return over, nil
}

// blank takes the personal fields of one event away. Who acted is theirs who acted;
// the details are theirs whom it was about, or else theirs who acted; and wherever
// the address stands, it goes. The leaf stays the same: in the place of the fields
// and their salt are the hashes that it holds.
func (e *Erasure) blank(tx *db.Tx, r *row) error {
	acted := r.userID == e.UserID || r.email == e.Email
	target := r.target()
	about := target == e.UserID || target == "" && acted || strings.Contains(strings.ToLower(r.personal), e.Email)
	if acted {
		r.actorSeal = r.actorSeal.leavings(actorFields, r.actorValues())
		r.email, r.ip, r.agent = "", "", ""
	}
	if about {
		r.detailsSeal = r.detailsSeal.leavings(detailsFields, r.detailsValues())
		r.personal = ""
	}
	_, err := tx.Exec(`UPDATE audit_events SET email = $1, ip_address = $2, user_agent = $3, personal_details = $4,
		actor_seal = $5, details_seal = $6, erased_by = $7 WHERE seq = $8`,
		orNull(r.email), orNull(r.ip), orNull(r.agent), orNull(r.personal), r.actorSeal.column(), r.detailsSeal.column(), e.EventSeq, r.seq)
	if err != nil {
		return fmt.Errorf("audit: erase event %d: %w", r.seq, err)
	}
	return nil
}

// target is whom the event was about, "" when it does not say.
func (r *row) target() string {
	var details struct {
		UserID string `json:"target_user_id"`
	}
	if err := json.Unmarshal([]byte(r.details), &details); err != nil {
		return ""
	}
	return details.UserID
}
