package revocation

import (
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
)

// Generation is the number of changes so far to what servers keep in memory.
func Generation(r db.Reader) (int64, error) {
	var number int64
	if err := r.QueryRow("SELECT number FROM generation WHERE id = 1").Scan(&number); err != nil {
		return 0, fmt.Errorf("revocation: read the generation: %w", err)
	}
	return number, nil
}

// Advance begins a new generation, so that every server reads again what it
// keeps in memory, and returns its number.
func Advance(tx *db.Tx) (int64, error) {
	var number int64
	if err := tx.QueryRow("UPDATE generation SET number = number + 1 WHERE id = 1 RETURNING number").Scan(&number); err != nil {
		return 0, fmt.Errorf("revocation: advance the generation: %w", err)
	}
	return number, nil
}

// Add stores revocations in a generation of their own. What is issued in the
// same transaction afterwards is of that generation, and alive.
func Add(tx *db.Tx, list ...Revocation) error {
	if len(list) == 0 {
		return nil
	}
	generation, err := Advance(tx)
	if err != nil {
		return err
	}
	for _, r := range list {
		var except any
		if r.ExceptSession != "" {
			except = r.ExceptSession
		}
		_, err := tx.Exec(`INSERT INTO revocations (generation, kind, subject, except_session, reason, revoked_at_us, expires_at_us)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			generation, string(r.Kind), r.Subject, except, r.Reason, db.Micros(tx.Now()), db.Micros(r.ExpiresAt))
		if err != nil {
			return fmt.Errorf("revocation: add: %w", err)
		}
	}
	return nil
}

// Since lists the revocations behind a generation that count at now, in the
// order in which they were made.
func Since(r db.Reader, generation int64, now time.Time) ([]Revocation, error) {
	rows, err := r.Query(`SELECT generation, kind, subject, COALESCE(except_session, ''), reason, expires_at_us FROM revocations
		WHERE generation > $1 AND expires_at_us > $2 ORDER BY generation`, generation, db.Micros(now))
	if err != nil {
		return nil, fmt.Errorf("revocation: list: %w", err)
	}
	defer rows.Close()
	var list []Revocation
	for rows.Next() {
		var found Revocation
		var expires int64
		if err := rows.Scan(&found.Generation, &found.Kind, &found.Subject, &found.ExceptSession, &found.Reason, &expires); err != nil {
			return nil, fmt.Errorf("revocation: list: %w", err)
		}
		found.ExpiresAt = db.FromMicros(expires)
		list = append(list, found)
	}
	return list, rows.Err()
}

// DeleteExpired removes up to limit revocations of which nothing is left to
// revoke.
func DeleteExpired(tx *db.Tx, limit int) error {
	_, err := tx.Exec(`DELETE FROM revocations WHERE (generation, kind, subject) IN
		(SELECT generation, kind, subject FROM revocations WHERE expires_at_us <= $1 LIMIT $2)`, db.Micros(tx.Now()), limit)
	if err != nil {
		return fmt.Errorf("revocation: delete what has expired: %w", err)
	}
	return nil
}
