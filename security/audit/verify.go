package audit

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// Finding is the first thing that is wrong with a log.
type Finding struct {
	Seq int64 // the first number that is not vouched for
	Why string
}

// Error implements error.
func (f *Finding) Error() string { return fmt.Sprintf("event %d: %s", f.Seq, f.Why) }

// Report is what a verification found.
type Report struct {
	Head        Checkpoint
	Events      int64 // present, each of which was checked
	Pruned      int64 // gone by retention, their leaves are there
	Erased      int64 // present, without some of their personal fields
	Checkpoints int   // older ones, kept here and elsewhere, all of which match
}

// Witness is a head of this log that somebody kept elsewhere.
type Witness struct {
	Name   string // for people
	Signed string
}

// Verify checks the whole log in one state of the database: each event against its
// leaf, the stored hashes, the signature of the head and of every kept one, and
// that all of them, and the witnesses, are of this very log. The error is a
// *Finding when the log is not as it was written, or one of the storage.
func Verify(r db.Reader, verifier note.Verifier, witnesses ...Witness) (Report, error) {
	v := &verification{r: r, verifier: verifier, edge: &merkle.Edge{}, erasures: map[int64]erasure{}}
	kept, err := keptCheckpoints(r)
	if err != nil {
		return v.report, err
	}
	if err := v.begin(kept, witnesses); err != nil {
		return v.report, err
	}
	if err := v.through(); err != nil {
		found, bad := errors.AsType[*Finding](err)
		if !bad || v.pending == nil || found.Seq <= v.pending.Seq {
			return v.report, err
		}
	}
	if v.pending != nil {
		return v.report, v.pending
	}
	return v.report, nil
}

// verification goes through a log from its first event to its last.
type verification struct {
	r        db.Reader
	verifier note.Verifier
	report   Report

	size     int64      // how far to go
	pending  *Finding   // wrong already, if nothing before it is
	heads    []expected // by size, those to come
	vouched  int64      // the size of the last head that matched
	prunedTo int64
	edge     *merkle.Edge // built anew from what the events are
	erasures map[int64]erasure
}

// expected is a head that the log must match when it has that size.
type expected struct {
	Checkpoint
	name string
}

const signedHead = "the signed head"

// begin reads the head, and the others that the log must match on the way to it.
func (v *verification) begin(kept []Kept, witnesses []Witness) error {
	head, err := Head(v.r)
	if err != nil {
		return err
	}
	for _, w := range witnesses {
		c, err := openCheckpoint(w.Signed, v.verifier)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		v.heads = append(v.heads, expected{Checkpoint: c, name: w.Name})
	}
	for _, k := range kept {
		c, err := openCheckpoint(k.Signed, v.verifier)
		if err != nil || c.Size != k.Size {
			return &Finding{Seq: k.Size, Why: fmt.Sprintf("the checkpoint that is kept for it is not what the key of this log signed (%v)", err)}
		}
		v.heads = append(v.heads, expected{Checkpoint: c, name: "a kept checkpoint"})
	}
	slices.SortStableFunc(v.heads, bySize)
	extent, err := extentOf(v.r)
	if err != nil {
		return err
	}
	pruned, err := LastPrune(v.r)
	if err != nil {
		return err
	}
	v.prunedTo = pruned.To
	if extent.first < 1 && extent.newest != 0 {
		return &Finding{Seq: extent.first, Why: "no event has a number like that: it was not written by this program"}
	}
	v.report.Head, err = openCheckpoint(head, v.verifier)
	v.size = v.report.Head.Size
	switch last := len(v.heads) - 1; {
	case err != nil:
		v.size = extent.newest
		v.pending = &Finding{Seq: v.nextUnvouched(), Why: fmt.Sprintf("the log has no head that its key has signed (%v)", err)}
	case last >= 0 && v.heads[last].Size > v.size:
		v.pending = &Finding{Seq: v.size + 1, Why: fmt.Sprintf("it is missing: %s knows of %d events, and the log ends at %d", v.heads[last].name, v.heads[last].Size, v.size)}
	case extent.newest > v.size:
		v.pending = &Finding{Seq: v.size + 1, Why: "it is behind the signed head of the log: it was not written by this program"}
	}
	if err == nil {
		v.heads = append(v.heads, expected{Checkpoint: v.report.Head, name: signedHead})
		slices.SortStableFunc(v.heads, bySize)
	}
	return nil
}

func bySize(a, b expected) int { return cmp.Compare(a.Size, b.Size) }

// nextUnvouched is the first number behind the heads that there are events for.
func (v *verification) nextUnvouched() int64 {
	for i := len(v.heads) - 1; i >= 0; i-- {
		if size := v.heads[i].Size; size <= v.size {
			return size + 1
		}
	}
	return 1
}

// through checks all events, a tile of them at a time.
func (v *verification) through() error {
	if err := v.compare(); err != nil {
		return err
	}
	for v.edge.Size() < v.size {
		if err := v.tile(); err != nil {
			return err
		}
	}
	return nil
}

