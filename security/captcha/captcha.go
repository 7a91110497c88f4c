// Package captcha makes those who fail to sign in pay for each further try: by
// a proof of work that a browser does unseen (work.go), or, without JavaScript,
// by six digits to read or to hear (digits.go). It is friction and never the
// only barrier: programs can do the work too, and read the digits.
//
// A challenge is kept nowhere. It carries what it is good for under a
// signature, and only its use is noted.
package captcha

import (
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// Lifetime is how long a challenge is good.
const Lifetime = 5 * time.Minute

// Login is the purpose of a challenge before a sign-in.
const Login = "login"

// The names of what is refused, as forms and the API have them.
const (
	FieldWork   = "captcha"
	FieldDigits = "captcha_digits"
)

const idLength = 16 // 128 bits: never the same twice

// MAC authenticates data for a purpose. No two lists of data may look alike to
// it.
type MAC func(purpose string, data ...[]byte) []byte

// Use is what a challenge is good for: an answer to one is good for no other
// purpose and no other subject, such as the account that is signed in to.
type Use struct{ Purpose, Subject string }

// Ticket is a genuine challenge that was answered, for Spend.
type Ticket struct {
	ID        []byte
	ExpiresAt time.Time
}

// Spend takes a ticket once and reports whether it was still good.
func Spend(tx *db.Tx, t Ticket) (bool, error) {
	// Behind its time the row that would tell may be deleted already.
	if !tx.Now().Before(t.ExpiresAt) {
		return false, nil
	}
	result, err := tx.Exec("INSERT INTO captcha_spent (id, expires_at_us) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
		t.ID, db.Micros(t.ExpiresAt))
	if err != nil {
		return false, fmt.Errorf("captcha: spend: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("captcha: spend: %w", err)
	}
	return n == 1, nil
}

// DeleteExpired forgets up to limit tickets that are refused by their age.
func DeleteExpired(tx *db.Tx, limit int) error {
	_, err := tx.Exec(`DELETE FROM captcha_spent WHERE id IN
		(SELECT id FROM captcha_spent WHERE expires_at_us <= $1 LIMIT $2)`, db.Micros(tx.Now()), limit)
	if err != nil {
		return fmt.Errorf("captcha: delete what has expired: %w", err)
	}
	return nil
}

func expired(field string) error {
	return secerr.Invalid(field, "The check has expired. Please do the new one.")
}

func refused(field, why string) error {
	e := secerr.Invalid(field, "The check was not passed. Please do the new one.")
	e.Err = fmt.Errorf("captcha: %s", why)
	return e
}
