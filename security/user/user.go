// Package user stores the people who may sign in.
package user

import (
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// User is one account. Email is in its canonical form.
type User struct {
	ID           string
	Email        string
	Role         string
	Enabled      bool
	PasswordHash secret.Text // empty until the first password is set
	MFAEnabled   bool        // a verified second factor exists
	Reenroll     bool        // a new second factor must be enrolled before anything else
	CreatedAt    time.Time
	LastLoginAt  *time.Time
	// AcceptedNotice is the newest version of the notice that they agreed to, 0 for
	// none. It is here so that no request needs to ask for it.
	AcceptedNotice int64
}

// WithoutPassword is the user without the hash of the password, for those who
// need not know it.
func (u User) WithoutPassword() User {
	u.PasswordHash = secret.Text{}
	return u
}

const columns = `id, email, role, enabled, password_hash, created_at_us, last_login_at_us, reenroll,
	(SELECT COALESCE(MAX(version), 0) FROM consents WHERE user_id = users.id),
	EXISTS (SELECT 1 FROM mfa_factors WHERE user_id = users.id AND verified_at_us IS NOT NULL)`

// ByID returns the user, or secerr.NotFound.
func ByID(r db.Reader, id string) (User, error) {
	return one(r.QueryRow("SELECT "+columns+" FROM users WHERE id = $1", id))
}

// ByEmail returns the user with this canonical address, or secerr.NotFound.
func ByEmail(r db.Reader, email string) (User, error) {
	return one(r.QueryRow("SELECT "+columns+" FROM users WHERE email = $1", email))
}

// First returns the user who was created first, or secerr.NotFound.
func First(r db.Reader) (User, error) {
	return one(r.QueryRow("SELECT " + columns + " FROM users ORDER BY id LIMIT 1"))
}

// Filter narrows a list. Zero fields do not narrow.
type Filter struct {
	Email   string // canonical, whole
	Text    string // a part of the address, as typed
	Role    string
	Enabled *bool
	Only    []string // the ids of single users; nil: all
	After   string   // only ids behind this one
	Limit   int
}

// likeEscapes takes from what is typed the meaning that it has in a LIKE.
var likeEscapes = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`)

// List returns users in the order in which they were created, Limit at most,
// and the id to pass as After for the ones that follow ("" at the end).
func List(r db.Reader, f Filter) (users []User, next string, err error) {
	query, args := "SELECT "+columns+" FROM users WHERE id > $1", []any{f.After}
	if f.Email != "" {
		args = append(args, f.Email)
		query += " AND email = $" + strconv.Itoa(len(args))
	}
	if text := strings.ToLower(norm.NFKC.String(strings.TrimSpace(f.Text))); text != "" {
		args = append(args, "%"+likeEscapes.Replace(text)+"%")
		query += " AND email LIKE $" + strconv.Itoa(len(args)) + ` ESCAPE '\'`
	}
	if f.Role != "" {
		args = append(args, f.Role)
		query += " AND role = $" + strconv.Itoa(len(args))
	}
	if f.Enabled != nil {
		args = append(args, *f.Enabled)
		query += " AND enabled = $" + strconv.Itoa(len(args))
	}
	if f.Only != nil {
		query, args = db.Among(query+" AND id", f.Only, args)
	}
	query += " ORDER BY id"
	if f.Limit > 0 {
		args = append(args, f.Limit+1) // one more tells whether any follow
		query += " LIMIT $" + strconv.Itoa(len(args))
	}
	rows, err := r.Query(query, args...)
	if err != nil {
		return nil, "", fmt.Errorf("user: list: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		u, err := scan(rows)
		if err != nil {
			return nil, "", fmt.Errorf("user: list: %w", err)
		}
		users = append(users, u)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("user: list: %w", err)
	}
	if f.Limit > 0 && len(users) > f.Limit {
		users = users[:f.Limit]
		next = users[f.Limit-1].ID
	}
	return users, next, nil
}

// Any reports whether there is a user at all.
func Any(r db.Reader) (bool, error) {
	var any bool
	if err := r.QueryRow("SELECT EXISTS (SELECT 1 FROM users)").Scan(&any); err != nil {
		return false, fmt.Errorf("user: any: %w", err)
	}
	return any, nil
}