// tile checks the events of the next tile, and the tile.
func (v *verification) tile() error {
	first := v.edge.Size() + 1
	last := min(first+merkle.Width-1, v.size)
	leaves, err := storedHashes(v.r, 0, (first-1)/merkle.Width)
	if err != nil {
		return err
	}
	rows, err := rowsAfter(v.r, first-1, int(last-first+1))
	if err != nil {
		return err
	}
	for seq := first; seq <= last; seq++ {
		there := len(rows) > 0 && rows[0].seq == seq
		if !there && seq > v.prunedTo {
			return &Finding{Seq: seq, Why: "it is missing: it was deleted, and retention did not do so"}
		}
		if int(seq-first) >= len(leaves) {
			return &Finding{Seq: seq, Why: "its stored hash is gone"}
		}
		leaf := leaves[seq-first]
		if there {
			if rows[0].leaf() != leaf {
				return &Finding{Seq: seq, Why: "it is not what was written: a part of it was changed"}
			}
			if err := v.erased(&rows[0]); err != nil {
				return err
			}
			rows = rows[1:]
			v.report.Events++
		} else {
			v.report.Pruned++
		}
		v.edge.Append(leaf)
		if err := v.compare(); err != nil {
			return err
		}
	}
	return v.compareTiles()
}

// compare holds the log so far against the heads of its size.
func (v *verification) compare() error {
	for len(v.heads) > 0 && v.heads[0].Size <= v.edge.Size() {
		head := v.heads[0]
		v.heads = v.heads[1:]
		if head.Size == v.edge.Size() && head.Root != v.edge.Root() {
			return &Finding{Seq: v.vouched + 1, Why: fmt.Sprintf("from here to %d the log is not the one that was signed: %s (%d events) does not match it", head.Size, head.name, head.Size)}
		}
		v.vouched = head.Size
		if head.name != signedHead {
			v.report.Checkpoints++
		}
	}
	return nil
}

// compareTiles holds what was built anew against what is stored: the hashes from
// which proofs are made. Level 0 is where the leaves came from.
func (v *verification) compareTiles() error {
	for _, tile := range v.edge.Changed() {
		if tile.Level == 0 {
			continue
		}
		span := int64(1) << (merkle.Height * tile.Level)
		built, err := merkle.Split(tile.Hashes)
		if err != nil {
			return err
		}
		stored, err := storedHashes(v.r, tile.Level, tile.N)
		if err != nil {
			return err
		}
		for i, hash := range built {
			if i >= len(stored) || stored[i] != hash {
				return &Finding{Seq: (tile.N*merkle.Width+int64(i))*span + 1, Why: "a stored hash over it was changed"}
			}
		}
	}
	return nil
}

// erasure is what an event says about the erasure that it records.
type erasure struct {
	ok  bool
	ids []string // of the user, now and before under the same address
}

// erased checks that an event without personal fields lost them by an erasure that
// is recorded: nobody hides who did something by blanking it.
func (v *verification) erased(r *row) error {
	if !r.actorSeal.erased() && !r.detailsSeal.erased() {
		return nil
	}
	v.report.Erased++
	e, err := v.erasureOf(r.erasedBy)
	if err != nil {
		return err
	}
	// Details may name anybody; who acted is told by the id that stays.
	if !e.ok || r.actorSeal.erased() && r.userID != "" && !slices.Contains(e.ids, r.userID) {
		return &Finding{Seq: r.seq, Why: "its personal fields were blanked, and no event records that they were erased"}
	}
	return nil
}

func (v *verification) erasureOf(seq int64) (erasure, error) {
	if e, known := v.erasures[seq]; known {
		return e, nil
	}
	rows, err := rowsAfter(v.r, seq-1, 1)
	if err != nil {
		return erasure{}, err
	}
	var e erasure
	if len(rows) == 1 && rows[0].seq == seq && Type(rows[0].kind) == UserDelete {
		var details struct {
			Erased bool     `json:"erased"`
			UserID string   `json:"target_user_id"`
			Former []string `json:"former_user_ids"`
		}
		if err := json.Unmarshal([]byte(rows[0].details), &details); err == nil {
			e = erasure{ok: details.Erased, ids: append(details.Former, details.UserID)}
		}
	}
	v.erasures[seq] = e
	return e, nil
}

// VerifyEnd checks the head and the newest events, those of one tile: what can be
// looked at at each start. Its error is that of Verify.
func VerifyEnd(r db.Reader, verifier note.Verifier) error {
	v := &verification{r: r, verifier: verifier, edge: &merkle.Edge{}, erasures: map[int64]erasure{}}
	if err := v.begin(nil, nil); err != nil {
		return err
	}
	if v.pending != nil {
		return v.pending
	}
	edge, err := merkle.LoadEdge((v.size-1)/merkle.Width*merkle.Width, func(level int, n int64, width int) ([]byte, error) {
		return readTile(r, level, n, width)
	})
	if gone, ok := errors.AsType[*MissingTileError](err); ok {
		return &Finding{Seq: 1, Why: gone.Error()}
	}
	if err != nil {
		return err
	}
	v.edge, v.vouched = edge, edge.Size()
	return v.through()
}
