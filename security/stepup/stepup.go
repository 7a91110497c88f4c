// Package stepup stores the nonces that stand for a fresh proof of presence:
// each is bound to one action and to the session or key that asked for it, and
// is good once, for five minutes.
package stepup

import (
	"fmt"
	"io"
	"slices"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// Action names a critical operation.
type Action string

// The actions of the contract.
const (
	RemoveFactor      Action = "mfa.remove"
	RenewBackupCodes  Action = "mfa.backup_codes"
	DisableMFA        Action = "mfa.disable"
	AllScopesKey      Action = "api_key.all_scopes"
	RevokeAllTokens   Action = "admin.revoke_all_tokens"
	ForceReenrollment Action = "admin.force_mfa_reenroll"
	DeleteUser        Action = "users.delete"
	ChangeRole        Action = "users.role"
	WritePolicy       Action = "policies.write"
	// ResetLink is of the pages alone: a link to another's password.
	ResetLink Action = "users.reset_link"
)

var actions = []Action{RemoveFactor, RenewBackupCodes, DisableMFA, AllScopesKey, RevokeAllTokens,
	ForceReenrollment, DeleteUser, ChangeRole, WritePolicy, ResetLink}

// ParseAction refuses an action that does not exist, naming the field.
func ParseAction(s string) (Action, error) {
	if slices.Contains(actions, Action(s)) {
		return Action(s), nil
	}
	return "", secerr.Invalid("action", "There is no critical operation of this name.")
}

// Personal reports whether the operation is about one's own account, or shows
// a secret to a person: no API key does it.
func (a Action) Personal() bool {
	return slices.Contains([]Action{RemoveFactor, RenewBackupCodes, DisableMFA, AllScopesKey, ResetLink}, a)
}

// Lifetime is how long a nonce is good: long enough to read a confirmation,
// short enough that a walk away from the screen ends it.
const Lifetime = 5 * time.Minute

// Holder is whom a nonce is bound to: a session or an API key.
type Holder struct {
	UserID    string
	SessionID string
	APIKeyID  string
}

// Issue stores a nonce and returns it.
func Issue(tx *db.Tx, random io.Reader, h Holder, a Action) (secret.Text, error) {
	now := tx.Now()
	nonce, err := secret.NewToken(random, "")
	if err != nil {
		return secret.Text{}, fmt.Errorf("stepup: %w", err)
	}
	_, err = tx.Exec(`INSERT INTO nonces (nonce_hash, user_id, session_id, api_key_id, action, expires_at_us)
		VALUES ($1, $2, $3, $4, $5, $6)`,
		nonce.Hash(), h.UserID, orNull(h.SessionID), orNull(h.APIKeyID), string(a), db.Micros(now.Add(Lifetime)))
	if err != nil {
		return secret.Text{}, fmt.Errorf("stepup: issue: %w", err)
	}
	return nonce, nil
}

// Spend uses a nonce up in the transaction of the operation that it is for:
// when the operation fails, the nonce is good again. An absent nonce is
// secerr.NonceRequired; one that is unknown, used, expired, or for another
// action or holder is secerr.NonceInvalid.
func Spend(tx *db.Tx, h Holder, a Action, nonce secret.Text) error {
	if nonce.Empty() {
		return secerr.New(secerr.NonceRequired, "This operation needs a fresh confirmation: ask POST /api/v1/auth/nonce for the action "+
			string(a)+" and send the nonce as X-Patronus-Nonce.")
	}
	result, err := tx.Exec(`UPDATE nonces SET used_at_us = $1
		WHERE nonce_hash = $2 AND action = $3 AND user_id = $4 AND COALESCE(session_id, '') = $5
			AND COALESCE(api_key_id, '') = $6 AND used_at_us IS NULL AND expires_at_us > $1`,
		db.Micros(tx.Now()), nonce.Hash(), string(a), h.UserID, h.SessionID, h.APIKeyID)
	if err != nil {
		return fmt.Errorf("stepup: spend: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return secerr.Wrap(secerr.NonceInvalid, "The confirmation is not good for this operation, was used, or is older than five minutes. Ask for a new one.", err)
	}
	return nil
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
