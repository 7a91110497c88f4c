// Package session stores the signed-in devices: browser cookies and the
// families of API tokens. The secret that a client holds is stored as its
// SHA-256; it carries 256 bits, so a plain hash is enough (ASVS 5.0 6.5.2).
package session

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// Kind says what holds the session.
type Kind string

// A browser holds a cookie, an API client tokens.
const (
	Browser Kind = "browser"
	API     Kind = "api"
)

// Stage says how far a sign-in has come.
type Stage string

// After the password a session with a second factor waits for it; only a Full
// one is an identity.
const (
	SecondFactor Stage = "second_factor"
	Full         Stage = "full"
)

// Authentication methods, RFC 8176 §2.
const (
	Password = "pwd"
	OTP      = "otp"
	Multi    = "mfa"
)

// Session is one row. The absolute end is fixed when it begins.
type Session struct {
	ID         string
	UserID     string
	Kind       Kind
	Stage      Stage
	AMR        []string
	IPAddress  string
	UserAgent  string
	CreatedAt  time.Time
	LastSeenAt time.Time
	ExpiresAt  time.Time
	EndedAt    *time.Time
	NewDevice  bool // the first from its device, and no page has said so yet
}

// Alive reports whether the session counts now. idle is how long it may stay
// unused; zero sets no such limit.
func (s Session) Alive(now time.Time, idle time.Duration) bool {
	return s.EndedAt == nil && now.Before(s.ExpiresAt) && (idle == 0 || now.Before(s.LastSeenAt.Add(idle)))
}

// TwoFactors reports whether a second factor was given.
func (s Session) TwoFactors() bool { return slices.Contains(s.AMR, Multi) }

// New is what a session begins with.
type New struct {
	UserID    string
	Kind      Kind
	Stage     Stage
	AMR       []string
	IPAddress string
	UserAgent string
	Lifetime  time.Duration
}

