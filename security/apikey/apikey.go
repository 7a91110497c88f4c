// Package apikey stores the keys that scripts call with. A key is "pk_" and 64
// lower-case hex digits (256 bits); it is found by the SHA-256 of the whole,
// and its prefix is for people only.
package apikey

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// Prefix begins every key, so that scanners for leaked secrets find it.
const Prefix = "pk_"

// displayed is how much of a key is kept readable: the prefix and eight more
// characters, 32 of its 256 bits.
const displayed = len(Prefix) + 8

// MaxPerUser is the most keys that one user may have in the list.
const MaxPerUser = 10_000

// Key is one API key without its secret.
type Key struct {
	ID         string
	UserID     string
	Name       string
	KeyPrefix  string
	Scopes     []string
	Networks   []netip.Prefix // empty: usable from anywhere
	RateLimit  *RateLimit     // its own, beside that of the policy; nil: none
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	LastUsedAt *time.Time
	LastUsedIP string
	RevokedAt  *time.Time

	secretHash   []byte     // of the secret that it was found by, if it was
	secretEndsAt *time.Time // nil for the key's own secret; else the end of an old one
}

// RateLimit is a limit of a key's own: a bucket of MaxRequests + Burst, refilled at
// MaxRequests / WindowSecs.
type RateLimit struct {
	MaxRequests int64 `json:"max_requests"`
	WindowSecs  int64 `json:"window_secs"`
	Burst       int64 `json:"burst"`
}

// Usable reports whether the key counts now, by the secret that it was found
// by. It stops at its expiry, and an old secret at its end, to the microsecond.
func (k Key) Usable(now time.Time) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || now.Before(*k.ExpiresAt)) &&
		(k.secretEndsAt == nil || now.Before(*k.secretEndsAt))
}

// From reports whether the key may be used from an address.
func (k Key) From(ip netip.Addr) bool {
	if len(k.Networks) == 0 {
		return true
	}
	for _, n := range k.Networks {
		if n.Contains(ip) {
			return true
		}
	}
	return false
}

