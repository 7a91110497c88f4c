// Package merkle grows the tree of RFC 6962 §2.1 a leaf at a time and keeps its
// hashes as the tiles of C2SP tlog-tiles: of each tile row 256 hashes, those of
// the row above are the roots of whole tiles below. The hashes themselves and the
// proofs are those of golang.org/x/mod/sumdb/tlog. Nothing here does I/O.
package merkle

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a SHA-256.
type Hash = tlog.Hash

const (
	// Height is how many levels of the tree a tile spans.
	Height = 8
	// Width is how many hashes a full tile holds.
	Width = 1 << Height
)

// Leaf is the hash of a leaf with this data, under a prefix of its own so that no
// leaf passes for a node (RFC 6962 §2.1).
func Leaf(data []byte) Hash { return tlog.RecordHash(data) }

// Tile is a run of hashes: the N-th of its level, from the left. One that is not
// full is the last of its level.
type Tile struct {
	Level  int
	N      int64
	Hashes []byte // one after the other
}

// Range is the tree over the leaves so far in its smallest form: the roots of the
// full subtrees that they split into, largest first. Its zero value is empty.
type Range struct {
	size  int64
	roots []Hash
}

// Size is how many leaves there are.
func (r *Range) Size() int64 { return r.size }

// Append adds a leaf.
func (r *Range) Append(leaf Hash) { r.push(0, leaf) }

// AppendSubtree adds the root of a full subtree over 1<<height leaves. It refuses
// one that cannot stand at this place.
func (r *Range) AppendSubtree(height int, root Hash) error {
	if height < 0 || height > 62 || r.size&(1<<height-1) != 0 {
		return fmt.Errorf("merkle: no subtree of height %d begins at %d", height, r.size)
	}
	r.push(height, root)
	return nil
}

// push joins the roots of equal height on the right, as a counter carries.
func (r *Range) push(height int, root Hash) {
	for carry := r.size >> height; carry&1 == 1; carry >>= 1 {
		last := len(r.roots) - 1
		root = tlog.NodeHash(r.roots[last], root)
		r.roots = r.roots[:last]
	}
	r.roots = append(r.roots, root)
	r.size += 1 << height
}

// Root is the hash of the whole tree. That of an empty one is the hash of
// nothing.
func (r *Range) Root() Hash {
	if len(r.roots) == 0 {
		empty, err := tlog.TreeHash(0, nil)
		if err != nil { // never of no leaves
			panic(err)
		}
		return empty
	}
	root := r.roots[len(r.roots)-1]
	for i := len(r.roots) - 2; i >= 0; i-- {
		root = tlog.NodeHash(r.roots[i], root)
	}
	return root
}

// Subtree is a full one: it begins at leaf Index<<Height.
type Subtree struct {
	Height int
	Index  int64
}

// Cover lists the fewest full subtrees over the leaves from begin up to end, from
// the left. Appended in this order they lead from a Range of size begin to one of
// size end.
func Cover(begin, end int64) []Subtree {
	var covered []Subtree
	for begin < end {
		height := bits.Len64(uint64(end-begin)) - 1
		if begin > 0 {
			height = min(height, bits.TrailingZeros64(uint64(begin)))
		}
		covered = append(covered, Subtree{Height: height, Index: begin >> height})
		begin += 1 << height
	}
	return covered
}

// Edge is the right edge of a tree, from which it grows. It is not safe for
// concurrent use.
type Edge struct {
	Range
	levels [][]Hash // of the last tile of each level, less than Width
	full   []Tile   // those that became full
	from   int64    // the size that it began with
}

// LoadEdge builds the edge of a tree of that size; read returns the first width
// hashes of a tile.
func LoadEdge(size int64, read func(level int, n int64, width int) ([]byte, error)) (*Edge, error) {
	e := &Edge{from: size}
	for level := 0; size>>(Height*level) > 0; level++ {
		count := size >> (Height * level)
		width := int(count % Width)
		var hashes []Hash
		if width > 0 {
			raw, err := read(level, count/Width, width)
			if err != nil {
				return nil, err
			}
			if hashes, err = Split(raw); err != nil || len(hashes) != width {
				return nil, fmt.Errorf("merkle: tile %d of level %d does not hold %d hashes", count/Width, level, width)
			}
		}
		e.levels = append(e.levels, hashes)
	}
	for level := len(e.levels) - 1; level >= 0; level-- {
		for _, hash := range e.levels[level] {
			e.push(Height*level, hash)
		}
	}
	return e, nil
}

// Append adds a leaf.
func (e *Edge) Append(leaf Hash) {
	e.Range.Append(leaf)
	hash := leaf
	for level := 0; ; level++ {
		if level == len(e.levels) {
			e.levels = append(e.levels, nil)
		}
		e.levels[level] = append(e.levels[level], hash)
		if len(e.levels[level]) < Width {
			return
		}
		n := e.size>>(Height*(level+1)) - 1
		e.full = append(e.full, Tile{Level: level, N: n, Hashes: Join(e.levels[level])})
		hash = Fold(e.levels[level])
		e.levels[level] = nil
	}
}

// Changed is every tile that is new or longer since the edge was loaded or
// Changed was called, in no order.
func (e *Edge) Changed() []Tile {
	changed := e.full
	for level, hashes := range e.levels {
		if len(hashes) > 0 && e.size>>(Height*level) != e.from>>(Height*level) {
			changed = append(changed, Tile{Level: level, N: e.size >> (Height * (level + 1)), Hashes: Join(hashes)})
		}
	}
	e.full, e.from = nil, e.size
	return changed
}

// Fold is the root of a full subtree over its hashes, of which there are a power
// of two. It works in a copy.
func Fold(hashes []Hash) Hash {
	work := append([]Hash(nil), hashes...)
	for len(work) > 1 {
		for i := range len(work) / 2 {
			work[i] = tlog.NodeHash(work[2*i], work[2*i+1])
		}
		work = work[:len(work)/2]
	}
	return work[0]
}

// Join writes hashes one after the other.
func Join(hashes []Hash) []byte {
	joined := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, hash := range hashes {
		joined = append(joined, hash[:]...)
	}
	return joined
}

// Split is what Join has joined, or an error when it is no whole number of
// hashes.
func Split(joined []byte) ([]Hash, error) {
	if len(joined)%tlog.HashSize != 0 {
		return nil, fmt.Errorf("merkle: %d bytes are no whole number of hashes", len(joined))
	}
	hashes := make([]Hash, len(joined)/tlog.HashSize)
	for i := range hashes {
		copy(hashes[i][:], joined[i*tlog.HashSize:])
	}
	return hashes, nil
}
