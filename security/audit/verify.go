package audit

import (
	"cmp"
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
	Absent      int64 // removed by retention, their leaves are there; or not in an export
	Erased      int64 // present, without some of their personal fields
	Unproven    int64 // of these, those of an export that cannot show by which event
	Strays      int64 // rows that were moved aside, since this program did not write them
	Checkpoints int   // older ones, kept here and elsewhere, all of which match
}

// Witness is a head of this log that somebody kept elsewhere.
type Witness struct {
	Name   string // for people
	Signed string

	kept int64 // the size under which this log keeps it itself
}

// Verify checks the whole log in one state of the database: each event against its
// leaf, the stored hashes, the signature of the head and of every kept one, and
// that all of them, and the witnesses, are of this very log. The error is a
// *Finding when the log is not as it was written, or one of the storage.
func Verify(r db.Reader, verifier note.Verifier, witnesses ...Witness) (Report, error) {
	kept, err := keptCheckpoints(r)
	if err != nil {
		return Report{}, err
	}
	for _, k := range kept {
		witnesses = append(witnesses, Witness{Name: fmt.Sprintf("the kept checkpoint of %d events", k.Size), Signed: k.Signed, kept: k.Size})
	}
	v := newVerification(r, verifier)
	v.hours = hours{}
	if err := v.begin(witnesses); err != nil {
		return v.report, err
	}
	if err := v.through(); err != nil {
		return v.report, err
	}
	return v.report, v.hours.compare(r, v.prunedTo)
}

// VerifyEnd checks the head and the newest events, those of one tile: what can be
// looked at at each start. Its error is that of Verify.
func VerifyEnd(r db.Reader, verifier note.Verifier) error {
	v := newVerification(r, verifier)
	if err := v.begin(nil); err != nil {
		return err
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

// verification goes through a log from its first event to its last. What is wrong
// is noted, and it goes on to the next head by the stored hashes: only with a head
// that matches is what stands before the first wrong event as it was written.
type verification struct {
	r        db.Reader
	verifier note.Verifier
	report   Report

	size     int64 // how far to go
	signed   bool  // the head is
	wrong    *Finding
	foreign  error      // a head to compare with that is none of this log
	heads    []expected // by size, those to come
	vouched  int64      // the size of the last head that matched
	prunedTo int64
	edge     *merkle.Edge // built anew from the leaves
	erasures map[int64]*erasureEvent
	hours    hours // nil: not looked at
}

func newVerification(r db.Reader, verifier note.Verifier) *verification {
	return &verification{r: r, verifier: verifier, edge: &merkle.Edge{}, erasures: map[int64]*erasureEvent{}}
}

// expected is a head that the log must match when it has that size.
type expected struct {
	Checkpoint
	name string
}

const newestHead = "the signed head"

func bySize(a, b expected) int { return cmp.Compare(a.Size, b.Size) }

// note keeps the first thing that is wrong.
func (v *verification) note(seq int64, format string, args ...any) {
	if v.wrong == nil || seq < v.wrong.Seq {
		v.wrong = &Finding{Seq: seq, Why: fmt.Sprintf(format, args...)}
	}
}

// begin reads the head, and the others that the log must match on the way to it.
func (v *verification) begin(witnesses []Witness) error {
	head, err := Head(v.r)
	if err != nil {
		return err
	}
	extent, err := extentOf(v.r)
	if err != nil {
		return err
	}
	if begun, err := v.begun(head); err != nil || !begun {
		return cmp.Or(err, ErrNotBegun)
	}
	var unsigned error
	if v.report.Head, unsigned = openCheckpoint(head, v.verifier); unsigned == nil {
		v.signed, v.size = true, v.report.Head.Size
		v.heads = append(v.heads, expected{Checkpoint: v.report.Head, name: newestHead})
	} else {
		v.size = extent.newest
	}
	for _, w := range witnesses {
		c, err := openCheckpoint(w.Signed, v.verifier)
		if err == nil && w.kept > 0 && c.Size != w.kept {
			err = fmt.Errorf("it has %d events", c.Size)
		}
		switch {
		case err != nil && w.kept > 0:
			v.foreign = cmp.Or[error](v.foreign, &Finding{Seq: max(1, min(w.kept, v.size)), Why: fmt.Sprintf("%s is not what the key of this log signed (%v)", w.Name, err)})
		case err != nil:
			v.foreign = cmp.Or(v.foreign, fmt.Errorf("%s: %w", w.Name, err))
		case c.Size > v.size:
			v.note(v.size+1, "it is missing: %s knows of %d events, and the log ends at %d", w.Name, c.Size, v.size)
		default:
			v.heads = append(v.heads, expected{Checkpoint: c, name: w.Name})
		}
	}
	slices.SortStableFunc(v.heads, bySize)
	if unsigned != nil {
		v.note(v.lastHead()+1, "from here on no head vouches for the log: the newest is not one that its key has signed (%v)", unsigned)
	}
	if extent.newest > v.size {
		v.note(v.size+1, "it is behind the signed head of the log: it was not written by this program")
	}
	if extent.first < 1 && extent.newest != 0 {
		v.note(extent.first, "no event has a number like that: it was not written by this program")
	}
	pruned, err := lastPrune(v.r, v.confirmed)
	if err != nil {
		return err
	}
	v.prunedTo = pruned.To
	v.report.Strays, err = countStrays(v.r)
	return err
}

// ErrNotBegun says that the log has no head yet, nor anything that one was made for.
var ErrNotBegun = errors.New("the log has not begun: it has no signed head, no stored hashes and no checkpoint. Start the server once")

func (v *verification) begun(head string) (begun bool, err error) {
	if head != "" {
		return true, nil
	}
	err = v.r.QueryRow("SELECT EXISTS (SELECT 1 FROM audit_tiles) OR EXISTS (SELECT 1 FROM audit_checkpoints)").Scan(&begun)
	if err != nil {
		return false, fmt.Errorf("audit: verify: %w", err)
	}
	return begun, nil
}

// lastHead is the size of the newest head to compare with.
func (v *verification) lastHead() int64 {
	if n := len(v.heads); n > 0 {
		return v.heads[n-1].Size
	}
	return 0
}

// through checks all events, a tile of them at a time.
func (v *verification) through() error {
	v.compare()
	for v.edge.Size() < v.size {
		whole, err := v.tile()
		if err != nil {
			return err
		}
		if !whole || v.wrong != nil && v.wrong.Seq <= v.vouched {
			break
		}
	}
	if v.wrong != nil {
		return v.wrong
	}
	return v.foreign
}

// tile checks the events of the next tile, and the tile. It reports false when there
// is nothing to go on by.
func (v *verification) tile() (whole bool, err error) {
	first := v.edge.Size() + 1
	last := min((v.edge.Size()/merkle.Width+1)*merkle.Width, v.size)
	leaves, err := storedHashes(v.r, 0, (first-1)/merkle.Width)
	if err != nil {
		return false, err
	}
	rows, err := rowsAfter(v.r, first-1, int(last-first+1))
	if err != nil {
		return false, err
	}
	for seq := first; seq <= last; seq++ {
		var r *row
		if len(rows) > 0 && rows[0].seq == seq {
			r, rows = &rows[0], rows[1:]
		}
		if at := int(seq-1) % merkle.Width; at < len(leaves) {
			if err := v.event(seq, r, leaves[at]); err != nil {
				return false, err
			}
			v.edge.Append(leaves[at])
			v.compare()
			continue
		}
		v.note(seq, "its stored hash is gone")
		v.vouchNothing()
		return false, nil
	}
	return true, v.compareTiles()
}

// event checks one event, or that it may be absent.
func (v *verification) event(seq int64, r *row, leaf merkle.Hash) error {
	switch {
	case r == nil && seq <= v.prunedTo:
		v.report.Absent++
	case r == nil:
		v.note(seq, "it is missing: it was deleted, and retention did not do so")
	case r.leaf() != leaf:
		v.note(seq, "it is not what was written: a part of it was changed")
	case !r.sealed():
		v.note(seq, "what hides its personal fields has another form than this program gives it")
	default:
		v.report.Events++
		v.hours.add(r)
		return v.erased(r)
	}
	return nil
}

// compare holds the log so far against the heads of its size.
func (v *verification) compare() {
	for len(v.heads) > 0 && v.heads[0].Size <= v.edge.Size() {
		head := v.heads[0]
		v.heads = v.heads[1:]
		switch {
		case head.Size == v.edge.Size() && head.Root != v.edge.Root():
			v.note(v.vouched+1, "from here to %d the log is not the one that was signed: %s does not match it", head.Size, head.name)
		case v.wrong == nil || v.wrong.Seq > head.Size:
			v.vouched = head.Size
			if head.name != newestHead {
				v.report.Checkpoints++
			}
		default:
			v.vouched = head.Size // by its stored hashes: what is wrong is in the events
		}
	}
}

// vouchNothing is for a log that ends before its next head: nothing since the last
// one is vouched for.
func (v *verification) vouchNothing() {
	if len(v.heads) > 0 {
		v.note(v.vouched+1, "stored hashes are gone at %d, so that no head vouches for what stands from here on", v.edge.Size()+1)
	}
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
				v.note((tile.N*merkle.Width+int64(i))*span+1, "a stored hash over it was changed")
				break
			}
		}
	}
	return nil
}

