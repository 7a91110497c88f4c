// Package notice stores the text that people agree to before they go on, and who
// agreed to which version of it.
package notice

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// MaxLength is how long a text may be, in characters: some eight pages.
const MaxLength = 20_000

// Notice is one version.
type Notice struct {
	Version   int64 // grows with each change
	Text      string
	CreatedAt time.Time
}

// Check returns a text as it is kept: with plain ends of lines, and without empty
// lines around it. It refuses one that is too long or holds what nobody can see,
// naming the field "text". An empty one takes the notice away.
func Check(text string) (string, error) {
	text = strings.TrimSpace(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text))
	switch {
	case utf8.RuneCountInString(text) > MaxLength:
		return "", secerr.Invalid("text", "Use 20,000 characters at most.")
	case strings.ContainsFunc(text, hidden):
		return "", secerr.Invalid("text", "There are characters in it that cannot be seen, or that turn the direction of writing. Leave them out.")
	case text != "" && !strings.ContainsFunc(text, unicode.IsLetter):
		return "", secerr.Invalid("text", "There is no word in it. An empty text takes the notice away.")
	}
	return text, nil
}

// hidden is a character that cannot be seen, or one of those by which a text shows
// something other than it says (UTR #36 §3.1). Joiners are let through: some scripts
// cannot be written without, nor can many emoji.
func hidden(r rune) bool {
	switch r {
	case '\n', '\t', '\u200C', '\u200D', '\uFE0E', '\uFE0F':
		return false
	}
	return !unicode.IsGraphic(r) || r == '\u2800' ||
		unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Current returns the notice of now. Where there is none, or it was taken away, it
// is secerr.NotFound.
func Current(r db.Reader) (Notice, error) {
	var n Notice
	var at int64
	err := r.QueryRow("SELECT version, text, created_at_us FROM notices ORDER BY version DESC LIMIT 1").Scan(&n.Version, &n.Text, &at)
	if errors.Is(err, sql.ErrNoRows) || err == nil && n.Text == "" {
		return Notice{}, secerr.New(secerr.NotFound, "There is no notice.")
	}
	if err != nil {
		return Notice{}, fmt.Errorf("notice: current: %w", err)
	}
	n.CreatedAt = db.FromMicros(at)
	return n, nil
}

// CurrentVersion is the version of the notice of now, 0 where there is none.
func CurrentVersion(r db.Reader) (int64, error) {
	var version int64
	var empty bool
	err := r.QueryRow("SELECT version, text = '' FROM notices ORDER BY version DESC LIMIT 1").Scan(&version, &empty)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && empty:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("notice: version: %w", err)
	}
	return version, nil
}

// Set puts a text, as Check returns it, in the place of the notice of now, and
// returns it with its version.
func Set(tx *db.Tx, text, userID string) (Notice, error) {
	n := Notice{Text: text, CreatedAt: tx.Now()}
	err := tx.QueryRow(`INSERT INTO notices (version, text, created_by, created_at_us)
		SELECT COALESCE(MAX(version), 0) + 1, $1, $2, $3 FROM notices RETURNING version`, text, userID, db.Micros(n.CreatedAt)).Scan(&n.Version)
	if err != nil {
		return Notice{}, fmt.Errorf("notice: set: %w", err)
	}
	return n, nil
}

// Accept notes that a user agrees to a version, and reports whether they did not
// before. A version that is not the one of now is secerr.Conflict.
func Accept(tx *db.Tx, userID string, version int64) (bool, error) {
	result, err := tx.Exec(`INSERT INTO consents (user_id, version, accepted_at_us)
		SELECT $1, version, $2 FROM notices WHERE version = $3 AND text <> '' AND version = (SELECT MAX(version) FROM notices)
		ON CONFLICT (user_id, version) DO NOTHING`, userID, db.Micros(tx.Now()), version)
	if err != nil {
		return false, fmt.Errorf("notice: accept: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 1 {
		return n == 1, err
	}
	// Nothing was written. Why, only changes the answer.
	if current, err := CurrentVersion(tx); err != nil || current == version && current > 0 {
		return false, err
	}
	return false, secerr.New(secerr.Conflict, "There is another notice by now. Read that one first.")
}

// AcceptedAt is when a user agreed to a version, nil if they did not.
func AcceptedAt(r db.Reader, userID string, version int64) (*time.Time, error) {
	var at sql.NullInt64
	err := r.QueryRow("SELECT MAX(accepted_at_us) FROM consents WHERE user_id = $1 AND version = $2", userID, version).Scan(&at)
	if err != nil {
		return nil, fmt.Errorf("notice: accepted: %w", err)
	}
	return db.NullMicros(at), nil
}

// Count counts the users who may sign in, and those of them who agreed to a
// version.
func Count(r db.Reader, version int64) (accepted, people int, err error) {
	err = r.QueryRow(`SELECT COUNT(consents.user_id), COUNT(*) FROM users
		LEFT JOIN consents ON consents.user_id = users.id AND consents.version = $1 WHERE users.enabled = 1`, version).Scan(&accepted, &people)
	if err != nil {
		return 0, 0, fmt.Errorf("notice: count: %w", err)
	}
	return accepted, people, nil
}
