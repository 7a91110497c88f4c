package audit

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"

	"patronus.internal/dashboard/security/db"
)

// Erasure is one that an event records and that is not done yet.
type Erasure struct {
	EventSeq int64
	UserID   string
	Email    string // canonical; empty once it is settled
	DoneSeq  int64  // events up to here are done
	At       time.Time

	salt seal
}

// BeginErasure records the deletion of a user with the erasure of what is personal in
// their events, and notes that it is to be done. The event commits to the address by
// a salt that goes when the erasure is settled: nobody can have the events of another
// address erased by it, nor find out the address afterwards.
func BeginErasure(tx *db.Tx, e Event, userID, email string) error {
	salt := make(seal, saltLength)
	if err := tx.Random(salt); err != nil {
		return fmt.Errorf("audit: draw a salt: %w", err)
	}
	e.Type, e.Success = UserDelete, true
	e.Details["target_user_id"], e.Details["erased"], e.Details["address_commitment"] = userID, true, salt.hexCommitment(email)
	if err := Append(tx, e); err != nil {
		return err
	}
	var seq int64
	err := tx.QueryRow("SELECT MAX(seq) FROM audit_events WHERE event_type = $1", string(UserDelete)).Scan(&seq)
	if err == nil {
		_, err = tx.Exec("INSERT INTO audit_erasures (event_seq, user_id, email, salt, done_seq, begun_at_us) VALUES ($1, $2, $3, $4, 0, $5)",
			seq, userID, email, []byte(salt), db.Micros(tx.Now()))
	}
	if err != nil {
		return fmt.Errorf("audit: begin an erasure: %w", err)
	}
	return nil
}

func (s seal) hexCommitment(email string) string {
	hash := s.commitment(0, "email", email)
	return hex.EncodeToString(hash[:])
}

