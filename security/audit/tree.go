package audit

import (
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
	"patronus.internal/dashboard/security/secerr"
)

// Tree grows the Merkle tree over the log and signs its head with every batch, in
// the transaction of the batch: there is no event on disk that no signed head
// covers. It is safe for concurrent use, and by several processes over one file,
// since all that it must know it reads from there.
type Tree struct {
	signer   note.Signer
	verifier note.Verifier

	// Neither is relied on for what is in the file: the first is what the file must
	// still extend, and both save checking a signature twice.
	mu      sync.Mutex
	known   string // the head that was read last
	written string // the head that was signed last; its commit may have failed
}

// NewTree returns what signs with a key, whose public half is verifierKey.
func NewTree(signer note.Signer, verifierKey string) (*Tree, error) {
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return nil, fmt.Errorf("audit: the key of the log: %w", err)
	}
	return &Tree{signer: signer, verifier: verifier}, nil
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
// and counts them. A head that this key has not signed, that does not match its own
// tree, or that is not an extension of the one that was there before means that
// somebody altered the file outside of this program: then there is nothing to go on
// from, and a BrokenError undoes the batch.
func (t *Tree) Grow(tx *db.Tx, staged []any) error {
	edge, err := t.load(tx)
	if err != nil {
		return err
	}
	added := events(staged)
	for _, e := range added {
		if e.seq != edge.Size()+1 {
			return fmt.Errorf("audit: event %d follows on %d", e.seq, edge.Size())
		}
		edge.Append(e.leaf)
	}
	if err := count(tx, added); err != nil {
		return err
	}
	return t.store(tx, edge)
}

// Check returns a BrokenError when the log cannot grow. It only reads.
func (t *Tree) Check(r db.Reader) error {
	_, err := t.load(r)
	return err
}

// BrokenError says that the log is not as this program left it, so that nothing can
// be recorded.
type BrokenError struct{ Why string }

// Error implements error.
func (e *BrokenError) Error() string {
	return "the audit log was altered or damaged outside of this program: " + e.Why + ". `dashboard audit verify` tells which events are as they were written; put a backup of the database in its place"
}

func broken(format string, args ...any) error {
	err := &BrokenError{Why: fmt.Sprintf(format, args...)}
	return secerr.Wrap(secerr.Unavailable, "The audit log is damaged, and what cannot be recorded is not done. An admin of the host finds more in the log of the program.", err)
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

// load reads the edge of the tree, if its head vouches for it.
func (t *Tree) load(r db.Reader) (*merkle.Edge, error) {
	head, err := Head(r)
	if err != nil {
		return nil, err
	}
	if head == "" {
		return nil, broken("it has no signed head")
	}
	t.mu.Lock()
	known, written := t.known, t.written
	t.mu.Unlock()
	signed, err := parseCheckpoint(head)
	if err == nil && head != known && head != written {
		_, err = openCheckpoint(head, t.verifier)
	}
	if err != nil {
		return nil, broken("its head is not signed with the key in keys.json, which may be that of another database (%v)", err)
	}
	edge, err := merkle.LoadEdge(signed.Size, func(level int, n int64, width int) ([]byte, error) { return readTile(r, level, n, width) })
	if gone, ok := errors.AsType[*MissingTileError](err); ok {
		return nil, broken("stored hashes are gone (%v)", gone)
	}
	if err != nil {
		return nil, err
	}
	if edge.Root() != signed.Root {
		return nil, broken("its hashes are not those that its head was signed for")
	}
	if head != known && head != written && known != "" {
		if err := extends(r, known, signed.Size); err != nil {
			return nil, err
		}
	}
	t.mu.Lock()
	t.known = head
	t.mu.Unlock()
	return edge, nil
}

// extends returns a BrokenError when a log of that size is not an extension of the
// head that this process has seen before.
func extends(r db.Reader, known string, size int64) error {
	before, err := parseCheckpoint(known)
	if err != nil {
		return err
	}
	if before.Size > size {
		return broken("it has %d events, and had %d", size, before.Size)
	}
	root, err := rootAt(r, before.Size)
	if err != nil {
		return err
	}
	if root != before.Root {
		return broken("its first %d events are not those that were there before", before.Size)
	}
	return nil
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
	return fmt.Sprintf("stored hashes are missing: tile %d of level %d", e.N, e.Level)
}

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
	_, err = tx.Exec(`INSERT INTO audit_head (id, checkpoint) VALUES (1, $1)
		ON CONFLICT (id) DO UPDATE SET checkpoint = excluded.checkpoint`, head)
	if err != nil {
		return fmt.Errorf("audit: store the head: %w", err)
	}
	t.mu.Lock()
	t.written = head
	t.mu.Unlock()
	return nil
}
