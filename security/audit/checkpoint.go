package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// Checkpoint is what a signed head says (C2SP tlog-checkpoint): the log, how many
// events it has, and the hash over them.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   merkle.Hash
}

// signCheckpoint writes and signs a head: Ed25519 in a C2SP signed note.
func signCheckpoint(signer note.Signer, size int64, root merkle.Hash) (string, error) {
	text := signer.Name() + "\n" + strconv.FormatInt(size, 10) + "\n" + base64.StdEncoding.EncodeToString(root[:]) + "\n"
	signed, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return "", fmt.Errorf("audit: sign the head: %w", err)
	}
	return string(signed), nil
}

// maxCheckpoint bounds what is parsed, in bytes; a head with one signature takes
// some 250.
const maxCheckpoint = 64 << 10

var errNoCheckpoint = errors.New("this is no checkpoint: it has the name of a log, a size and a hash, a line each, and signatures after an empty line")

// parseCheckpoint reads a head without a look at its signatures.
func parseCheckpoint(signed string) (Checkpoint, error) {
	text, _, found := strings.Cut(signed, "\n\n")
	lines := strings.SplitN(text, "\n", 4) // lines of an extension may follow
	if !found || len(signed) > maxCheckpoint || len(lines) < 3 || lines[0] == "" {
		return Checkpoint{}, errNoCheckpoint
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, errNoCheckpoint
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(merkle.Hash{}) {
		return Checkpoint{}, errNoCheckpoint
	}
	return Checkpoint{Origin: lines[0], Size: size, Root: merkle.Hash(root)}, nil
}

// openCheckpoint reads a head that the verifier's key has signed for the log of its
// name.
func openCheckpoint(signed string, verifier note.Verifier) (Checkpoint, error) {
	c, err := parseCheckpoint(signed)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != verifier.Name() {
		return Checkpoint{}, fmt.Errorf("this checkpoint is of another log, %q, and not of %q", c.Origin, verifier.Name())
	}
	if _, err := note.Open([]byte(signed), note.VerifierList(verifier)); err != nil {
		return Checkpoint{}, fmt.Errorf("this checkpoint is not signed with the key of this log: %w", err)
	}
	return c, nil
}

// signedHead is the newest head, if the verifier's key has signed it, or a
// BrokenError.
func signedHead(r db.Reader, verifier note.Verifier) (Checkpoint, error) {
	head, err := Head(r)
	if err != nil {
		return Checkpoint{}, err
	}
	c, err := openCheckpoint(head, verifier)
	if err != nil {
		return Checkpoint{}, broken("its head is not signed with the key in keys.json (%v)", err)
	}
	return c, nil
}

// SignedSize is how many events the newest head covers, or a BrokenError.
func SignedSize(r db.Reader, verifier note.Verifier) (int64, error) {
	c, err := signedHead(r, verifier)
	return c.Size, err
}

// Head is the newest signed head, or "" while there is none.
func Head(r db.Reader) (string, error) {
	rows, err := r.Query("SELECT checkpoint FROM audit_head WHERE id = 1")
	if err != nil {
		return "", fmt.Errorf("audit: the head of the log: %w", err)
	}
	defer rows.Close()
	var head string
	for rows.Next() {
		if err := rows.Scan(&head); err != nil {
			return "", fmt.Errorf("audit: the head of the log: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("audit: the head of the log: %w", err)
	}
	return head, nil
}

// keep stores a head among those to compare with.
func keep(tx *db.Tx, size int64, head string) error {
	_, err := tx.Exec(`INSERT INTO audit_checkpoints (size, checkpoint, made_at_us) VALUES ($1, $2, $3)
		ON CONFLICT (size) DO NOTHING`, size, head, db.Micros(tx.Now()))
	if err != nil {
		return fmt.Errorf("audit: keep a checkpoint: %w", err)
	}
	return nil
}

// Kept is a head that is kept to compare with.
type Kept struct {
	Size   int64
	Signed string
	MadeAt time.Time
}

// KeepHead keeps the head of now.
func KeepHead(tx *db.Tx) (Kept, error) {
	head, err := Head(tx)
	if err != nil {
		return Kept{}, err
	}
	c, err := parseCheckpoint(head)
	if err != nil {
		return Kept{}, fmt.Errorf("audit: the head of the log: %w", err)
	}
	return Kept{Size: c.Size, Signed: head, MadeAt: tx.Now()}, keep(tx, c.Size, head)
}

// LastKept is the newest head that is kept of a log of that size, zero when none is.
func LastKept(r db.Reader, size int64) (Kept, error) {
	kept, err := keptWhere(r, "WHERE size <= $1 ORDER BY size DESC LIMIT 1", size)
	if err != nil || len(kept) == 0 {
		return Kept{}, err
	}
	return kept[0], nil
}

// KeptAfter lists the heads that are kept with more than from events and no more
// than to, the smallest first.
func KeptAfter(r db.Reader, from, to int64, limit int) ([]Kept, error) {
	return keptWhere(r, "WHERE size > $1 AND size <= $2 ORDER BY size LIMIT $3", from, to, limit)
}

func keptCheckpoints(r db.Reader) ([]Kept, error) { return keptWhere(r, "ORDER BY size") }

func keptWhere(r db.Reader, clause string, args ...any) ([]Kept, error) {
	rows, err := r.Query("SELECT size, checkpoint, made_at_us FROM audit_checkpoints "+clause, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: kept checkpoints: %w", err)
	}
	defer rows.Close()
	var kept []Kept
	for rows.Next() {
		var k Kept
		var madeAt int64
		if err := rows.Scan(&k.Size, &k.Signed, &madeAt); err != nil {
			return nil, fmt.Errorf("audit: kept checkpoints: %w", err)
		}
		k.MadeAt = db.FromMicros(madeAt)
		kept = append(kept, k)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: kept checkpoints: %w", err)
	}
	return kept, nil
}