// Looks reports whether a bearer has the form of a key. It says nothing of
// whether there is such a key.
func Looks(bearer string) bool {
	if len(bearer) != len(Prefix)+2*secret.TokenBytes || bearer[:len(Prefix)] != Prefix {
		return false
	}
	for _, c := range []byte(bearer[len(Prefix):]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// New is what a key is made with.
type New struct {
	UserID    string
	Name      string
	Scopes    []string
	Networks  []netip.Prefix
	RateLimit *RateLimit
	ExpiresAt *time.Time
}

// Create stores a key and returns its secret: the only time that it is known.
// The 10,001st of a user is secerr.Conflict.
func Create(tx *db.Tx, random io.Reader, n New) (Key, secret.Text, error) {
	id, err := tx.NewID()
	if err != nil {
		return Key{}, secret.Text{}, err
	}
	token, err := secret.NewToken(random, Prefix)
	if err != nil {
		return Key{}, secret.Text{}, fmt.Errorf("apikey: %w", err)
	}
	k := Key{ID: id, UserID: n.UserID, Name: n.Name, KeyPrefix: token.Reveal()[:displayed], Scopes: n.Scopes,
		Networks: n.Networks, RateLimit: n.RateLimit, CreatedAt: tx.Now(), ExpiresAt: n.ExpiresAt}
	scopes, networks, err := k.lists()
	if err != nil {
		return Key{}, secret.Text{}, err
	}
	requests, window, burst := k.RateLimit.columns()
	result, err := tx.Exec(`INSERT INTO api_keys (id, user_id, name, key_prefix, secret_hash, scopes, networks, created_at_us, expires_at_us,
			limit_requests, limit_window_secs, limit_burst)
		SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12
		WHERE (SELECT COUNT(*) FROM api_keys WHERE user_id = $2) < $13`,
		k.ID, k.UserID, k.Name, k.KeyPrefix, token.Hash(), scopes, networks,
		db.Micros(k.CreatedAt), db.MicrosOrNull(k.ExpiresAt), requests, window, burst, MaxPerUser)
	if err != nil {
		return Key{}, secret.Text{}, fmt.Errorf("apikey: create: %w", err)
	}
	if inserted, err := result.RowsAffected(); err != nil || inserted != 1 {
		return Key{}, secret.Text{}, secerr.Wrap(secerr.Conflict, "You have 10,000 keys, the most there may be. Delete some first.", err)
	}
	return k, token, nil
}

const columns = `id, user_id, name, key_prefix, scopes, networks, created_at_us, expires_at_us, last_used_at_us, last_used_ip, revoked_at_us,
	limit_requests, limit_window_secs, limit_burst`

// BySecret returns the key that has this secret, or had it before a rotation,
// usable or not, or secerr.NotFound.
func BySecret(r db.Reader, token secret.Text) (Key, error) { return byHash(r, token.Hash()) }

// Again returns the key of now by the secret that k was found by, or
// secerr.NotFound when that is none of its secrets any more.
func Again(r db.Reader, k Key) (Key, error) { return byHash(r, k.secretHash) }

func byHash(r db.Reader, hash []byte) (Key, error) {
	k, err := one(r.QueryRow("SELECT "+columns+" FROM api_keys WHERE secret_hash = $1", hash))
	if secerr.Is(err, secerr.NotFound) {
		k, err = byOldSecret(r, hash)
	}
	k.secretHash = hash
	return k, err
}

// ByID returns the key, usable or not, or secerr.NotFound.
func ByID(r db.Reader, id string) (Key, error) {
	return one(r.QueryRow("SELECT "+columns+" FROM api_keys WHERE id = $1", id))
}

// Filter says which keys of a user are listed.
type Filter struct {
	UserID string
	Only   []string // the ids of single keys; nil: all of the user's
	Before string   // only ids before this one; empty: from the newest
	Limit  int
}

// List returns the keys of a user, newest first, Limit at most, and the id to
// pass as Before for the ones that follow ("" at the end).
func List(r db.Reader, f Filter) (keys []Key, next string, err error) {
	if f.Before == "" {
		f.Before = "g" // behind every UUID, which begins with a hex digit
	}
	query, args := "SELECT "+columns+" FROM api_keys WHERE user_id = $1 AND id < $2", []any{f.UserID, f.Before}
	if f.Only != nil {
		query, args = db.Among(query+" AND id", f.Only, args)
	}
	args = append(args, f.Limit+1)
	keys, err = list(r.Query(query+" ORDER BY id DESC LIMIT $"+strconv.Itoa(len(args)), args...))
	if err != nil {
		return nil, "", err
	}
	if len(keys) > f.Limit {
		keys = keys[:f.Limit]
		next = keys[f.Limit-1].ID
	}
	return keys, next, nil
}

// CountUsable counts the keys of a user that work now.
func CountUsable(r db.Reader, userID string, now time.Time) (int, error) {
	var n int
	err := r.QueryRow(`SELECT COUNT(*) FROM api_keys WHERE user_id = $1 AND revoked_at_us IS NULL
		AND (expires_at_us IS NULL OR expires_at_us > $2)`, userID, db.Micros(now)).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("apikey: count: %w", err)
	}
	return n, nil
}

// Revoke ends a key and reports whether it did: of several callers at once one
// is told true.
func Revoke(tx *db.Tx, id string) (bool, error) {
	if err := forgetSecrets(tx, id); err != nil {
		return false, err
	}
	return changed(tx.Exec("UPDATE api_keys SET revoked_at_us = $1 WHERE id = $2 AND revoked_at_us IS NULL", db.Micros(tx.Now()), id))
}

// Delete removes a key from the list and reports whether it was there.
func Delete(tx *db.Tx, id string) (bool, error) {
	return changed(tx.Exec("DELETE FROM api_keys WHERE id = $1", id))
}

// Used notes the time and the address of a use.
func Used(tx *db.Tx, id, ip string) error {
	_, err := changed(tx.Exec("UPDATE api_keys SET last_used_at_us = $1, last_used_ip = $2 WHERE id = $3", db.Micros(tx.Now()), ip, id))
	return err
}

func changed(result sql.Result, err error) (bool, error) {
	if err != nil {
		return false, fmt.Errorf("apikey: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

func one(row *sql.Row) (Key, error) {
	k, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return Key{}, errMissing()
	}
	if err != nil {
		return Key{}, fmt.Errorf("apikey: %w", err)
	}
	return k, nil
}

func errMissing() *secerr.Error { return secerr.New(secerr.NotFound, "There is no such API key.") }

func scan(row interface{ Scan(...any) error }) (Key, error) {
	var (
		k                       Key
		scopes, networks        string
		created                 int64
		expires, used, revoked  sql.NullInt64
		usedIP                  sql.NullString
		requests, window, burst sql.NullInt64
	)
	err := row.Scan(&k.ID, &k.UserID, &k.Name, &k.KeyPrefix, &scopes, &networks, &created, &expires, &used, &usedIP, &revoked,
		&requests, &window, &burst)
	if err != nil {
		return Key{}, err
	}
	if err := json.Unmarshal([]byte(scopes), &k.Scopes); err != nil {
		return Key{}, fmt.Errorf("decode the scopes of key %s: %w", k.ID, err)
	}
	if err := json.Unmarshal([]byte(networks), &k.Networks); err != nil {
		return Key{}, fmt.Errorf("decode the networks of key %s: %w", k.ID, err)
	}
	k.CreatedAt = db.FromMicros(created)
	k.ExpiresAt, k.LastUsedAt, k.RevokedAt = db.NullMicros(expires), db.NullMicros(used), db.NullMicros(revoked)
	k.LastUsedIP = usedIP.String
	if requests.Valid {
		k.RateLimit = &RateLimit{MaxRequests: requests.Int64, WindowSecs: window.Int64, Burst: burst.Int64}
	}
	return k, nil
}
