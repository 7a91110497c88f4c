package audit

import (
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// Proof shows that an event stands in the log whose head is signed: the audit path
// of RFC 6962 §2.1.1.
type Proof struct {
	Event      Record
	Leaf       merkle.Hash   // of the event as it is now
	Path       []merkle.Hash // from the leaf up
	Head       Checkpoint
	Checkpoint string // the head as it was signed
	// Problem says why it proves nothing, "" when it does.
	Problem string
}

// Prove returns the proof of one event, checked as its reader would check it, or
// secerr.NotFound. It wants one state of the database.
func Prove(r db.Reader, verifier note.Verifier, seq int64) (Proof, error) {
	event, err := Get(r, seq)
	if err != nil {
		return Proof{}, err
	}
	p := Proof{Event: event, Leaf: event.row.leaf()}
	if p.Checkpoint, err = Head(r); err != nil {
		return Proof{}, err
	}
	if p.Head, err = openCheckpoint(p.Checkpoint, verifier); err != nil {
		p.Problem = "The log has no head that its key has signed."
		return p, nil
	}
	if seq > p.Head.Size {
		p.Problem = "The event is behind the signed head of the log. This program did not write it."
		return p, nil
	}
	p.Path, err = tlog.ProveRecord(p.Head.Size, seq-1, &subtrees{r: r})
	if _, gone := errors.AsType[*MissingTileError](err); gone {
		p.Problem = "Stored hashes of the log are gone."
		return p, nil
	}
	if err != nil {
		return Proof{}, fmt.Errorf("audit: prove event %d: %w", seq, err)
	}
	if tlog.CheckRecord(p.Path, p.Head.Size, p.Head.Root, seq-1, p.Leaf) != nil {
		p.Problem = "The event, or the stored hashes of the log, are not what was signed. They were changed outside of this program."
	}
	return p, nil
}

// proven reports whether an event stands in the log of a head, by its proof.
func proven(r db.Reader, head Checkpoint, e *row) (bool, error) {
	if e.seq < 1 || e.seq > head.Size {
		return false, nil
	}
	path, err := tlog.ProveRecord(head.Size, e.seq-1, &subtrees{r: r})
	if _, gone := errors.AsType[*MissingTileError](err); gone {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("audit: prove event %d: %w", e.seq, err)
	}
	return tlog.CheckRecord(path, head.Size, head.Root, e.seq-1, e.leaf()) == nil, nil
}

// rootAt is the hash over the first size events, from the stored hashes.
func rootAt(r db.Reader, size int64) (merkle.Hash, error) {
	return tlog.TreeHash(size, &subtrees{r: r})
}

// subtrees reads the roots of full subtrees from the stored tiles, one at a time
// and each of its tiles once in a row. It is a tlog.HashReader.
type subtrees struct {
	r     db.Reader
	tiles [8]struct { // the last of each level that was read
		n      int64
		hashes []merkle.Hash
	}
}

// ReadHashes implements tlog.HashReader.
func (s *subtrees) ReadHashes(indexes []int64) ([]merkle.Hash, error) {
	hashes := make([]merkle.Hash, len(indexes))
	for i, index := range indexes {
		height, n := tlog.SplitStoredHashIndex(index)
		var err error
		if hashes[i], err = s.root(merkle.Subtree{Height: height, Index: n}); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// root is the hash of a full subtree.
func (s *subtrees) root(of merkle.Subtree) (merkle.Hash, error) {
	level, inside := of.Height/merkle.Height, of.Height%merkle.Height
	n, from := of.Index<<inside/merkle.Width, of.Index<<inside%merkle.Width
	tile := &s.tiles[level]
	to := from + 1<<inside
	if tile.n != n || int64(len(tile.hashes)) < to {
		hashes, err := storedHashes(s.r, level, n)
		if err != nil {
			return merkle.Hash{}, err
		}
		tile.n, tile.hashes = n, hashes
	}
	if int64(len(tile.hashes)) < to {
		return merkle.Hash{}, &MissingTileError{Level: level, N: n}
	}
	return merkle.Fold(tile.hashes[from:to]), nil
}

// cover reads the roots of the fewest full subtrees over the leaves from begin up
// to end.
func (s *subtrees) cover(begin, end int64) ([]merkle.Hash, error) {
	var hashes []merkle.Hash
	for _, subtree := range merkle.Cover(begin, end) {
		hash, err := s.root(subtree)
		if err != nil {
			return nil, fmt.Errorf("audit: prove: %w", err)
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

// CheckExtends returns a *Finding when the log is not an extension of an older
// head of its own, by the stored hashes; Verify looks at every event.
func CheckExtends(r db.Reader, verifier note.Verifier, older string) error {
	c, err := openCheckpoint(older, verifier)
	if err != nil {
		return &Finding{Seq: 1, Why: fmt.Sprintf("the checkpoint is not one of this log (%v)", err)}
	}
	head, err := Head(r)
	if err != nil {
		return err
	}
	now, err := openCheckpoint(head, verifier)
	if err != nil {
		return &Finding{Seq: 1, Why: "the log has no head that its key has signed"}
	}
	if c.Size > now.Size {
		return &Finding{Seq: now.Size + 1, Why: fmt.Sprintf("it is missing: the checkpoint knows of %d events, and the log ends at %d", c.Size, now.Size)}
	}
	root, err := rootAt(r, c.Size)
	if gone, ok := errors.AsType[*MissingTileError](err); ok {
		return &Finding{Seq: 1, Why: gone.Error()}
	}
	if err != nil {
		return fmt.Errorf("audit: compare with a checkpoint: %w", err)
	}
	if root != c.Root {
		return &Finding{Seq: 1, Why: fmt.Sprintf("somewhere up to %d the log is not the one that was signed", c.Size)}
	}
	return nil
}
