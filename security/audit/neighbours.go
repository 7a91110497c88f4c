package audit

import (
	"slices"

	"patronus.internal/dashboard/security/db"
)

// near is how many events are examined on either side of one for its neighbours.
const near = 1_000

// Neighbours returns the events that match and lie nearest to a number in the log,
// on both sides of it if there are any, newest first, f.Limit at most. It looks
// around in a bounded part of the log only. The event of that number is not among
// them.
func Neighbours(r db.Reader, f Filter, seq int64) ([]Record, error) {
	before, after := f, f
	before.Before = seq
	after.After, after.OldestFirst = seq, true
	older, err := search(r, before, near)
	if err != nil {
		return nil, err
	}
	newer, err := search(r, after, near)
	if err != nil {
		return nil, err
	}
	// Half of each, and more of one where the other has fewer.
	behind := min(len(older.Events), max(f.Limit/2, f.Limit-len(newer.Events)))
	ahead := min(len(newer.Events), f.Limit-behind)
	slices.Reverse(newer.Events[:ahead])
	return append(newer.Events[:ahead:ahead], older.Events[:behind]...), nil
}
