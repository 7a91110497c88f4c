package audit

import (
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// Tree grows the Merkle tree over the log and signs its head with every batch, in
// the transaction of the batch: there is no event on disk that no signed head
// covers. It is safe for concurrent use, and by several processes over one file,
// since all that it must know it reads from there.
type Tree struct {
	signer   note.Signer
	verifier note.Verifier
	log      *slog.Logger

	mu    sync.Mutex
	known string // the head that was signed or checked last
}

// NewTree returns what signs with a key, whose public half is verifierKey.
func NewTree(signer note.Signer, verifierKey string, log *slog.Logger) (*Tree, error) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return nil, fmt.Errorf("audit: the key of the log: %w", err)
	}
	return &Tree{signer: signer, verifier: verifier, log: log}, nil
}

// Verifier checks what the tree's key has signed.
func (t *Tree) Verifier() note.Verifier { return t.verifier }

// appended is what the tree and the counts have to know of a new event.
type appended struct {
	seq, hour      int64
	leaf           merkle.Hash
	kind, severity string
	success        bool
}

// Grow is db.Options.BeforeCommit: it extends the tree by the events of a batch
// and counts them. A head that does not match its own tree, or numbers that do not
// follow, mean that somebody altered the file outside of this program. The log says
// so in a critical event and goes on: who can sign in and what is recorded must not
// depend on an intruder's mercy. Without a head or a tile there is nothing to go on
// from, and its error undoes the batch.
func (t *Tree) Grow(tx *db.Tx, staged []any) error {
	head, edge, err := t.load(tx)
	if err != nil {
		return err
	}
	added := events(staged)
	why := t.alteration(head, edge)
	if why == "" && len(added) > 0 && added[0].seq != edge.Size()+1 {
		why = "numbers_do_not_follow"
	}
	if why != "" {
		if err := t.alarm(tx, head, why); err != nil {
			return err
		}
		added = append(added, events(tx.Staged())...)
	}
	for _, e := range added {
		if err := fill(tx, edge, e.seq); err != nil {
			return err
		}
		edge.Append(e.leaf)
	}
	if err := count(tx, added); err != nil {
		return err
	}
	return t.store(tx, edge)
}

func events(staged []any) []appended {
	var found []appended
	for _, value := range staged {
		if e, ok := value.(appended); ok {
			found = append(found, e)
		}
	}
	return found
}

// errNoHead says that the tree was never begun, or that somebody removed it.
var errNoHead = errors.New("audit: the log has no signed head")

// load reads the head and the edge of the tree.
func (t *Tree) load(r db.Reader) (head string, edge *merkle.Edge, err error) {
	var size int64
	err = r.QueryRow("SELECT size, checkpoint FROM audit_head WHERE id = 1").Scan(&size, &head)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil, errNoHead
	}
	if err != nil {
		return "", nil, fmt.Errorf("audit: the head of the log: %w", err)
	}
	edge, err = merkle.LoadEdge(size, func(level int, n int64, width int) ([]byte, error) { return readTile(r, level, n, width) })
	return head, edge, err
}

// readTile reads the first width hashes of a tile.
func readTile(r db.Reader, level int, n int64, width int) ([]byte, error) {
	hashes, err := tileBytes(r, level, n)
	if err != nil {
		return nil, err
	}
	if want := width * len(merkle.Hash{}); len(hashes) >= want {
		return hashes[:want], nil
	}
	return nil, &MissingTileError{Level: level, N: n}
}

// storedHashes reads a tile as far as it is there.
func storedHashes(r db.Reader, level int, n int64) ([]merkle.Hash, error) {
	hashes, err := tileBytes(r, level, n)
	if err != nil {
		return nil, err
	}
	return merkle.Split(hashes[:len(hashes)/len(merkle.Hash{})*len(merkle.Hash{})])
}

func tileBytes(r db.Reader, level int, n int64) ([]byte, error) {
	var hashes []byte
	err := r.QueryRow("SELECT hashes FROM audit_tiles WHERE level = $1 AND tile = $2", level, n).Scan(&hashes)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("audit: tile %d of level %d: %w", n, level, err)
	}
	return hashes, nil
}

// MissingTileError says that stored hashes of the tree are gone.
type MissingTileError struct {
	Level int
	N     int64
}

// Error implements error.
func (e *MissingTileError) Error() string {
	return fmt.Sprintf("audit: tile %d of level %d of the log's tree is missing or short", e.N, e.Level)
}

// alteration says what is wrong with the head of a tree, "" when nothing is.
func (t *Tree) alteration(head string, edge *merkle.Edge) string {
	t.mu.Lock()
	known := t.known == head
	t.mu.Unlock()
	signed, err := parseCheckpoint(head)
	if err == nil && !known {
		_, err = openCheckpoint(head, t.verifier)
	}
	switch {
	case err != nil:
		return "head_not_signed"
	case signed.Size != edge.Size() || signed.Root != edge.Root():
		return "tree_does_not_match_its_head"
	}
	return ""
}

// alarm records that the log was altered, and keeps the head that shows it.
func (t *Tree) alarm(tx *db.Tx, head, why string) error {
	t.log.Error("the audit log was altered outside of this program; `dashboard audit verify` names the first event that is not as it was", "reason", why, "head", head)
	if signed, err := openCheckpoint(head, t.verifier); err == nil {
		if err := keep(tx, signed.Size, head); err != nil {
			return err
		}
	}
	return Append(tx, Event{Type: SuspiciousActivity, Details: Details{"reasons": []string{"audit_log_altered"}, "found": why}})
}

// fill makes the tree as long as the numbers before seq say. That is nothing to
// do, but for numbers that somebody gave or took away outside of this program:
// they get a leaf that no event has, and so stay what they are.
func fill(tx *db.Tx, edge *merkle.Edge, seq int64) error {
	if seq <= edge.Size() {
		return fmt.Errorf("audit: event %d is in the tree already", seq)
	}
	for edge.Size() < seq-1 {
		edge.Append(unrecorded)
	}
	return nil
}

// unrecorded stands in the tree for a number that this program never gave.
var unrecorded = merkle.Leaf([]byte("patronus-audit-event/unrecorded"))

// store writes the tiles that changed and the signed head over them.
func (t *Tree) store(tx *db.Tx, edge *merkle.Edge) error {
	for _, tile := range edge.Changed() {
		_, err := tx.Exec(`INSERT INTO audit_tiles (level, tile, hashes) VALUES ($1, $2, $3)
			ON CONFLICT (level, tile) DO UPDATE SET hashes = excluded.hashes`, tile.Level, tile.N, tile.Hashes)
		if err != nil {
			return fmt.Errorf("audit: store a tile: %w", err)
		}
	}
	head, err := signCheckpoint(t.signer, edge.Size(), edge.Root())
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO audit_head (id, size, checkpoint) VALUES (1, $1, $2)
		ON CONFLICT (id) DO UPDATE SET size = excluded.size, checkpoint = excluded.checkpoint`, edge.Size(), head)
	if err != nil {
		return fmt.Errorf("audit: store the head: %w", err)
	}
	t.mu.Lock()
	t.known = head
	t.mu.Unlock()
	return nil
}
