package ipblock

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gaissmai/bart"
)

// Table is the blocks in memory, found by the address that asks: a few steps
// down a tree, however many there are. It is safe for concurrent use, and who
// looks something up waits for nobody.
type Table struct {
	current atomic.Pointer[bart.Table[*Block]] // never changed, only exchanged
}

// NewTable returns an empty Table.
func NewTable() *Table {
	t := new(Table)
	t.current.Store(new(bart.Table[*Block]))
	return t
}

// Replace puts blocks in the place of all that were there before. Of two of one
// network, the later expiry counts.
func (t *Table) Replace(blocks []Block) {
	next := new(bart.Table[*Block])
	for _, b := range blocks {
		if known, ok := next.Get(b.Network); !ok || known.ExpiresAt.Before(b.ExpiresAt) {
			next.Insert(b.Network, &b)
		}
	}
	t.current.Store(next)
}

// Find returns the block of the narrowest network that holds the address and is
// in force. It takes an address in every form: IPv4 written as IPv6 is IPv4, and
// a zone does not matter.
func (t *Table) Find(ip netip.Addr, now time.Time) (Block, bool) {
	table := t.current.Load()
	if ip = ip.Unmap(); ip.Is6() {
		ip = ip.WithZone("") // only a prefix without one is valid
	}
	found, ok := table.Lookup(ip)
	for ok {
		if found.InForce(now) {
			return *found, true
		}
		// A narrow block that has expired does not lift the wider one around it.
		wider := found.Network.Bits() - 1
		if wider < 0 {
			break
		}
		found, ok = table.LookupPrefix(netip.PrefixFrom(ip, wider))
	}
	return Block{}, false
}
