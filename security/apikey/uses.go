package apikey

import (
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
)

// Day is a day in UTC, as the number of days since 1970.
type Day int64

const secondsPerDay = 24 * 60 * 60

// DayOf is the day of a time since 1970.
func DayOf(t time.Time) Day { return Day(t.Unix() / secondsPerDay) }

// Time is the moment in which the day began.
func (d Day) Time() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

// Use is a permission that let a key in, and on which days it first and last did.
type Use struct {
	Permission  string
	First, Last Day
}

// UsedPermission notes that a permission let a key in on a day. Of a key that is
// not there, nothing is noted; to note a day again changes nothing.
func UsedPermission(tx *db.Tx, id, permission string, day Day) error {
	_, err := tx.Exec(`INSERT INTO api_key_uses (api_key_id, permission, first_used_on_us, last_used_on_us)
		SELECT $1, $2, $3, $3 WHERE EXISTS (SELECT 1 FROM api_keys WHERE id = $1)
		ON CONFLICT (api_key_id, permission) DO UPDATE SET last_used_on_us = excluded.last_used_on_us
			WHERE api_key_uses.last_used_on_us < excluded.last_used_on_us`, id, permission, db.Micros(day.Time()))
	if err != nil {
		return fmt.Errorf("apikey: note a permission: %w", err)
	}
	return nil
}

// Uses lists the permissions that ever let a key in, by their names.
func Uses(r db.Reader, id string) ([]Use, error) {
	rows, err := r.Query("SELECT permission, first_used_on_us, last_used_on_us FROM api_key_uses WHERE api_key_id = $1 ORDER BY permission", id)
	if err != nil {
		return nil, fmt.Errorf("apikey: uses: %w", err)
	}
	defer rows.Close()
	var uses []Use
	for rows.Next() {
		var u Use
		var first, last int64
		if err := rows.Scan(&u.Permission, &first, &last); err != nil {
			return nil, fmt.Errorf("apikey: uses: %w", err)
		}
		u.First, u.Last = DayOf(db.FromMicros(first)), DayOf(db.FromMicros(last))
		uses = append(uses, u)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("apikey: uses: %w", err)
	}
	return uses, nil
}