// confirmed reports whether an event is as it was written, so that what it says of
// others counts: by its proof, or while there is no head, by its stored hash.
func (v *verification) confirmed(r *row) (bool, error) {
	if v.signed {
		return proven(v.r, v.report.Head, r)
	}
	leaves, err := storedHashes(v.r, 0, (r.seq-1)/merkle.Width)
	if err != nil {
		return false, err
	}
	at := int(r.seq-1) % merkle.Width
	return at < len(leaves) && leaves[at] == r.leaf(), nil
}

// erased checks that an event without personal fields lost them by an erasure that
// an event records: nobody hides who did something by blanking it.
func (v *verification) erased(r *row) error {
	if !r.actorSeal.erased() && !r.detailsSeal.erased() {
		return nil
	}
	v.report.Erased++
	for _, part := range []struct {
		erased bool
		by     int64
		of     func(*erasureEvent) ranges
	}{
		{r.actorSeal.erased(), r.actorErasedBy, func(e *erasureEvent) ranges { return e.Acted }},
		{r.detailsSeal.erased(), r.detailsErasedBy, func(e *erasureEvent) ranges { return e.About }},
	} {
		if !part.erased {
			continue
		}
		event, err := v.erasureAt(part.by)
		if err != nil {
			return err
		}
		if event == nil || !part.of(event).has(r.seq) {
			v.note(r.seq, "its personal fields were blanked, and no event records that they were erased")
		}
	}
	return nil
}

// erasureAt reads what an event says of an erasure, nil when it says nothing or is
// not as it was written itself.
func (v *verification) erasureAt(seq int64) (*erasureEvent, error) {
	if e, known := v.erasures[seq]; known {
		return e, nil
	}
	var event *erasureEvent
	said, err := rowAt(v.r, seq)
	if err != nil {
		return nil, err
	}
	if said != nil {
		confirmed, err := v.confirmed(said)
		if err != nil {
			return nil, err
		}
		if confirmed {
			event = parseErasure(Type(said.kind), said.details)
		}
	}
	v.erasures[seq] = event
	return event, nil
}
