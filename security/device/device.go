// Package device tells the browsers and programs that a user signed in from
// before from strangers, by a signed cookie that holds nothing but a random id.
package device

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secret"
)

// Lifetime is how long a device is known after its last sign-in.
const Lifetime = 180 * 24 * time.Hour

// maxPerUser bounds what one user's programs without cookies leave behind: the
// devices that were not seen for longest are forgotten.
const maxPerUser = 100

const (
	idLength   = 16 // 128 bits: never the same twice
	macPurpose = "device"
)

// MAC authenticates data for a purpose.
type MAC func(purpose string, data ...[]byte) []byte

// New draws the value of the cookie of a device that has none.
func New(random io.Reader, mac MAC) (secret.Text, error) {
	id := make([]byte, idLength, idLength+sha256.Size)
	if _, err := io.ReadFull(random, id); err != nil {
		return secret.Text{}, fmt.Errorf("device: draw an id: %w", err)
	}
	return secret.NewText(base64.RawURLEncoding.EncodeToString(append(id, mac(macPurpose, id)...))), nil
}

// Genuine reports whether a cookie was made here. Only the one text that New
// made of an id is: another that decodes to the same bytes is not.
func Genuine(cookie secret.Text, mac MAC) bool {
	text := cookie.Reveal()
	if len(text) != base64.RawURLEncoding.EncodedLen(idLength+sha256.Size) {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && len(raw) == idLength+sha256.Size && hmac.Equal(raw[idLength:], mac(macPurpose, raw[:idLength]))
}

// Device is one of a user's.
type Device struct {
	Name        string
	IPAddress   string
	FirstSeenAt time.Time
}

// Seen notes a sign-in of a user from a device, and reports whether it was
// known.
func Seen(tx *db.Tx, userID string, cookie secret.Text, d Device) (known bool, err error) {
	now, oldest := db.Micros(tx.Now()), db.Micros(tx.Now().Add(-Lifetime))
	result, err := tx.Exec("UPDATE devices SET last_seen_at_us = $1 WHERE user_id = $2 AND device_hash = $3 AND last_seen_at_us > $4",
		now, userID, cookie.Hash(), oldest)
	if err != nil {
		return false, fmt.Errorf("device: seen: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return true, err
	}
	_, err = tx.Exec(`INSERT INTO devices (user_id, device_hash, name, ip_address, first_seen_at_us, last_seen_at_us)
		VALUES ($1, $2, $3, $4, $5, $5)
		ON CONFLICT (user_id, device_hash) DO UPDATE SET name = excluded.name, ip_address = excluded.ip_address,
			first_seen_at_us = excluded.first_seen_at_us, last_seen_at_us = excluded.last_seen_at_us`,
		userID, cookie.Hash(), d.Name, d.IPAddress, now)
	if err != nil {
		return false, fmt.Errorf("device: remember: %w", err)
	}
	_, err = tx.Exec(`DELETE FROM devices WHERE user_id = $1 AND device_hash NOT IN
		(SELECT device_hash FROM devices WHERE user_id = $1 ORDER BY last_seen_at_us DESC LIMIT $2)`, userID, maxPerUser)
	if err != nil {
		return false, fmt.Errorf("device: forget older ones: %w", err)
	}
	return false, nil
}

// Known reports whether a user signed in from a device before.
func Known(r db.Reader, userID string, cookie secret.Text, now time.Time) (bool, error) {
	var known bool
	err := r.QueryRow("SELECT EXISTS (SELECT 1 FROM devices WHERE user_id = $1 AND device_hash = $2 AND last_seen_at_us > $3)",
		userID, cookie.Hash(), db.Micros(now.Add(-Lifetime))).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("device: known: %w", err)
	}
	return known, nil
}

// Since lists the devices of a user that were first seen after a time, but the
// very first of all and the one that asks, newest first and 10 at most.
func Since(r db.Reader, userID string, asking secret.Text, since time.Time) ([]Device, error) {
	rows, err := r.Query(`SELECT name, COALESCE(ip_address, ''), first_seen_at_us FROM devices
		WHERE user_id = $1 AND first_seen_at_us > $2 AND device_hash <> $3
			AND EXISTS (SELECT 1 FROM devices AS earlier WHERE earlier.user_id = $1 AND earlier.first_seen_at_us < devices.first_seen_at_us)
		ORDER BY first_seen_at_us DESC LIMIT 10`, userID, db.Micros(since), asking.Hash())
	if err != nil {
		return nil, fmt.Errorf("device: list: %w", err)
	}
	defer rows.Close()
	var list []Device
	for rows.Next() {
		var d Device
		var first int64
		if err := rows.Scan(&d.Name, &d.IPAddress, &first); err != nil {
			return nil, fmt.Errorf("device: list: %w", err)
		}
		d.FirstSeenAt = db.FromMicros(first)
		list = append(list, d)
	}
	return list, rows.Err()
}

// DeleteExpired forgets up to limit devices that are not known any more.
func DeleteExpired(tx *db.Tx, limit int) error {
	_, err := tx.Exec(`DELETE FROM devices WHERE (user_id, device_hash) IN
		(SELECT user_id, device_hash FROM devices WHERE last_seen_at_us <= $1 LIMIT $2)`, db.Micros(tx.Now().Add(-Lifetime)), limit)
	if err != nil {
		return fmt.Errorf("device: delete what has expired: %w", err)
	}
	return nil
}
