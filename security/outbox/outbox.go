// Package outbox keeps mail that is to be sent until it is, over failures of
// the mail server and restarts of this program.
package outbox

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
)

// Kind says what a message is about.
type Kind string

// What is written to people.
const (
	Invitation      Kind = "invitation"
	PasswordReset   Kind = "password_reset"
	PasswordChanged Kind = "password_changed"
	FactorsRemoved  Kind = "factors_removed"
	NewDevice       Kind = "new_device"
	AccountLocked   Kind = "account_locked"
	KeyExpires      Kind = "key_expires"
)

// Message is one mail on its way. Details are what its text needs; never a
// secret.
type Message struct {
	ID        string
	Kind      Kind
	Recipient string // an e-mail address
	Details   map[string]string
	CreatedAt time.Time
	ExpiresAt time.Time // not worth sending any more
	Attempts  int       // including the one that it was claimed for
}

// Per address and kind, so that nobody fills a mailbox through this program, or
// keeps one message back by asking for many of another.
const (
	maxPerRecipient = 5
	perRecipient    = 15 * time.Minute
	maxPerDay       = 20
)

// Add puts a message in the outbox and reports whether it did: it does not when
// the address got several a short while ago.
func Add(tx *db.Tx, kind Kind, recipient string, details map[string]string, lifetime time.Duration) (bool, error) {
	id, err := tx.NewID()
	if err != nil {
		return false, err
	}
	encoded, err := json.Marshal(details)
	if err != nil {
		return false, fmt.Errorf("outbox: encode: %w", err)
	}
	now := tx.Now()
	result, err := tx.Exec(`INSERT INTO outbox (id, kind, recipient, details, created_at_us, expires_at_us, next_attempt_at_us)
		SELECT $1, $2, $3, $4, $5, $6, $5
		WHERE (SELECT COUNT(*) FROM outbox WHERE recipient = $3 AND kind = $2 AND created_at_us > $7 AND created_at_us <= $5) < $8
			AND (SELECT COUNT(*) FROM outbox WHERE recipient = $3 AND kind = $2 AND created_at_us > $9 AND created_at_us <= $5) < $10`,
		id, string(kind), recipient, string(encoded), db.Micros(now), db.Micros(now.Add(lifetime)),
		db.Micros(now.Add(-perRecipient)), maxPerRecipient, db.Micros(now.Add(-kept)), maxPerDay)
	if err != nil {
		return false, fmt.Errorf("outbox: add: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// lease is how long who claimed a message may take to send it. After it, they
// have died.
const lease = 2 * time.Minute

// delays are the waits after failed attempts; the last one repeats.
var delays = []time.Duration{10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour}

// Expire crosses out as failed what is due and not worth sending any more, and
// returns how many messages that are.
func Expire(tx *db.Tx) (int64, error) {
	result, err := tx.Exec("UPDATE outbox SET done_at_us = $1, outcome = 'failed' WHERE done_at_us IS NULL AND next_attempt_at_us <= $1 AND expires_at_us <= $1",
		db.Micros(tx.Now()))
	if err != nil {
		return 0, fmt.Errorf("outbox: cross out what is too old: %w", err)
	}
	return result.RowsAffected()
}

// Drop crosses out the messages of a kind to an address that wait.
func Drop(tx *db.Tx, kind Kind, recipient string) error {
	_, err := tx.Exec("UPDATE outbox SET done_at_us = $1, outcome = 'dropped' WHERE recipient = $2 AND kind = $3 AND done_at_us IS NULL",
		db.Micros(tx.Now()), recipient, string(kind))
	if err != nil {
		return fmt.Errorf("outbox: drop: %w", err)
	}
	return nil
}

// Claim returns the message that is due for longest, which no other caller gets
// until the lease ends, or false when there is none. What tells of something
// comes before what anybody may ask for. Details that cannot be read are nil.
func Claim(tx *db.Tx) (Message, bool, error) {
	now := db.Micros(tx.Now())
	var (
		m                Message
		details          string
		created, expires int64
	)
	err := tx.QueryRow(`UPDATE outbox SET attempts = attempts + 1, next_attempt_at_us = $1
		WHERE id = (SELECT id FROM outbox WHERE done_at_us IS NULL AND next_attempt_at_us <= $2
				ORDER BY CASE kind WHEN 'password_reset' THEN 1 ELSE 0 END, next_attempt_at_us, id LIMIT 1)
			AND done_at_us IS NULL AND next_attempt_at_us <= $2
		RETURNING id, kind, recipient, details, created_at_us, expires_at_us, attempts`, db.Micros(tx.Now().Add(lease)), now).
		Scan(&m.ID, &m.Kind, &m.Recipient, &details, &created, &expires, &m.Attempts)
	if errors.Is(err, sql.ErrNoRows) {
		return Message{}, false, nil
	}
	if err != nil {
		return Message{}, false, fmt.Errorf("outbox: claim: %w", err)
	}
	if json.Unmarshal([]byte(details), &m.Details) != nil {
		m.Details = nil
	}
	m.CreatedAt, m.ExpiresAt = db.FromMicros(created), db.FromMicros(expires)
	return m, true, nil
}

// Outcome is how a message ended.
type Outcome string

// A dropped one had no reader; a failed one was refused for good or in vain for
// too long.
const (
	Sent    Outcome = "sent"
	Dropped Outcome = "dropped"
	Failed  Outcome = "failed"
)

// Done crosses a message out.
func Done(tx *db.Tx, id string, outcome Outcome) error {
	if _, err := tx.Exec("UPDATE outbox SET done_at_us = $1, outcome = $2 WHERE id = $3", db.Micros(tx.Now()), string(outcome), id); err != nil {
		return fmt.Errorf("outbox: done: %w", err)
	}
	return nil
}

// Retry puts a message off after an attempt that failed for now.
func Retry(tx *db.Tx, m Message) error {
	delay := delays[min(max(m.Attempts, 1), len(delays))-1]
	if _, err := tx.Exec("UPDATE outbox SET next_attempt_at_us = $1 WHERE id = $2", db.Micros(tx.Now().Add(delay)), m.ID); err != nil {
		return fmt.Errorf("outbox: retry: %w", err)
	}
	return nil
}

// NextDue is when the next attempt is due, and false when nothing waits.
func NextDue(r db.Reader) (time.Time, bool, error) {
	var next sql.NullInt64
	if err := r.QueryRow("SELECT MIN(next_attempt_at_us) FROM outbox WHERE done_at_us IS NULL").Scan(&next); err != nil {
		return time.Time{}, false, fmt.Errorf("outbox: next: %w", err)
	}
	if !next.Valid {
		return time.Time{}, false, nil
	}
	return db.FromMicros(next.Int64), true, nil
}

// kept is how long the row of a message is there after its end: long enough to
// count what an address got, and to look after one that did not arrive.
const kept = 24 * time.Hour

// DeleteDone removes up to limit messages that ended a day ago.
func DeleteDone(tx *db.Tx, limit int) error {
	_, err := tx.Exec("DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE done_at_us <= $1 LIMIT $2)", db.Micros(tx.Now().Add(-kept)), limit)
	if err != nil {
		return fmt.Errorf("outbox: delete: %w", err)
	}
	return nil
}

// DeleteTo deletes what is or was to be sent to an address.
func DeleteTo(tx *db.Tx, recipient string) error {
	if _, err := tx.Exec("DELETE FROM outbox WHERE recipient = $1", recipient); err != nil {
		return fmt.Errorf("outbox: delete: %w", err)
	}
	return nil
}

// DeleteToNobody deletes what was written since a time to addresses that no user
// has any more.
func DeleteToNobody(tx *db.Tx, since time.Time) error {
	_, err := tx.Exec("DELETE FROM outbox WHERE created_at_us >= $1 AND NOT EXISTS (SELECT 1 FROM users WHERE users.email = outbox.recipient)", db.Micros(since))
	if err != nil {
		return fmt.Errorf("outbox: delete: %w", err)
	}
	return nil
}
