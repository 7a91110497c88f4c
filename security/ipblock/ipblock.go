// Package ipblock keeps the addresses and networks that are blocked: on disk,
// and in memory for the look-up of each request.
package ipblock

import (
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// Source says who decided on a block.
type Source string

// A person, or a rule for suspicious activity.
const (
	Manual    Source = "manual"
	Automatic Source = "automatic"
)

// How long a block may last. There is none without an end: an address changes
// hands.
const (
	MinDuration = time.Second
	MaxDuration = 365 * 24 * time.Hour
)

// MaxReason is the longest reason, in bytes.
const MaxReason = 500

// Block is a network that is shut out from its creation until it expires or is
// removed.
type Block struct {
	ID        string // set when it is stored
	Network   netip.Prefix
	Reason    string // may be empty
	Source    Source
	CreatedBy string    // a user's id; empty for a rule or a command of the host
	CreatedAt time.Time // set when it is stored
	ExpiresAt time.Time
	RemovedAt *time.Time // nil unless somebody ended it early
}

// InForce reports whether the block counts at a time. It ends with the
// microsecond in which it expires.
func (b Block) InForce(now time.Time) bool { return b.RemovedAt == nil && now.Before(b.ExpiresAt) }

const columns = "id, network, COALESCE(reason, ''), source, COALESCE(created_by, ''), created_at_us, expires_at_us, removed_at_us"

// Add blocks a network until b.ExpiresAt, and returns the block in force. A
// network has one: when there is one already, it keeps its id, and the later
// expiry wins, with the reason, source and author that came with it. A block that
// expires no later changes nothing. To shorten one, remove it first.
//
// It refuses with secerr.ValidationFailed a network that ParseNetwork would
// ("ip"), a time outside of MinDuration to MaxDuration from tx.Now
// ("duration") and a reason that is too long ("reason").
func Add(tx *db.Tx, b Block) (Block, error) {
	network, err := canonical(b.Network)
	if err != nil {
		return Block{}, err
	}
	now := tx.Now()
	if lasts := b.ExpiresAt.Sub(now); lasts < MinDuration || lasts > MaxDuration {
		return Block{}, secerr.Invalid("duration", "Block for one second (1s) to 365 days (365d).")
	}
	if len(b.Reason) > MaxReason {
		return Block{}, secerr.Invalid("reason", "Use 500 bytes at most.")
	}
	id, err := tx.NewID()
	if err != nil {
		return Block{}, err
	}
	// One that has expired makes room for its successor, and stays to be read.
	_, err = tx.Exec("UPDATE ip_blocks SET removed_at_us = expires_at_us WHERE network = $1 AND removed_at_us IS NULL AND expires_at_us <= $2",
		network.String(), db.Micros(now))
	if err != nil {
		return Block{}, fmt.Errorf("ipblock: make room: %w", err)
	}
	added, err := scan(tx.QueryRow(`INSERT INTO ip_blocks (id, network, reason, source, created_by, created_at_us, expires_at_us)
		VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (network) WHERE removed_at_us IS NULL DO UPDATE SET expires_at_us = excluded.expires_at_us,
			reason = excluded.reason, source = excluded.source, created_by = excluded.created_by
		WHERE excluded.expires_at_us > ip_blocks.expires_at_us
		RETURNING `+columns,
		id, network.String(), null(b.Reason), string(b.Source), null(b.CreatedBy), db.Micros(now), db.Micros(b.ExpiresAt)))
	if errors.Is(err, sql.ErrNoRows) { // the one that is there lasts as long
		added, err = scan(tx.QueryRow("SELECT "+columns+" FROM ip_blocks WHERE network = $1 AND removed_at_us IS NULL", network.String()))
	}
	if err != nil {
		return Block{}, fmt.Errorf("ipblock: add: %w", err)
	}
	return added, nil
}

// Remove ends a block, by a user or, when by is empty, by a command of the host.
// It answers secerr.NotFound for one that is not in force.
func Remove(tx *db.Tx, id, by string) (Block, error) {
	removed, err := scan(tx.QueryRow(`UPDATE ip_blocks SET removed_at_us = $1, removed_by = $2
		WHERE id = $3 AND removed_at_us IS NULL AND expires_at_us > $1 RETURNING `+columns, db.Micros(tx.Now()), null(by), id))
	if errors.Is(err, sql.ErrNoRows) {
		return Block{}, notFound()
	}
	if err != nil {
		return Block{}, fmt.Errorf("ipblock: remove: %w", err)
	}
	return removed, nil
}

// ByID returns a block, in force or not, or secerr.NotFound.
func ByID(r db.Reader, id string) (Block, error) {
	found, err := scan(r.QueryRow("SELECT "+columns+" FROM ip_blocks WHERE id = $1", id))
	if errors.Is(err, sql.ErrNoRows) {
		return Block{}, notFound()
	}
	if err != nil {
		return Block{}, fmt.Errorf("ipblock: read: %w", err)
	}
	return found, nil
}

func notFound() error { return secerr.New(secerr.NotFound, "There is no such block in force.") }

// InForce lists every block that counts at now, newest first: what a Table is
// filled with.
func InForce(r db.Reader, now time.Time) ([]Block, error) {
	return list(r, " ORDER BY id DESC", db.Micros(now))
}

// Page lists limit blocks that count at now, newest first, and the id to pass
// as before for the ones that follow (empty at the end and for the first page).
// only narrows it to single ones, by their ids; nil is all.
func Page(r db.Reader, now time.Time, only []string, before string, limit int) (blocks []Block, next string, err error) {
	rest, args := "", []any{db.Micros(now)}
	if only != nil {
		rest, args = db.Among(" AND id", only, args)
	}
	if before != "" {
		args = append(args, before)
		rest += " AND id < $" + strconv.Itoa(len(args))
	}
	args = append(args, limit+1) // one more tells whether another page follows
	blocks, err = list(r, rest+" ORDER BY id DESC LIMIT $"+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, "", err
	}
	if len(blocks) > limit {
		blocks = blocks[:limit]
		next = blocks[limit-1].ID
	}
	return blocks, next, nil
}

// list reads what is in force at its first argument.
func list(r db.Reader, rest string, args ...any) ([]Block, error) {
	rows, err := r.Query("SELECT "+columns+" FROM ip_blocks WHERE removed_at_us IS NULL AND expires_at_us > $1"+rest, args...)
	if err != nil {
		return nil, fmt.Errorf("ipblock: list: %w", err)
	}
	defer rows.Close()
	var blocks []Block
	for rows.Next() {
		b, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("ipblock: list: %w", err)
		}
		blocks = append(blocks, b)
	}
	return blocks, rows.Err()
}

