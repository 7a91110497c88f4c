package session

import (
	"database/sql"
	"errors"
	"fmt"
	"io"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// Rotate exchanges the refresh token of a live API session for a new one, in
// one conditional statement: of several callers with one token, one gets a
// child (RFC 9700 §4.14.2). The end of the session stays where it was. A token
// that is not the current one of a live session is secerr.NotFound.
func Rotate(tx *db.Tx, random io.Reader, token secret.Text) (Session, secret.Text, error) {
	child, err := secret.NewToken(random, "")
	if err != nil {
		return Session{}, secret.Text{}, fmt.Errorf("session: %w", err)
	}
	now := db.Micros(tx.Now())
	rotated, err := one(tx.QueryRow(`UPDATE sessions SET secret_hash = $1, last_seen_at_us = $2
		WHERE secret_hash = $3 AND kind = 'api' AND stage = 'full' AND ended_at_us IS NULL AND expires_at_us > $2
		RETURNING `+columns, child.Hash(), now, token.Hash()))
	if err != nil {
		return Session{}, secret.Text{}, err
	}
	_, err = tx.Exec("INSERT INTO spent_refresh_tokens (token_hash, session_id, spent_at_us) VALUES ($1, $2, $3)",
		token.Hash(), rotated.ID, now)
	if err != nil {
		return Session{}, secret.Text{}, fmt.Errorf("session: spend a refresh token: %w", err)
	}
	return rotated, child, nil
}

// BySpentToken returns the session, ended or not, that a refresh token was
// exchanged in before, or secerr.NotFound.
func BySpentToken(r db.Reader, token secret.Text) (Session, error) {
	var id string
	err := r.QueryRow("SELECT session_id FROM spent_refresh_tokens WHERE token_hash = $1", token.Hash()).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, secerr.New(secerr.NotFound, "There is no such refresh token.")
	}
	if err != nil {
		return Session{}, fmt.Errorf("session: find a spent refresh token: %w", err)
	}
	return ByID(r, id)
}