// Erasures lists those that are not done.
func Erasures(r db.Reader) ([]Erasure, error) {
	rows, err := r.Query("SELECT event_seq, user_id, email, salt, done_seq, begun_at_us FROM audit_erasures ORDER BY event_seq")
	if err != nil {
		return nil, fmt.Errorf("audit: erasures: %w", err)
	}
	defer rows.Close()
	var pending []Erasure
	for rows.Next() {
		var e Erasure
		var at int64
		var salt []byte
		if err := rows.Scan(&e.EventSeq, &e.UserID, &e.Email, &salt, &e.DoneSeq, &at); err != nil {
			return nil, fmt.Errorf("audit: erasures: %w", err)
		}
		e.salt = salt
		e.At = db.FromMicros(at)
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
	// What is JSON has the address as JSON has it. Whether it is a whole one is
	// looked at when it is blanked.
	email, mention := any(nil), any(nil)
	if e.Email != "" {
		email, mention = e.Email, likePattern(inJSON(e.Email))
	}
	rows, err := r.Query(`SELECT seq FROM audit_events WHERE seq > $1 AND seq <= $2
		AND (user_id = $3 OR email = $4 OR LOWER(details) LIKE $5 ESCAPE '\' OR LOWER(COALESCE(personal_details, '')) LIKE $6 ESCAPE '\')
		ORDER BY seq LIMIT $7`,
		e.DoneSeq, to, e.UserID, email, likePattern(`"target_user_id":"`+e.UserID+`"`), mention, eraseBatch+1)
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

// Erase blanks the events that Concerned returned, records which, and keeps how far
// it is.
func (e *Erasure) Erase(tx *db.Tx, seqs []int64, to int64) error {
	by, err := nextSeq(tx)
	if err != nil {
		return err
	}
	var acted, about ranges
	for _, seq := range seqs {
		event, err := rowAt(tx, seq)
		if err != nil {
			return err
		}
		if event == nil {
			continue // retention was quicker
		}
		who, what, err := e.blank(tx, event, by)
		if err != nil {
			return err
		}
		if who {
			acted.add(seq)
		}
		if what {
			about.add(seq)
		}
	}
	if len(acted) > 0 || len(about) > 0 {
		err := Append(tx, Event{Type: AuditErase, Success: true, Details: Details{
			"erasure": e.EventSeq, "target_user_id": e.UserID, "acted": acted.String(), "about": about.String()}})
		if err != nil {
			return err
		}
	}
	e.DoneSeq = to
	_, err = tx.Exec("UPDATE audit_erasures SET done_seq = $1 WHERE event_seq = $2", to, e.EventSeq)
	if err != nil {
		return fmt.Errorf("audit: keep how far an erasure is: %w", err)
	}
	return nil
}

// blank takes the personal fields of one event away, and reports which: of who
// acted, if that was the user; and the details, if they are about the user, or
// name the address. The leaf stays the same: in the place of the fields and their
// salt are the hashes that it holds.
func (e *Erasure) blank(tx *db.Tx, r *row, by int64) (acted, about bool, err error) {
	own := r.userID == e.UserID || e.Email != "" && r.email == e.Email
	if own && r.actorSeal != nil && !r.actorSeal.erased() {
		acted = true
		r.actorSeal = r.actorSeal.leavings(actorFields, r.actorValues())
		r.email, r.ip, r.agent, r.actorErasedBy = "", "", "", by
	}
	target := r.target()
	if r.personal != "" && (target == e.UserID || target == "" && own || e.Email != "" && names(r.personal, e.Email)) {
		about = true
		r.detailsSeal = r.detailsSeal.leavings(detailsFields, r.detailsValues())
		r.personal, r.detailsErasedBy = "", by
	}
	if !acted && !about {
		return false, false, nil
	}
	_, err = tx.Exec(`UPDATE audit_events SET email = $1, ip_address = $2, user_agent = $3, personal_details = $4,
		actor_seal = $5, details_seal = $6, actor_erased_by = $7, details_erased_by = $8 WHERE seq = $9`,
		orNull(r.email), orNull(r.ip), orNull(r.agent), orNull(r.personal), r.actorSeal.column(), r.detailsSeal.column(),
		numberOrNull(r.actorErasedBy), numberOrNull(r.detailsErasedBy), r.seq)
	if err != nil {
		return false, false, fmt.Errorf("audit: erase event %d: %w", r.seq, err)
	}
	return acted, about, nil
}

func numberOrNull(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// Settle forgets the address, once all events of the time of the deletion are done.
// Until the end of it, what was under way then may still write events, which are
// found by the user's id.
func (e *Erasure) Settle(tx *db.Tx) error {
	_, err := tx.Exec(`DELETE FROM audit_strays WHERE user_id = $1 OR email = $2 OR LOWER(details) LIKE $3 ESCAPE '\'
		OR LOWER(COALESCE(personal_details, '')) LIKE $3 ESCAPE '\'`, e.UserID, e.Email, likePattern(inJSON(e.Email)))
	if err == nil {
		_, err = tx.Exec("UPDATE audit_erasures SET email = '', salt = NULL WHERE event_seq = $1", e.EventSeq)
	}
	if err != nil {
		return fmt.Errorf("audit: settle an erasure: %w", err)
	}
	e.Email = ""
	return nil
}

// End forgets an erasure.
func (e *Erasure) End(tx *db.Tx) error {
	if _, err := tx.Exec("DELETE FROM audit_erasures WHERE event_seq = $1", e.EventSeq); err != nil {
		return fmt.Errorf("audit: end an erasure: %w", err)
	}
	return nil
}

// Recorded reports whether an event of the signed log says that this erasure is to
// be: a row that somebody wrote into the database erases nothing.
func (e *Erasure) Recorded(r db.Reader, verifier note.Verifier) (bool, error) {
	signed, err := signedHead(r, verifier)
	if err != nil {
		return false, err
	}
	event, err := rowAt(r, e.EventSeq)
	if err != nil || event == nil || Type(event.kind) != UserDelete {
		return false, err
	}
	var details struct {
		Erased     bool   `json:"erased"`
		UserID     string `json:"target_user_id"`
		Commitment string `json:"address_commitment"`
	}
	if err := json.Unmarshal([]byte(event.details), &details); err != nil || !details.Erased || details.UserID != e.UserID {
		return false, nil
	}
	if e.Email != "" && (len(e.salt) != saltLength || e.salt.hexCommitment(e.Email) != details.Commitment) {
		return false, nil
	}
	return proven(r, signed, event)
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
