package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// Integrity is what an event takes along in an export so that whoever has the
// public key of the log can check it without the log.
type Integrity struct {
	Leaf            []byte   `json:"leaf"`
	ActorSeal       []byte   `json:"actor_seal,omitzero"`   // salt, or what is left of erased fields
	DetailsSeal     []byte   `json:"details_seal,omitzero"` // likewise
	PersonalDetails []string `json:"personal_details,omitzero"`
	ActorErasedBy   int64    `json:"actor_erased_by,omitzero"` // the events that recorded it
	DetailsErasedBy int64    `json:"details_erased_by,omitzero"`

	// Skipped are the roots of the full subtrees over the events between the one
	// before and this one, as merkle.Cover lists them.
	Skipped [][]byte `json:"skipped,omitzero"`

	// With the last event: the subtrees behind it, and the signed head over all.
	Rest       [][]byte `json:"rest,omitzero"`
	Checkpoint string   `json:"checkpoint,omitzero"`
}

// Sealer gives events, in ascending order, what proves them against one head. The
// last one waits until it is known to be the last.
type Sealer struct {
	checkpoint string
	size       int64 // of the head
	tree       subtrees
	covered    int64
	waiting    *Record
}

// NewSealer returns a Sealer for the newest head.
func NewSealer(r db.Reader) (*Sealer, error) {
	head, err := Head(r)
	if err != nil {
		return nil, err
	}
	c, err := parseCheckpoint(head)
	if err != nil {
		return nil, fmt.Errorf("audit: the head of the log: %w", err)
	}
	return &Sealer{checkpoint: head, size: c.Size}, nil
}

// Seal takes the next events and returns those that are ready, which may be none.
func (s *Sealer) Seal(r db.Reader, events []Record) ([]Record, error) {
	s.tree.r = r
	var ready []Record
	for _, e := range events {
		if s.waiting != nil {
			ready = append(ready, *s.waiting)
		}
		sealed, err := s.seal(e)
		if err != nil {
			return nil, err
		}
		s.waiting = &sealed
	}
	return ready, nil
}

// End returns the last event, with the head; none when there was none.
func (s *Sealer) End(r db.Reader) ([]Record, error) {
	if s.waiting == nil {
		return nil, nil
	}
	s.tree.r = r
	rest, err := s.tree.cover(s.covered, s.size)
	if err != nil {
		return nil, err
	}
	last := *s.waiting
	last.Integrity.Rest, last.Integrity.Checkpoint = each(rest), s.checkpoint
	return []Record{last}, nil
}

func (s *Sealer) seal(e Record) (Record, error) {
	integrity, err := e.integrity()
	if err != nil {
		return Record{}, err
	}
	skipped, err := s.tree.cover(s.covered, e.Seq-1)
	if err != nil {
		return Record{}, err
	}
	integrity.Skipped = each(skipped)
	s.covered, e.Integrity = e.Seq, &integrity
	return e, nil
}

// integrity is what the event has of itself.
func (r Record) integrity() (Integrity, error) {
	leaf := r.row.leaf()
	i := Integrity{Leaf: leaf[:], ActorSeal: r.row.actorSeal, DetailsSeal: r.row.detailsSeal,
		ActorErasedBy: r.row.actorErasedBy, DetailsErasedBy: r.row.detailsErasedBy}
	if r.row.personal != "" {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(r.row.personal), &members); err != nil {
			return Integrity{}, fmt.Errorf("audit: the personal details of event %d: %w", r.Seq, err)
		}
		i.PersonalDetails = slices.Sorted(maps.Keys(members))
	}
	return i, nil
}

func each(hashes []merkle.Hash) [][]byte {
	var list [][]byte
	for _, hash := range hashes {
		list = append(list, hash[:])
	}
	return list
}