// kept is how long the row of a block is there after its end, for who asks why
// somebody was shut out.
const kept = 30 * 24 * time.Hour

// DeleteExpired removes up to limit blocks that ended a month ago.
func DeleteExpired(tx *db.Tx, limit int) error {
	_, err := tx.Exec(`DELETE FROM ip_blocks WHERE id IN
		(SELECT id FROM ip_blocks WHERE expires_at_us <= $1 OR removed_at_us <= $1 LIMIT $2)`, db.Micros(tx.Now().Add(-kept)), limit)
	if err != nil {
		return fmt.Errorf("ipblock: delete what has expired: %w", err)
	}
	return nil
}

func scan(row interface{ Scan(...any) error }) (Block, error) {
	var (
		b                Block
		network          string
		created, expires int64
		removed          sql.NullInt64
	)
	if err := row.Scan(&b.ID, &network, &b.Reason, &b.Source, &b.CreatedBy, &created, &expires, &removed); err != nil {
		return Block{}, err
	}
	var err error
	if b.Network, err = netip.ParsePrefix(network); err != nil {
		return Block{}, fmt.Errorf("block %s: %w", b.ID, err)
	}
	b.CreatedAt, b.ExpiresAt, b.RemovedAt = db.FromMicros(created), db.FromMicros(expires), db.NullMicros(removed)
	return b, nil
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
