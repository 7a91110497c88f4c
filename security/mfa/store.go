package mfa

import (
	"database/sql"
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// Sealer encrypts what must be read again, bound to its place in the database.
type Sealer interface {
	Seal(plaintext []byte, table, column, rowID string) ([]byte, error)
	Open(ciphertext []byte, table, column, rowID string) ([]byte, error)
}

// The methods of a second factor. A factor that makes codes has the kind TOTP.
const (
	TOTP       = "totp"
	BackupCode = "backup_code"
)

// Factor is one second factor without its secret.
type Factor struct {
	ID         string
	UserID     string
	Kind       string
	Name       string
	CreatedAt  time.Time
	VerifiedAt *time.Time // nil while the enrollment is pending
	LastUsedAt *time.Time
}

// TOTPFactor is a factor with what a code is checked against.
type TOTPFactor struct {
	Factor
	Secret       secret.Text // base32
	LastUsedStep int64
}

// PendingLifetime is how long an enrollment waits for its first code: long
// enough to install an app.
const PendingLifetime = 15 * time.Minute

// Begin starts the enrollment of an authenticator app, in place of one that was
// begun and not verified before. Only the session that begins it goes on with
// it.
func Begin(tx *db.Tx, sealer Sealer, userID, sessionID, name string, totpSecret secret.Text) (Factor, error) {
	if _, err := tx.Exec("DELETE FROM mfa_factors WHERE user_id = $1 AND kind = 'totp' AND verified_at_us IS NULL", userID); err != nil {
		return Factor{}, fmt.Errorf("mfa: begin: %w", err)
	}
	id, err := tx.NewID()
	if err != nil {
		return Factor{}, err
	}
	sealed, err := sealer.Seal([]byte(totpSecret.Reveal()), "mfa_factors", "secret_ciphertext", id)
	if err != nil {
		return Factor{}, fmt.Errorf("mfa: encrypt the secret: %w", err)
	}
	_, err = tx.Exec(`INSERT INTO mfa_factors (id, user_id, kind, name, secret_ciphertext, created_at_us, begun_by_session)
		VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		id, userID, TOTP, name, sealed, db.Micros(tx.Now()), sessionID)
	if err != nil {
		return Factor{}, fmt.Errorf("mfa: begin: %w", err)
	}
	return Factor{ID: id, UserID: userID, Kind: TOTP, Name: name, CreatedAt: tx.Now()}, nil
}

const columns = "id, user_id, kind, name, secret_ciphertext, last_used_step, created_at_us, verified_at_us, last_used_at_us"

// Pending returns the enrollment that a session began and that waits for its
// first code, or secerr.NotFound.
func Pending(r db.Reader, sealer Sealer, userID, sessionID string, now time.Time) (TOTPFactor, error) {
	factors, err := load(r, sealer, "SELECT "+columns+` FROM mfa_factors WHERE user_id = $1 AND kind = 'totp'
		AND verified_at_us IS NULL AND begun_by_session = $2 AND created_at_us > $3`, userID, sessionID, db.Micros(now.Add(-PendingLifetime)))
	if err != nil {
		return TOTPFactor{}, err
	}
	if len(factors) == 0 {
		return TOTPFactor{}, secerr.New(secerr.NotFound, "No enrollment is under way. Start it again.")
	}
	return factors[0], nil
}

// Verified returns the factors of a user that count, oldest first.
func Verified(r db.Reader, sealer Sealer, userID string) ([]TOTPFactor, error) {
	return load(r, sealer, "SELECT "+columns+" FROM mfa_factors WHERE user_id = $1 AND kind = 'totp' AND verified_at_us IS NOT NULL ORDER BY id", userID)
}

// Accept notes that the code of a step was used, and verifies a pending factor
// by it. It reports false when that step or a later one was used before: of
// several callers with one code, one is told true (RFC 6238 §5.2).
func Accept(tx *db.Tx, factorID string, step int64) (bool, error) {
	result, err := tx.Exec(`UPDATE mfa_factors SET last_used_step = $1, last_used_at_us = $2, verified_at_us = COALESCE(verified_at_us, $2)
		WHERE id = $3 AND last_used_step < $1`, step, db.Micros(tx.Now()), factorID)
	if err != nil {
		return false, fmt.Errorf("mfa: accept a code: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// RemoveOthers removes the factors of a user but one. With an empty id it
// removes them all.
func RemoveOthers(tx *db.Tx, userID, id string) error {
	if _, err := tx.Exec("DELETE FROM mfa_factors WHERE user_id = $1 AND id <> $2", userID, id); err != nil {
		return fmt.Errorf("mfa: remove factors: %w", err)
	}
	return nil
}

// Remove removes a verified factor and returns how many are left. One that is
// not there, or another's, is secerr.NotFound.
func Remove(tx *db.Tx, userID, id string) (left int, err error) {
	result, err := tx.Exec("DELETE FROM mfa_factors WHERE user_id = $1 AND id = $2 AND verified_at_us IS NOT NULL", userID, id)
	if err != nil {
		return 0, fmt.Errorf("mfa: remove: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return 0, secerr.Wrap(secerr.NotFound, "You have no such second factor.", err)
	}
	err = tx.QueryRow("SELECT COUNT(*) FROM mfa_factors WHERE user_id = $1 AND verified_at_us IS NOT NULL", userID).Scan(&left)
	if err != nil {
		return 0, fmt.Errorf("mfa: count what is left: %w", err)
	}
	return left, nil
}

// ReplaceBackupCodes stores a new set, or none; the old one is dead. A code carries 120
// bits, so its SHA-256 is enough (ASVS 5.0 6.5.2).
func ReplaceBackupCodes(tx *db.Tx, userID string, codes []secret.Text) error {
	if _, err := tx.Exec("DELETE FROM backup_codes WHERE user_id = $1", userID); err != nil {
		return fmt.Errorf("mfa: replace backup codes: %w", err)
	}
	for _, code := range codes {
		if _, err := tx.Exec("INSERT INTO backup_codes (user_id, code_hash, created_at_us) VALUES ($1, $2, $3)",
			userID, code.Hash(), db.Micros(tx.Now())); err != nil {
			return fmt.Errorf("mfa: replace backup codes: %w", err)
		}
	}
	return nil
}

// SpendTOTP checks a code against the user's authenticator apps and uses its
// step up. It reports whether the code was good: of several callers with one
// code, one is told true.
func SpendTOTP(tx *db.Tx, sealer Sealer, userID, code string) (bool, error) {
	factors, err := Verified(tx, sealer, userID)
	if err != nil {
		return false, err
	}
	for _, f := range factors {
		step, ok, err := Match(f.Secret, code, tx.Now(), f.LastUsedStep)
		if err != nil {
			return false, err
		}
		if ok {
			return Accept(tx, f.ID, step)
		}
	}
	return false, nil
}

// SpendBackupCode uses a code up, however it was typed, and reports whether it
// was good: of several callers with one code, one is told true.
func SpendBackupCode(tx *db.Tx, userID, code string) (bool, error) {
	normalized, ok := NormalizeBackupCode(code)
	if !ok {
		return false, nil
	}
	result, err := tx.Exec("UPDATE backup_codes SET used_at_us = $1 WHERE user_id = $2 AND code_hash = $3 AND used_at_us IS NULL",
		db.Micros(tx.Now()), userID, normalized.Hash())
	if err != nil {
		return false, fmt.Errorf("mfa: spend a backup code: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// BackupCodesLeft counts the codes of a user that were not used.
func BackupCodesLeft(r db.Reader, userID string) (int, error) {
	var n int
	if err := r.QueryRow("SELECT COUNT(*) FROM backup_codes WHERE user_id = $1 AND used_at_us IS NULL", userID).Scan(&n); err != nil {
		return 0, fmt.Errorf("mfa: count backup codes: %w", err)
	}
	return n, nil
}

func load(r db.Reader, sealer Sealer, query string, args ...any) ([]TOTPFactor, error) {
	rows, err := r.Query(query, args...)
	if err != nil {
		return nil, fmt.Errorf("mfa: load: %w", err)
	}
	defer rows.Close()
	var factors []TOTPFactor
	for rows.Next() {
		var (
			f              TOTPFactor
			sealed         []byte
			created        int64
			verified, used sql.NullInt64
		)
		if err := rows.Scan(&f.ID, &f.UserID, &f.Kind, &f.Name, &sealed, &f.LastUsedStep, &created, &verified, &used); err != nil {
			return nil, fmt.Errorf("mfa: load: %w", err)
		}
		plain, err := sealer.Open(sealed, "mfa_factors", "secret_ciphertext", f.ID)
		if err != nil {
			return nil, fmt.Errorf("mfa: decrypt the secret of factor %s: %w", f.ID, err)
		}
		f.Secret = secret.NewText(string(plain))
		f.CreatedAt, f.VerifiedAt, f.LastUsedAt = db.FromMicros(created), db.NullMicros(verified), db.NullMicros(used)
		factors = append(factors, f)
	}
	return factors, rows.Err()
}
