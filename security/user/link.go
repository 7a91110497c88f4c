package user

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

// The purposes of a link: it sets the first password of an account, or another
// in the place of one that was forgotten.
const (
	Invite = "invite"
	Reset  = "reset"
)

// Link is what a one-time link is made with.
type Link struct {
	UserID   string // whose password or second factor it is about
	Purpose  string // of one to a password
	Lifetime time.Duration
	// MadeBy is who made it and saw its token; empty for the host, and where it goes
	// to the mailbox alone.
	MadeBy Maker
}

// Maker is who made a link: a user, and the API key if it was made with one. The
// zero value is the host.
type Maker struct{ UserID, APIKeyID string }

func orNull(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// IssueLink stores a one-time link and returns its token. Older links of the
// user for the same purpose are dead: only the newest is good. An invitation is
// not taken away by whoever asks for a reset.
func IssueLink(tx *db.Tx, random io.Reader, l Link) (secret.Text, error) {
	if _, err := tx.Exec("DELETE FROM password_links WHERE user_id = $1 AND purpose = $2 AND used_at_us IS NULL", l.UserID, l.Purpose); err != nil {
		return secret.Text{}, fmt.Errorf("user: drop older links: %w", err)
	}
	token, err := secret.NewToken(random, "")
	if err != nil {
		return secret.Text{}, fmt.Errorf("user: %w", err)
	}
	_, err = tx.Exec(`INSERT INTO password_links (token_hash, user_id, purpose, made_by, made_by_key, created_at_us, expires_at_us) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		token.Hash(), l.UserID, l.Purpose, orNull(l.MadeBy.UserID), orNull(l.MadeBy.APIKeyID), db.Micros(tx.Now()), db.Micros(tx.Now().Add(l.Lifetime)))
	if err != nil {
		return secret.Text{}, fmt.Errorf("user: issue a link: %w", err)
	}
	return token, nil
}

// DropLinks makes every link of a user that was not used dead.
func DropLinks(tx *db.Tx, userID string) error {
	if _, err := tx.Exec("DELETE FROM password_links WHERE user_id = $1 AND used_at_us IS NULL", userID); err != nil {
		return fmt.Errorf("user: drop links: %w", err)
	}
	return nil
}

// ErrLink is secerr.NotFound for a link that is not good.
func ErrLink(cause error) *secerr.Error {
	return secerr.Wrap(secerr.NotFound, "This link is not good any more: it was used, replaced by a newer one, or has expired. Ask for a new one.", cause)
}

// LinkMaker is who made a link to a password, empty for the host, for one in a
// mail, and where there is none.
func LinkMaker(r db.Reader, token secret.Text) (Maker, error) {
	return maker(r.QueryRow("SELECT made_by, made_by_key FROM password_links WHERE token_hash = $1", token.Hash()))
}

// EnrolmentLinkMaker is LinkMaker for a link to a second factor.
func EnrolmentLinkMaker(r db.Reader, token secret.Text) (Maker, error) {
	return maker(r.QueryRow("SELECT made_by, NULL FROM enrolment_links WHERE token_hash = $1", token.Hash()))
}

func maker(row *sql.Row) (Maker, error) {
	var userID, keyID sql.NullString
	if err := row.Scan(&userID, &keyID); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Maker{}, fmt.Errorf("user: who made a link: %w", err)
	}
	return Maker{userID.String, keyID.String}, nil
}

// ByLink returns the enabled user of a link that is good now, or
// secerr.NotFound.
func ByLink(r db.Reader, token secret.Text, now time.Time) (User, error) {
	u, err := one(r.QueryRow("SELECT "+columns+` FROM users WHERE enabled = 1 AND id = (SELECT user_id FROM password_links
		WHERE token_hash = $1 AND used_at_us IS NULL AND expires_at_us > $2)`, token.Hash(), db.Micros(now)))
	if secerr.Is(err, secerr.NotFound) {
		return User{}, ErrLink(err)
	}
	return u, err
}

// SpendLink uses a link up and returns its purpose: of several callers at
// once one succeeds, the others get secerr.NotFound.
func SpendLink(tx *db.Tx, userID string, token secret.Text) (purpose string, err error) {
	err = tx.QueryRow(`UPDATE password_links SET used_at_us = $1
		WHERE token_hash = $2 AND user_id = $3 AND used_at_us IS NULL AND expires_at_us > $1 RETURNING purpose`,
		db.Micros(tx.Now()), token.Hash(), userID).Scan(&purpose)
	if errors.Is(err, sql.ErrNoRows) {
		return "", ErrLink(err)
	}
	if err != nil {
		return "", fmt.Errorf("user: spend a link: %w", err)
	}
	return purpose, nil
}