// Create begins a session and returns the secret for its client: the only
// time that it is known.
func Create(tx *db.Tx, random io.Reader, n New) (Session, secret.Text, error) {
	id, err := tx.NewID()
	if err != nil {
		return Session{}, secret.Text{}, err
	}
	token, err := secret.NewToken(random, "")
	if err != nil {
		return Session{}, secret.Text{}, fmt.Errorf("session: %w", err)
	}
	now := tx.Now()
	s := Session{ID: id, UserID: n.UserID, Kind: n.Kind, Stage: n.Stage, AMR: n.AMR, IPAddress: n.IPAddress,
		UserAgent: n.UserAgent, CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(n.Lifetime)}
	_, err = tx.Exec(`INSERT INTO sessions (id, user_id, kind, stage, secret_hash, amr, ip_address, user_agent,
			created_at_us, last_seen_at_us, expires_at_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		s.ID, s.UserID, string(s.Kind), string(s.Stage), token.Hash(), strings.Join(s.AMR, " "), s.IPAddress, s.UserAgent,
		db.Micros(now), db.Micros(now), db.Micros(s.ExpiresAt))
	if err != nil {
		return Session{}, secret.Text{}, fmt.Errorf("session: create: %w", err)
	}
	return s, token, nil
}

const columns = `id, user_id, kind, stage, amr, ip_address, user_agent, created_at_us, last_seen_at_us, expires_at_us, ended_at_us, new_device`

// BySecret returns the session whose client holds the secret, ended or not, or
// secerr.NotFound.
func BySecret(r db.Reader, kind Kind, token secret.Text) (Session, error) {
	return one(r.QueryRow("SELECT "+columns+" FROM sessions WHERE secret_hash = $1 AND kind = $2", token.Hash(), string(kind)))
}

// ByID returns the session, ended or not, or secerr.NotFound.
func ByID(r db.Reader, id string) (Session, error) {
	return one(r.QueryRow("SELECT "+columns+" FROM sessions WHERE id = $1", id))
}

// Touch notes that the session was seen.
func Touch(tx *db.Tx, id string) error {
	_, err := tx.Exec("UPDATE sessions SET last_seen_at_us = $1 WHERE id = $2 AND ended_at_us IS NULL", db.Micros(tx.Now()), id)
	if err != nil {
		return fmt.Errorf("session: touch: %w", err)
	}
	return nil
}

// Renew puts a new session in the place of a live one, with a new id and a new
// secret and everything else the same, also the absolute end, but no wrong
// proofs; the old one ends. One that does not live is secerr.NotFound.
func Renew(tx *db.Tx, random io.Reader, id string) (Session, secret.Text, error) {
	next, err := tx.NewID()
	if err != nil {
		return Session{}, secret.Text{}, err
	}
	token, err := secret.NewToken(random, "")
	if err != nil {
		return Session{}, secret.Text{}, fmt.Errorf("session: %w", err)
	}
	renewed, err := one(tx.QueryRow(`INSERT INTO sessions (id, user_id, kind, stage, secret_hash, amr, ip_address, user_agent,
			created_at_us, last_seen_at_us, expires_at_us, new_device)
		SELECT $1, user_id, kind, stage, $2, amr, ip_address, user_agent, created_at_us, $3, expires_at_us, new_device
		FROM sessions WHERE id = $4 AND ended_at_us IS NULL RETURNING `+columns, next, token.Hash(), db.Micros(tx.Now()), id))
	if err != nil {
		return Session{}, secret.Text{}, err
	}
	if _, err := End(tx, id, "renewed"); err != nil {
		return Session{}, secret.Text{}, err
	}
	return renewed, token, nil
}

// Alike reports whether a user had another session from the same address with
// the same program, begun after a time.
func Alike(r db.Reader, s Session, since time.Time) (bool, error) {
	var found bool
	err := r.QueryRow(`SELECT EXISTS (SELECT 1 FROM sessions WHERE user_id = $1 AND id <> $2 AND stage = 'full'
		AND ip_address = $3 AND user_agent = $4 AND created_at_us > $5)`, s.UserID, s.ID, s.IPAddress, s.UserAgent, db.Micros(since)).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("session: look for one alike: %w", err)
	}
	return found, nil
}

// SetNewDevice notes that the session is the first from its device, or that a
// page has said so.
func SetNewDevice(tx *db.Tx, id string, is bool) error {
	n := 0
	if is {
		n = 1
	}
	if _, err := tx.Exec("UPDATE sessions SET new_device = $1 WHERE id = $2", n, id); err != nil {
		return fmt.Errorf("session: note a new device: %w", err)
	}
	return nil
}

// CountWrongProof counts a wrong proof of presence and returns how many there
// were in a row.
func CountWrongProof(tx *db.Tx, id string) (int, error) {
	var n int
	err := tx.QueryRow("UPDATE sessions SET wrong_proofs = wrong_proofs + 1 WHERE id = $1 RETURNING wrong_proofs", id).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("session: count a wrong proof: %w", err)
	}
	return n, nil
}

// ForgetWrongProofs is called after a right proof.
func ForgetWrongProofs(tx *db.Tx, id string) error {
	if _, err := tx.Exec("UPDATE sessions SET wrong_proofs = 0 WHERE id = $1 AND wrong_proofs > 0", id); err != nil {
		return fmt.Errorf("session: forget wrong proofs: %w", err)
	}
	return nil
}

// End ends a live session and reports whether it did: of several callers at
// once one is told true.
func End(tx *db.Tx, id, reason string) (bool, error) {
	result, err := tx.Exec("UPDATE sessions SET ended_at_us = $1, end_reason = $2 WHERE id = $3 AND ended_at_us IS NULL",
		db.Micros(tx.Now()), reason, id)
	if err != nil {
		return false, fmt.Errorf("session: end: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// EndAll ends every live session of a user but one, and returns their ids. An
// empty except spares none.
func EndAll(tx *db.Tx, userID, except, reason string) ([]string, error) {
	return ended(tx.Query(`UPDATE sessions SET ended_at_us = $1, end_reason = $2
		WHERE user_id = $3 AND id <> $4 AND ended_at_us IS NULL AND expires_at_us > $1 RETURNING id`, db.Micros(tx.Now()), reason, userID, except))
}

// EndEveryone ends every live session of every user but one, and returns how
// many there were.
func EndEveryone(tx *db.Tx, except, reason string) (int64, error) {
	result, err := tx.Exec(`UPDATE sessions SET ended_at_us = $1, end_reason = $2
		WHERE id <> $3 AND ended_at_us IS NULL AND expires_at_us > $1`, db.Micros(tx.Now()), reason, except)
	if err != nil {
		return 0, fmt.Errorf("session: end everyone's: %w", err)
	}
	return result.RowsAffected()
}

// EndBeyond ends the sessions of a user that are more than limit, the longest
// unused first, and returns their ids.
func EndBeyond(tx *db.Tx, userID string, limit int64, reason string) ([]string, error) {
	return ended(tx.Query(`UPDATE sessions SET ended_at_us = $1, end_reason = $2
		WHERE id IN (SELECT id FROM (
			SELECT id, ROW_NUMBER() OVER (ORDER BY last_seen_at_us DESC, id DESC) AS place FROM sessions
			WHERE user_id = $3 AND stage = 'full' AND ended_at_us IS NULL AND expires_at_us > $1) AS live
			WHERE place > $4) RETURNING id`,
		db.Micros(tx.Now()), reason, userID, limit))
}

// Live lists the sessions of a user that have not ended or expired, the newest
// first. A browser session that idled too long is not among them. The policy's
// cap keeps the list short.
func Live(r db.Reader, userID string, now time.Time, idle time.Duration) ([]Session, error) {
	rows, err := r.Query("SELECT "+columns+` FROM sessions WHERE user_id = $1 AND stage = 'full' AND ended_at_us IS NULL
		AND expires_at_us > $2 AND (kind = 'api' OR last_seen_at_us > $3) ORDER BY id DESC`,
		userID, db.Micros(now), db.Micros(now.Add(-idle)))
	if err != nil {
		return nil, fmt.Errorf("session: list: %w", err)
	}
	defer rows.Close()
	var live []Session
	for rows.Next() {
		s, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("session: list: %w", err)
		}
		live = append(live, s)
	}
	return live, rows.Err()
}

func ended(rows *sql.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, fmt.Errorf("session: end: %w", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("session: end: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

func one(row *sql.Row) (Session, error) {
	s, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, secerr.New(secerr.NotFound, "There is no such session.")
	}
	if err != nil {
		return Session{}, fmt.Errorf("session: %w", err)
	}
	return s, nil
}

func scan(row interface{ Scan(...any) error }) (Session, error) {
	var (
		s                      Session
		amr                    string
		ip, agent              sql.NullString
		created, seen, expires int64
		endedAt                sql.NullInt64
	)
	err := row.Scan(&s.ID, &s.UserID, &s.Kind, &s.Stage, &amr, &ip, &agent, &created, &seen, &expires, &endedAt, &s.NewDevice)
	if err != nil {
		return Session{}, err
	}
	s.AMR = strings.Fields(amr)
	s.IPAddress, s.UserAgent = ip.String, agent.String
	s.CreatedAt, s.LastSeenAt, s.ExpiresAt = db.FromMicros(created), db.FromMicros(seen), db.FromMicros(expires)
	s.EndedAt = db.NullMicros(endedAt)
	return s, nil
}
