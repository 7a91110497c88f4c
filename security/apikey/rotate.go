package apikey

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// MaxOldSecrets is how many secrets of a key may work beside its own: one for
// each place that it is changed in late, and few enough to reckon with.
const MaxOldSecrets = 5

// Rotate gives a usable key a new secret and returns the key with it: the only
// time that it is known. The secret from before works for the overlap; those
// from before it end with it at the latest, so that without an overlap nothing
// but the new one works. It returns secerr.NotFound, and secerr.Conflict for a
// key that is not usable or has MaxOldSecrets at work.
func Rotate(tx *db.Tx, random io.Reader, id string, overlap time.Duration) (Key, secret.Text, error) {
	token, err := secret.NewToken(random, Prefix)
	if err != nil {
		return Key{}, secret.Text{}, fmt.Errorf("apikey: %w", err)
	}
	if err := retireSecrets(tx, id, overlap); err != nil {
		return Key{}, secret.Text{}, err
	}
	k, err := scan(tx.QueryRow(`UPDATE api_keys SET secret_hash = $1, key_prefix = $2
		WHERE id = $3 AND revoked_at_us IS NULL AND (expires_at_us IS NULL OR expires_at_us > $4) RETURNING `+columns,
		token.Hash(), token.Reveal()[:displayed], id, db.Micros(tx.Now())))
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, secret.Text{}, unusable(tx, id)
	}
	if err != nil {
		return Key{}, secret.Text{}, fmt.Errorf("apikey: rotate: %w", err)
	}
	return k, token, nil
}

// retireSecrets lets the secret of a key, and those from before it, work for the
// overlap and no longer.
func retireSecrets(tx *db.Tx, id string, overlap time.Duration) error {
	if overlap <= 0 {
		return forgetSecrets(tx, id)
	}
	ends, now := db.Micros(tx.Now().Add(overlap)), db.Micros(tx.Now())
	if _, err := tx.Exec("UPDATE api_key_old_secrets SET ends_at_us = $1 WHERE api_key_id = $2 AND ends_at_us > $1", ends, id); err != nil {
		return fmt.Errorf("apikey: shorten: %w", err)
	}
	kept, err := changed(tx.Exec(`INSERT INTO api_key_old_secrets (secret_hash, api_key_id, ends_at_us)
		SELECT secret_hash, id, $1 FROM api_keys WHERE id = $2
			AND (SELECT COUNT(*) FROM api_key_old_secrets WHERE api_key_id = $2 AND ends_at_us > $3) < $4`,
		ends, id, now, MaxOldSecrets))
	if err != nil || kept {
		return err
	}
	if _, err := ByID(tx, id); err != nil {
		return err
	}
	return secerr.New(secerr.Conflict, fmt.Sprintf("%d older secrets of this key still work. Rotate it without an overlap, which ends them, or wait until one has ended.", MaxOldSecrets))
}

// forgetSecrets ends every old secret of a key.
func forgetSecrets(tx *db.Tx, id string) error {
	if _, err := tx.Exec("DELETE FROM api_key_old_secrets WHERE api_key_id = $1", id); err != nil {
		return fmt.Errorf("apikey: end old secrets: %w", err)
	}
	return nil
}

// byOldSecret returns the key that once had the secret, or secerr.NotFound.
func byOldSecret(r db.Reader, hash []byte) (Key, error) {
	var id string
	var ends int64
	err := r.QueryRow("SELECT api_key_id, ends_at_us FROM api_key_old_secrets WHERE secret_hash = $1", hash).Scan(&id, &ends)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, errMissing()
	}
	if err != nil {
		return Key{}, fmt.Errorf("apikey: find an old secret: %w", err)
	}
	k, err := ByID(r, id)
	at := db.FromMicros(ends)
	k.secretEndsAt = &at
	return k, err
}

// DeleteEnded removes up to limit old secrets that do not work any more.
func DeleteEnded(tx *db.Tx, limit int) error {
	_, err := tx.Exec("DELETE FROM api_key_old_secrets WHERE secret_hash IN (SELECT secret_hash FROM api_key_old_secrets WHERE ends_at_us <= $1 LIMIT $2)",
		db.Micros(tx.Now()), limit)
	if err != nil {
		return fmt.Errorf("apikey: delete old secrets: %w", err)
	}
	return nil
}
