package mfa

import (
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
)

// Failures is how many wrong codes were tried on an account since a time. It
// is kept with the account, so that neither a new sign-in nor a restart
// renews the budget.
type Failures struct {
	Count int64
	Since time.Time
}

// Wait is how long no code is accepted: until the window ends, once attempts
// wrong codes were tried in it. It is zero while the budget lasts.
func (f Failures) Wait(now time.Time, attempts int64, window time.Duration) time.Duration {
	end := f.Since.Add(window)
	if f.Count < attempts || !now.Before(end) {
		return 0
	}
	return end.Sub(now)
}

// Budget returns the failures of an account.
func Budget(r db.Reader, userID string) (Failures, error) {
	var count, since int64
	err := r.QueryRow("SELECT code_failures, code_failures_since_us FROM users WHERE id = $1", userID).Scan(&count, &since)
	if err != nil {
		return Failures{}, fmt.Errorf("mfa: read the budget of codes: %w", err)
	}
	return Failures{Count: count, Since: db.FromMicros(since)}, nil
}

// CountFailure adds a wrong code; the first one behind a window opens a new
// window.
func CountFailure(tx *db.Tx, userID string, window time.Duration) error {
	_, err := tx.Exec(`UPDATE users SET
			code_failures = CASE WHEN code_failures_since_us > $1 THEN code_failures + 1 ELSE 1 END,
			code_failures_since_us = CASE WHEN code_failures_since_us > $1 THEN code_failures_since_us ELSE $2 END
		WHERE id = $3`,
		db.Micros(tx.Now().Add(-window)), db.Micros(tx.Now()), userID)
	if err != nil {
		return fmt.Errorf("mfa: count a wrong code: %w", err)
	}
	return nil
}
