package apikey

import (
	"database/sql"
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
)

// Soon is how long before its end the expiry of a key is told.
const Soon = 7 * 24 * time.Hour

// ExpiresSoon reports whether a key that works now ends before long.
func (k Key) ExpiresSoon(now time.Time) bool {
	return k.Usable(now) && k.ExpiresAt != nil && k.ExpiresAt.Sub(now) <= Soon
}

// Expiring lists the keys of a user that expire soon, the soonest first.
func Expiring(r db.Reader, userID string, now time.Time, limit int) ([]Key, error) {
	return list(r.Query("SELECT "+columns+` FROM api_keys WHERE user_id = $1 AND revoked_at_us IS NULL
		AND expires_at_us > $2 AND expires_at_us <= $3 ORDER BY expires_at_us, id LIMIT $4`,
		userID, db.Micros(now), db.Micros(now.Add(Soon)), limit))
}

// Untold lists keys that expire soon and whose owners were not told of it: of
// each owner who is let in one, so that nobody waits behind another's
// many. A key that was made for no longer than Soon is left out: whoever made it
// has just said so.
func Untold(r db.Reader, now time.Time, limit int) ([]Key, error) {
	return list(r.Query("SELECT "+columns+` FROM api_keys WHERE id IN (
			SELECT MIN(k.id) FROM api_keys k JOIN users u ON u.id = k.user_id AND u.enabled = 1
			WHERE k.revoked_at_us IS NULL AND k.expiry_mailed_at_us IS NULL AND k.expires_at_us IS NOT NULL
				AND k.expires_at_us > $1 AND k.expires_at_us <= $2 AND k.expires_at_us - k.created_at_us > $3
			GROUP BY k.user_id)
		ORDER BY expires_at_us, id LIMIT $4`,
		db.Micros(now), db.Micros(now.Add(Soon)), Soon.Microseconds(), limit))
}

// Told notes that the owner of a key was told that it expires, and reports
// whether nobody had noted it before.
func Told(tx *db.Tx, id string) (bool, error) {
	return changed(tx.Exec("UPDATE api_keys SET expiry_mailed_at_us = $1 WHERE id = $2 AND expiry_mailed_at_us IS NULL", db.Micros(tx.Now()), id))
}

func list(rows *sql.Rows, err error) ([]Key, error) {
	if err != nil {
		return nil, fmt.Errorf("apikey: list: %w", err)
	}
	defer rows.Close()
	var keys []Key
	for rows.Next() {
		k, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("apikey: list: %w", err)
		}
		keys = append(keys, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("apikey: list: %w", err)
	}
	return keys, nil
}
