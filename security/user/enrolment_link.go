package user

import (
	"fmt"
	"io"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// IssueEnrolmentLink stores a one-time link that stands in for the second factor
// of a user, and returns its token. Older ones of theirs are dead. It has no purpose.
func IssueEnrolmentLink(tx *db.Tx, random io.Reader, l Link) (secret.Text, error) {
	if err := DropEnrolmentLinks(tx, l.UserID); err != nil {
		return secret.Text{}, err
	}
	token, err := secret.NewToken(random, "")
	if err != nil {
		return secret.Text{}, fmt.Errorf("user: %w", err)
	}
	_, err = tx.Exec(`INSERT INTO enrolment_links (token_hash, user_id, made_by, created_at_us, expires_at_us) VALUES ($1, $2, $3, $4, $5)`,
		token.Hash(), l.UserID, orNull(l.MadeBy.UserID), db.Micros(tx.Now()), db.Micros(tx.Now().Add(l.Lifetime)))
	if err != nil {
		return secret.Text{}, fmt.Errorf("user: issue an enrolment link: %w", err)
	}
	return token, nil
}

// DropEnrolmentLinks makes every enrolment link of a user that was not used dead.
func DropEnrolmentLinks(tx *db.Tx, userID string) error {
	if _, err := tx.Exec("DELETE FROM enrolment_links WHERE user_id = $1 AND used_at_us IS NULL", userID); err != nil {
		return fmt.Errorf("user: drop enrolment links: %w", err)
	}
	return nil
}

// ByEnrolmentLink returns the enabled user of an enrolment link that is good now,
// or secerr.NotFound. It is good only as long as a new second factor is demanded
// of them.
func ByEnrolmentLink(r db.Reader, token secret.Text, now time.Time) (User, error) {
	u, err := one(r.QueryRow("SELECT "+columns+` FROM users WHERE enabled = 1 AND reenroll = 1 AND id = (SELECT user_id FROM enrolment_links
		WHERE token_hash = $1 AND used_at_us IS NULL AND expires_at_us > $2)`, token.Hash(), db.Micros(now)))
	if secerr.Is(err, secerr.NotFound) {
		return User{}, ErrLink(err)
	}
	return u, err
}

// SpendEnrolmentLink uses an enrolment link up: of several callers at once one
// succeeds, the others get secerr.NotFound.
func SpendEnrolmentLink(tx *db.Tx, userID string, token secret.Text) error {
	err := update(tx, `UPDATE enrolment_links SET used_at_us = $1
		WHERE token_hash = $2 AND user_id = $3 AND used_at_us IS NULL AND expires_at_us > $1
			AND EXISTS (SELECT 1 FROM users WHERE id = $3 AND enabled = 1 AND reenroll = 1)`,
		db.Micros(tx.Now()), token.Hash(), userID)
	if secerr.Is(err, secerr.NotFound) {
		return ErrLink(err)
	}
	return err
}
