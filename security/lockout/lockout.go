// Package lockout slows down and ends the guessing of passwords: a wait that
// doubles, a demand for a CAPTCHA, and a lock that expires by itself. Strangers
// share one budget for an account; a device that signed in before has its own,
// so that nobody is locked out by a stranger.
package lockout

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
)

// Rules are the thresholds, in failures in a row.
type Rules struct {
	CaptchaAfter int64
	DelayAfter   int64
	LockAfter    int64
	LockFor      time.Duration
}

// maxDelay ends the doubling of the wait, which is in seconds.
const maxDelay = 60 * time.Second

// remembered is for how long failures are counted that nothing followed. The
// guesses of a day are one attack, whatever pauses it makes.
const remembered = 24 * time.Hour

// Subject is what is counted: an account, by a MAC of its address, and the hash
// of the cookie of a known device, empty for strangers.
type Subject struct {
	Account []byte
	Device  []byte
}

// State is the count of one subject. The zero value is that of no failure.
type State struct {
	Failures    int64
	LastFailure time.Time
	LockedUntil time.Time // zero when there is no lock
}

// current is the state without what is over.
//
// What lies in the future was written by a clock that has been set back since,
// and counts as of now.
func (s State) current(now time.Time) State {
	if s.LastFailure.After(now) {
		s.LastFailure = now
	}
	if s.Failures > 0 && !now.Before(s.LastFailure.Add(remembered)) || !s.LockedUntil.IsZero() && !now.Before(s.LockedUntil) {
		return State{}
	}
	return s
}

// Verdict is what is demanded of the next attempt. The zero value demands
// nothing.
type Verdict struct {
	Locked  bool          // refuse it for Wait
	Wait    time.Duration // refuse it for so long
	Captcha bool          // demand the answer to a challenge
}

// Judge decides on the next attempt: the lock, then the delay, then the
// CAPTCHA.
func (s State) Judge(now time.Time, r Rules) Verdict {
	s = s.current(now)
	if !s.LockedUntil.IsZero() {
		return Verdict{Locked: true, Wait: min(s.LockedUntil.Sub(now), r.LockFor)}
	}
	v := Verdict{Captcha: s.Failures >= r.CaptchaAfter}
	if s.Failures >= r.DelayAfter {
		v.Wait = max(0, s.LastFailure.Add(delay(s.Failures-r.DelayAfter)).Sub(now))
	}
	return v
}

// delay is 1, 2, 4 … 60 seconds.
func delay(n int64) time.Duration {
	if n >= 6 {
		return maxDelay
	}
	return min(time.Second<<n, maxDelay)
}

// Load returns the state of a subject.
func Load(r db.Reader, of Subject) (State, error) {
	var s State
	var last int64
	var locked sql.NullInt64
	err := r.QueryRow("SELECT failures, last_failure_at_us, locked_until_us FROM login_failures WHERE account = $1 AND device = $2",
		of.Account, notNull(of.Device)).Scan(&s.Failures, &last, &locked)
	if errors.Is(err, sql.ErrNoRows) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("lockout: load: %w", err)
	}
	s.LastFailure = db.FromMicros(last)
	if locked.Valid {
		s.LockedUntil = db.FromMicros(locked.Int64)
	}
	return s, nil
}

// Failed counts a wrong password. It locks when there were too many, and reports
// whether it did. Whoever calls it has judged the state in the same transaction.
func Failed(tx *db.Tx, of Subject, r Rules) (bool, error) {
	s, err := Load(tx, of)
	if err != nil {
		return false, err
	}
	s = s.current(tx.Now())
	s.Failures++
	var until any
	if s.Failures >= r.LockAfter {
		until = db.Micros(tx.Now().Add(r.LockFor))
	}
	_, err = tx.Exec(`INSERT INTO login_failures (account, device, failures, last_failure_at_us, locked_until_us)
		VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (account, device) DO UPDATE SET failures = excluded.failures, last_failure_at_us = excluded.last_failure_at_us,
			locked_until_us = excluded.locked_until_us`, of.Account, notNull(of.Device), s.Failures, db.Micros(tx.Now()), until)
	if err != nil {
		return false, fmt.Errorf("lockout: count: %w", err)
	}
	return until != nil, nil
}

// Forget forgets the failures of a subject after a right password.
func Forget(tx *db.Tx, of Subject) error {
	if _, err := tx.Exec("DELETE FROM login_failures WHERE account = $1 AND device = $2", of.Account, notNull(of.Device)); err != nil {
		return fmt.Errorf("lockout: forget: %w", err)
	}
	return nil
}

// Unlock forgets everything of an account, and reports whether there was a
// lock in force.
func Unlock(tx *db.Tx, account []byte) (bool, error) {
	var locked bool
	err := tx.QueryRow("SELECT EXISTS (SELECT 1 FROM login_failures WHERE account = $1 AND locked_until_us > $2)", account, db.Micros(tx.Now())).Scan(&locked)
	if err != nil {
		return false, fmt.Errorf("lockout: unlock: %w", err)
	}
	if _, err := tx.Exec("DELETE FROM login_failures WHERE account = $1", account); err != nil {
		return false, fmt.Errorf("lockout: unlock: %w", err)
	}
	return locked, nil
}

// DeleteExpired removes up to limit rows that count for nothing any more.
func DeleteExpired(tx *db.Tx, limit int) error {
	_, err := tx.Exec(`DELETE FROM login_failures WHERE (account, device) IN (SELECT account, device FROM login_failures
		WHERE last_failure_at_us <= $1 AND (locked_until_us IS NULL OR locked_until_us <= $2) LIMIT $3)`,
		db.Micros(tx.Now().Add(-remembered)), db.Micros(tx.Now()), limit)
	if err != nil {
		return fmt.Errorf("lockout: delete what is over: %w", err)
	}
	return nil
}

// notNull writes no device as an empty one: a key has no null.
func notNull(device []byte) []byte {
	if device == nil {
		return []byte{}
	}
	return device
}