// Create inserts a user and gives it an id. An address that is taken, or looks like
// one that is, is secerr.Conflict. An empty password hash means that none is set yet.
func Create(tx *db.Tx, email, role string, hash secret.Text) (User, error) {
	id, err := tx.NewID()
	if err != nil {
		return User{}, err
	}
	u := User{ID: id, Email: email, Role: role, Enabled: true, PasswordHash: hash, CreatedAt: tx.Now()}
	var stored, changed any
	if !hash.Empty() {
		stored, changed = hash.Reveal(), db.Micros(tx.Now())
	}
	_, err = tx.Exec(`INSERT INTO users (id, email, email_skeleton, role, enabled, password_hash, password_changed_at_us, created_at_us)
		VALUES ($1, $2, $3, $4, 1, $5, $6, $7)`, u.ID, u.Email, skeleton(u.Email), u.Role, stored, changed, db.Micros(u.CreatedAt))
	if db.IsUnique(err) {
		if _, missing := ByEmail(tx, email); secerr.Is(missing, secerr.NotFound) {
			return User{}, secerr.Wrap(secerr.Conflict, "There is a user whose address looks like this one. Look closely whether it is meant to be another, and use one that nobody can mistake.", err)
		}
		return User{}, secerr.Wrap(secerr.Conflict, "There is a user with this e-mail address already.", err)
	}
	if err != nil {
		return User{}, fmt.Errorf("user: create: %w", err)
	}
	return u, nil
}

// SetPassword replaces the hash of an enabled user and keeps the one from
// before in the history, of which it keeps the newest history. When the account
// is not any more as u has it, it answers secerr.Conflict: what the new
// password was checked against has changed.
func SetPassword(tx *db.Tx, u User, hash secret.Text, history int64) error {
	if err := keepPassword(tx, u.ID, history); err != nil {
		return err
	}
	err := update(tx, `UPDATE users SET password_hash = $1, password_changed_at_us = $2
		WHERE id = $3 AND enabled = 1 AND COALESCE(password_hash, '') = $4`,
		hash.Reveal(), db.Micros(tx.Now()), u.ID, u.PasswordHash.Reveal())
	if secerr.Is(err, secerr.NotFound) {
		return secerr.Wrap(secerr.Conflict, "The account has changed in the meantime. Try again.", err)
	}
	return err
}

// anotherAdmin holds for a user whose loss leaves an admin who can sign in. It
// stands in the statement of the change, so that of two admins who take each
// other's place away at once one stays.
const anotherAdmin = ` AND (role <> 'admin' OR enabled = 0 OR EXISTS (SELECT 1 FROM users AS other
	WHERE other.role = 'admin' AND other.enabled = 1 AND other.password_hash IS NOT NULL AND other.id <> users.id))`

// Disable shuts a user out. The last admin who can sign in stays, and it is
// secerr.Conflict.
func Disable(tx *db.Tx, id string) error {
	return unlessLast(update(tx, "UPDATE users SET enabled = 0 WHERE id = $1"+anotherAdmin, id))
}

// Enable lets a user in again.
func Enable(tx *db.Tx, id string) error {
	return update(tx, "UPDATE users SET enabled = 1 WHERE id = $1", id)
}

// SetRole gives a user another role. The last admin who can sign in keeps
// theirs, and it is secerr.Conflict.
func SetRole(tx *db.Tx, id, role string) error {
	if role == "admin" {
		return update(tx, "UPDATE users SET role = $1 WHERE id = $2", role, id)
	}
	return unlessLast(update(tx, "UPDATE users SET role = $1 WHERE id = $2"+anotherAdmin, role, id))
}

// Delete removes a user of whom nothing is left in other tables. The last admin
// who can sign in stays, and it is secerr.Conflict.
func Delete(tx *db.Tx, id string) error {
	return unlessLast(update(tx, "DELETE FROM users WHERE id = $1"+anotherAdmin, id))
}

func unlessLast(err error) error {
	if secerr.Is(err, secerr.NotFound) {
		return secerr.Wrap(secerr.Conflict, "This is the last admin who can sign in. Make another one first.", err)
	}
	return err
}

