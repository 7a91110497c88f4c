package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// maxLine bounds a line of an export, in bytes. An event takes 12 KiB at most, its
// proof some 4.
const maxLine = 1 << 20

// VerifyExport checks an NDJSON export, offline: that each of its events stands in
// the log whose head is signed, unaltered and at its place, and that none is
// missing from the file that it said to have. It cannot say that the export asked
// for everything: Report.Absent counts the events that it leaves out. With
// witnesses, the log must extend those heads too. The error is a *Finding, or one
// of the reader.
func VerifyExport(file io.Reader, verifier note.Verifier, witnesses ...Witness) (Report, error) {
	v := &exportVerification{erased: map[int64]*erasedEvents{}}
	for _, w := range witnesses {
		c, err := openCheckpoint(w.Signed, verifier)
		if err != nil {
			return v.report, fmt.Errorf("%s: %w", w.Name, err)
		}
		v.witnesses = append(v.witnesses, expected{Checkpoint: c, name: w.Name})
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for n := 1; lines.Scan(); n++ {
		if err := v.line(lines.Bytes(), n); err != nil {
			return v.report, err
		}
	}
	if err := lines.Err(); err != nil {
		return v.report, fmt.Errorf("read the export: %w", err)
	}
	return v.report, v.end(verifier)
}

// exportVerification goes through an export. The tree over what it has seen is
// small, whatever the length of the file.
type exportVerification struct {
	report    Report
	tree      merkle.Range
	first     int64 // the first event in the file
	last      Integrity
	witnesses []expected
	wrong     *Finding // in an event whose leaf is stated all the same

	erased map[int64]*erasedEvents // by the event that should record it
}

// erasedEvents are those that lack fields by one erasure.
type erasedEvents struct{ acted, about []int64 }

func (v *exportVerification) line(text []byte, n int) error {
	at := v.tree.Size() + 1 // the number that may come next
	var view View
	if err := json.Unmarshal(text, &view); err != nil || view.ID < 1 || view.ID > maxID {
		return &Finding{Seq: at, Why: fmt.Sprintf("line %d of the file is no event", n)}
	}
	// What reads the file in another way must not read something else: no member
	// twice, none in other letters, nothing behind it.
	if written, err := Line(view); err != nil || !bytes.Equal(written, text) {
		return &Finding{Seq: min(at, view.ID), Why: fmt.Sprintf("line %d of the file is not as this program writes an event", n)}
	}
	switch {
	case view.Integrity == nil:
		return &Finding{Seq: view.ID, Why: fmt.Sprintf("line %d of the file has nothing to check it by: this is no NDJSON export that can be verified", n)}
	case v.last.Checkpoint != "":
		return &Finding{Seq: view.ID, Why: "it was put behind the end of the export"}
	case view.ID < at:
		return &Finding{Seq: view.ID, Why: "it is not at its place: the order of the lines was changed"}
	case len(view.Integrity.Leaf) != len(merkle.Hash{}):
		return &Finding{Seq: view.ID, Why: "its leaf is no hash"}
	}
	if err := v.skip(view.ID, view.Integrity.Skipped); err != nil {
		return err
	}
	leaf := merkle.Hash(view.Integrity.Leaf)
	r, err := view.row()
	switch {
	case err != nil:
		v.note(view.ID, fmt.Sprintf("it is not what was written (%v)", err))
	case r.leaf() != leaf:
		v.note(view.ID, "it is not what was written: a part of it was changed")
	case !r.sealed():
		v.note(view.ID, "what hides its personal fields has another form than this program gives it")
	default:
		v.erasure(&r)
	}
	v.tree.Append(leaf)
	if err := v.compare(); err != nil {
		return err
	}
	v.report.Events++
	if v.first == 0 {
		v.first = view.ID
	}
	v.last = *view.Integrity
	return nil
}

// maxID bounds the numbers of events, so that sums of them stay numbers.
const maxID = 1 << 53

func (v *exportVerification) note(seq int64, why string) {
	if v.wrong == nil {
		v.wrong = &Finding{Seq: seq, Why: why}
	}
}

// erasure keeps which event should record that fields of this one were erased, and
// when this one records erasures, holds them against those that came before: they
// are older.
func (v *exportVerification) erasure(r *row) {
	if r.actorSeal.erased() || r.detailsSeal.erased() {
		v.report.Erased++
	}
	if r.actorSeal.erased() && r.actorErasedBy <= r.seq || r.detailsSeal.erased() && r.detailsErasedBy <= r.seq {
		v.note(r.seq, "its personal fields were blanked, and no later event records it")
		return
	}
	if r.actorSeal.erased() {
		e := v.erasedBy(r.actorErasedBy)
		e.acted = append(e.acted, r.seq)
	}
	if r.detailsSeal.erased() {
		e := v.erasedBy(r.detailsErasedBy)
		e.about = append(e.about, r.seq)
	}
	waiting, ok := v.erased[r.seq]
	if !ok {
		return
	}
	said := parseErasure(Type(r.kind), r.details)
	if said == nil {
		said = &erasureEvent{}
	}
	const why = "its personal fields were blanked, and the event that should record it does not"
	for _, seq := range waiting.acted {
		if !said.Acted.has(seq) {
			v.note(seq, why)
		}
	}
	for _, seq := range waiting.about {
		if !said.About.has(seq) {
			v.note(seq, why)
		}
	}
	delete(v.erased, r.seq)
}

func (v *exportVerification) erasedBy(seq int64) *erasedEvents {
	if v.erased[seq] == nil {
		v.erased[seq] = &erasedEvents{}
	}
	return v.erased[seq]
}

// skip goes on to an event over those that the export left out.
func (v *exportVerification) skip(seq int64, roots [][]byte) error {
	begin := v.tree.Size()
	if begin == seq-1 {
		return nil
	}
	if err := appendCover(&v.tree, seq-1, roots); err != nil {
		return &Finding{Seq: begin + 1, Why: fmt.Sprintf("the events from here to %d were taken out of the file", seq-1)}
	}
	v.report.Absent += seq - 1 - begin
	return v.compare()
}

// appendCover adds the subtrees that lead to a size.
func appendCover(tree *merkle.Range, size int64, roots [][]byte) error {
	cover := merkle.Cover(tree.Size(), size)
	if len(cover) != len(roots) {
		return errors.New("they are too few or too many")
	}
	for i, subtree := range cover {
		if len(roots[i]) != len(merkle.Hash{}) {
			return errors.New("one is no hash")
		}
		if err := tree.AppendSubtree(subtree.Height, merkle.Hash(roots[i])); err != nil {
			return err
		}
	}
	return nil
}

// compare holds the tree so far against the witnesses of its size. One whose size
// lies within what was left out cannot be compared.
func (v *exportVerification) compare() error {
	for _, w := range v.witnesses {
		if w.Size != v.tree.Size() {
			continue
		}
		if w.Root != v.tree.Root() {
			return &Finding{Seq: 1, Why: fmt.Sprintf("up to %d the export is not of the log that was signed: %s does not match it", w.Size, w.name)}
		}
		v.report.Checkpoints++
	}
	return nil
}

// end checks the whole against the signed head in its last line.
func (v *exportVerification) end(verifier note.Verifier) error {
	if v.report.Events == 0 {
		return errors.New("the file has no events, and so nothing to verify")
	}
	if v.last.Checkpoint == "" {
		return &Finding{Seq: v.tree.Size() + 1, Why: "it is missing: the file ends before the export did"}
	}
	head, err := openCheckpoint(v.last.Checkpoint, verifier)
	if err != nil {
		return &Finding{Seq: v.first, Why: fmt.Sprintf("nothing vouches for the file: %v", err)}
	}
	v.report.Head = head
	v.report.Absent += max(0, head.Size-v.tree.Size())
	if head.Size > v.tree.Size() {
		if err := appendCover(&v.tree, head.Size, v.last.Rest); err != nil {
			return &Finding{Seq: v.tree.Size() + 1, Why: "it is missing: the file ends before the export did"}
		}
	}
	if v.tree.Size() != head.Size || v.tree.Root() != head.Root {
		return &Finding{Seq: v.first, Why: "the events of the file are not the ones that were signed; they and their hashes were changed together, so any of them may be false"}
	}
	if v.wrong != nil {
		return v.wrong
	}
	for _, waiting := range v.erased {
		v.report.Unproven += int64(len(waiting.acted) + len(waiting.about))
	}
	if err := v.compare(); err != nil {
		return err
	}
	if len(v.witnesses) > v.report.Checkpoints {
		for _, w := range v.witnesses {
			if w.Size > head.Size {
				return &Finding{Seq: head.Size + 1, Why: fmt.Sprintf("it is missing: %s knows of %d events, and the log of the export ends at %d", w.name, w.Size, head.Size)}
			}
		}
		return errors.New("the export leaves out events around the size of the checkpoint, so the two cannot be compared; export the whole log")
	}
	return nil
}

// row is the event as its leaf has it.
func (v View) row() (row, error) {
	at, err := time.Parse(timeForm, v.Time)
	if err != nil {
		return row{}, errors.New("the time has another form")
	}
	r := row{seq: v.ID, timeUS: db.Micros(at), kind: string(v.EventType), severity: string(v.Severity), success: v.Success,
		userID: orEmpty(v.UserID), email: orEmpty(v.Email), ip: orEmpty(v.IPAddress), agent: orEmpty(v.UserAgent),
		sessionID: orEmpty(v.SessionID), keyID: orEmpty(v.APIKeyID), requestID: orEmpty(v.RequestID),
		actorSeal: v.Integrity.ActorSeal, detailsSeal: v.Integrity.DetailsSeal,
		actorErasedBy: v.Integrity.ActorErasedBy, detailsErasedBy: v.Integrity.DetailsErasedBy}
	r.details, r.personal, err = part(v.Details, v.Integrity.PersonalDetails)
	return r, err
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
