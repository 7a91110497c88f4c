package apikey

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// Change stores the name, scopes, networks and limit of a usable key as k has
// them, and returns it. It returns secerr.NotFound, and secerr.Conflict for a key
// that is not usable.
func Change(tx *db.Tx, k Key) (Key, error) {
	scopes, networks, err := k.lists()
	if err != nil {
		return Key{}, err
	}
	requests, window, burst := k.RateLimit.columns()
	changed, err := scan(tx.QueryRow(`UPDATE api_keys SET name = $1, scopes = $2, networks = $3,
			limit_requests = $4, limit_window_secs = $5, limit_burst = $6
		WHERE id = $7 AND revoked_at_us IS NULL AND (expires_at_us IS NULL OR expires_at_us > $8) RETURNING `+columns,
		k.Name, scopes, networks, requests, window, burst, k.ID, db.Micros(tx.Now())))
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, unusable(tx, k.ID)
	}
	if err != nil {
		return Key{}, fmt.Errorf("apikey: change: %w", err)
	}
	return changed, nil
}

// unusable says why a key could not be changed.
func unusable(r db.Reader, id string) error {
	if _, err := ByID(r, id); err != nil {
		return err
	}
	return secerr.New(secerr.Conflict, "This key was revoked or has expired. Create a new one.")
}

// Over lists keys that expired or were revoked before a time, limit at most.
func Over(r db.Reader, before time.Time, limit int) ([]Key, error) {
	// Each half has an index of its own.
	return list(r.Query("SELECT "+columns+` FROM api_keys WHERE id IN (
			SELECT id FROM api_keys WHERE revoked_at_us IS NOT NULL AND revoked_at_us <= $1
			UNION SELECT id FROM api_keys WHERE expires_at_us IS NOT NULL AND expires_at_us <= $1
			LIMIT $2)
		ORDER BY id`, db.Micros(before), limit))
}

// lists are the scopes and the networks as they are stored.
func (k Key) lists() (scopes, networks string, err error) {
	encodedScopes, err := json.Marshal(k.Scopes)
	if err != nil {
		return "", "", fmt.Errorf("apikey: encode the scopes: %w", err)
	}
	encodedNetworks, err := json.Marshal(append([]netip.Prefix{}, k.Networks...))
	if err != nil {
		return "", "", fmt.Errorf("apikey: encode the networks: %w", err)
	}
	return string(encodedScopes), string(encodedNetworks), nil
}

// columns are the limit as it is stored: null where there is none.
func (l *RateLimit) columns() (requests, window, burst any) {
	if l == nil {
		return nil, nil, nil
	}
	return l.MaxRequests, l.WindowSecs, l.Burst
}