// ForceReenrollment makes an enabled user enrol a new second factor before
// anything else; with an empty id everyone who has one. It returns their ids.
func ForceReenrollment(tx *db.Tx, id string) ([]string, error) {
	query, args := `UPDATE users SET reenroll = 1 WHERE enabled = 1
		AND EXISTS (SELECT 1 FROM mfa_factors WHERE user_id = users.id AND verified_at_us IS NOT NULL) RETURNING id`, []any{}
	if id != "" {
		query, args = "UPDATE users SET reenroll = 1 WHERE enabled = 1 AND id = $1 RETURNING id", []any{id}
	}
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, fmt.Errorf("user: force a reenrollment: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var found string
		if err := rows.Scan(&found); err != nil {
			return nil, fmt.Errorf("user: force a reenrollment: %w", err)
		}
		ids = append(ids, found)
	}
	return ids, rows.Err()
}

// Unlocked notes that the failed sign-ins of a user are forgotten.
func Unlocked(tx *db.Tx, id string) error {
	return update(tx, "UPDATE users SET unlocked_at_us = $1 WHERE id = $2", db.Micros(tx.Now()), id)
}

// UnlockedSince lists the addresses of those who were unlocked after a time.
func UnlockedSince(r db.Reader, since time.Time) ([]string, error) {
	rows, err := r.Query("SELECT email FROM users WHERE unlocked_at_us > $1", db.Micros(since))
	if err != nil {
		return nil, fmt.Errorf("user: list who was unlocked: %w", err)
	}
	defer rows.Close()
	var emails []string
	for rows.Next() {
		var email string
		if err := rows.Scan(&email); err != nil {
			return nil, fmt.Errorf("user: list who was unlocked: %w", err)
		}
		emails = append(emails, email)
	}
	return emails, rows.Err()
}

// Reenrolled notes that the new second factor is there.
func Reenrolled(tx *db.Tx, id string) error {
	return update(tx, "UPDATE users SET reenroll = 0 WHERE id = $1", id)
}

// Rehash stores another hash of the same password, made with the parameters of
// now, unless the password has changed in the meantime.
func Rehash(tx *db.Tx, u User, hash secret.Text) error {
	_, err := tx.Exec("UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3", hash.Reveal(), u.ID, u.PasswordHash.Reveal())
	if err != nil {
		return fmt.Errorf("user: rehash: %w", err)
	}
	return nil
}

// SignedIn notes the time of a sign-in, provided that the account is still
// enabled and its password still the one that was checked; otherwise it
// answers secerr.NotFound. The check and the note are one statement, since
// hashing takes place outside of the transaction.
func SignedIn(tx *db.Tx, u User) error {
	return update(tx, "UPDATE users SET last_login_at_us = $1 WHERE id = $2 AND enabled = 1 AND password_hash = $3",
		db.Micros(tx.Now()), u.ID, u.PasswordHash.Reveal())
}

func update(tx *db.Tx, query string, args ...any) error {
	result, err := tx.Exec(query, args...)
	if err != nil {
		return fmt.Errorf("user: update: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return secerr.Wrap(secerr.NotFound, "There is no such user.", err)
	}
	return nil
}

func one(row *sql.Row) (User, error) {
	u, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return User{}, secerr.New(secerr.NotFound, "There is no such user.")
	}
	if err != nil {
		return User{}, fmt.Errorf("user: %w", err)
	}
	return u, nil
}

func scan(row interface{ Scan(...any) error }) (User, error) {
	var (
		u         User
		hash      sql.NullString
		created   int64
		lastLogin sql.NullInt64
	)
	if err := row.Scan(&u.ID, &u.Email, &u.Role, &u.Enabled, &hash, &created, &lastLogin, &u.Reenroll, &u.AcceptedNotice, &u.MFAEnabled); err != nil {
		return User{}, err
	}
	u.PasswordHash = secret.NewText(hash.String)
	u.CreatedAt = db.FromMicros(created)
	u.LastLoginAt = db.NullMicros(lastLogin)
	return u, nil
}
