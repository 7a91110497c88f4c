package user

import (
	"fmt"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secret"
)

// PastPasswords returns the hashes of the newest limit passwords that a user
// had before the one of now.
func PastPasswords(r db.Reader, userID string, limit int64) ([]secret.Text, error) {
	rows, err := r.Query("SELECT password_hash FROM password_history WHERE user_id = $1 ORDER BY id DESC LIMIT $2", userID, limit)
	if err != nil {
		return nil, fmt.Errorf("user: past passwords: %w", err)
	}
	defer rows.Close()
	var past []secret.Text
	for rows.Next() {
		var hash string
		if err := rows.Scan(&hash); err != nil {
			return nil, fmt.Errorf("user: past passwords: %w", err)
		}
		past = append(past, secret.NewText(hash))
	}
	return past, rows.Err()
}

// keepPassword moves the password of now into the history, of which it keeps
// the newest keep.
func keepPassword(tx *db.Tx, userID string, keep int64) error {
	id, err := tx.NewID()
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO password_history (id, user_id, password_hash, replaced_at_us)
		SELECT $1, id, password_hash, $2 FROM users WHERE id = $3 AND password_hash IS NOT NULL`, id, db.Micros(tx.Now()), userID)
	if err != nil {
		return fmt.Errorf("user: keep the password: %w", err)
	}
	_, err = tx.Exec(`DELETE FROM password_history WHERE user_id = $1 AND id NOT IN
		(SELECT id FROM password_history WHERE user_id = $1 ORDER BY id DESC LIMIT $2)`, userID, keep)
	if err != nil {
		return fmt.Errorf("user: forget older passwords: %w", err)
	}
	return nil
}
