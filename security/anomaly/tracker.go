package anomaly

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// DefaultLimit is how many addresses, and how many accounts, a Tracker follows.
// As the hashing of passwords lets some tens of attempts through in a second, it
// is most of what can fail in the ten minutes of a window.
const DefaultLimit = 16_384

// membersPerEntry bounds what the entries of a table remember together. Most
// remember one thing, those that matter as many as the threshold. With it and
// DefaultLimit one entry has room for the highest threshold that the policy takes.
const membersPerEntry = 8

// sample is how many entries are looked at to find one to forget. That all of
// them are suspicious takes a table that is full of suspicious ones.
const sample = 8

// Tracker follows failed sign-ins and says when a rule is broken, once in a
// window, so that one event is written and not thousands. What it keeps of each
// is a count in slots of a sixteenth of the window and hashes of the distinct
// others, no more of them than the threshold. When a table is full, who has done
// least is forgotten. It is safe for concurrent use.
type Tracker struct {
	limit      int
	thresholds func() Thresholds
	seed       maphash.Seed // nobody can choose names that collide

	mu        sync.Mutex
	window    time.Duration // that the entries are of
	addresses table
	accounts  table
}

// NewTracker follows up to limit addresses and as many accounts. thresholds is
// asked at each failure, so that a change of the policy counts at once; a change
// of the window starts the counts over. It is not called under a lock.
func NewTracker(limit int, thresholds func() Thresholds) *Tracker {
	return &Tracker{limit: max(limit, 1), thresholds: thresholds, seed: maphash.MakeSeed()}
}

// Failed takes in one failure and returns the rules that it breaks. It agrees
// with Failures over everything so far, but for three things: a rule is silent
// about the same address or account until a window after it spoke; failures
// leave the count up to a sixteenth of the window early, never late; and what was
// forgotten for want of room begins anew.
func (t *Tracker) Failed(ip netip.Addr, account string, now time.Time) []Finding {
	return t.note(ip, account, now, true)
}

// Refused takes in an attempt whose password was not looked at. It is no
// failure, and counts for the rules about who tries what: a limit that refuses
// an address early must not hide that it tries many accounts.
func (t *Tracker) Refused(ip netip.Addr, account string, now time.Time) []Finding {
	return t.note(ip, account, now, false)
}

func (t *Tracker) note(ip netip.Addr, account string, now time.Time, failed bool) []Finding {
	network := NetworkOf(ip)
	if !network.IsValid() {
		return nil
	}
	thresholds := t.thresholds()
	address, name := maphash.Comparable(t.seed, network), maphash.String(t.seed, account)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.window != thresholds.Window || t.addresses.entries == nil {
		t.window = thresholds.Window
		t.addresses, t.accounts = newTable(t.limit), newTable(t.limit)
	}
	e := t.addresses.entry(address, now, t.window, func(e *entry) float64 {
		return max(share(len(e.members), thresholds.SprayAccounts), share(e.failures(), thresholds.AddressFailures))
	})
	e.advance(now, t.window)
	if failed {
		e.count(now, t.window)
	}
	if account != "" {
		t.addresses.meet(e, name, now, thresholds.SprayAccounts)
	}
	found := e.unlessSilent(judgeAddress(network, len(e.members), e.failures(), thresholds), now, t.window)
	if account == "" {
		return found
	}
	e = t.accounts.entry(name, now, t.window, func(e *entry) float64 { return float64(len(e.members)) })
	t.accounts.meet(e, address, now, DistributedNetworks)
	return append(found, e.unlessSilent(judgeAccount(account, len(e.members), thresholds), now, t.window)...)
}

// Unsaid takes findings back that could not be recorded: the rules speak again
// at the next occasion.
func (t *Tracker) Unsaid(found []Finding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range found {
		e := t.accounts.entries[maphash.String(t.seed, f.Account)]
		if f.Account == "" {
			e = t.addresses.entries[maphash.Comparable(t.seed, f.Network)]
		}
		if e != nil {
			delete(e.spoke, f.Rule)
		}
	}
}

// Len is the number of addresses and of accounts that are followed.
func (t *Tracker) Len() (addresses, accounts int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.addresses.entries), len(t.accounts.entries)
}

func share(n, of int) float64 { return float64(n) / float64(max(of, 1)) }

const slots = 16

// entry is one address or account.
type entry struct {
	members []member // the distinct others, the one seen last at the end
	counts  [slots]uint32
	slot    int64                // of the newest count
	spoke   map[string]time.Time // by rule; nil for nearly all
	seen    int64                // microseconds
}

type member struct {
	hash uint64
	at   int64 // microseconds
}

// count adds one failure to the slot of now and empties those that have gone by
// since.
func (e *entry) count(now time.Time, window time.Duration) {
	e.advance(now, window)
	e.counts[e.slot%slots]++
}

func (e *entry) advance(now time.Time, window time.Duration) {
	slot := now.UnixMicro() / max(window.Microseconds()/slots, 1)
	if slot < e.slot-slots { // the clock was set back far: what was counted is of no time that comes
		e.counts, e.slot = [slots]uint32{}, slot
	}
	for range min(max(slot-e.slot, 0), slots) {
		e.slot++
		e.counts[e.slot%slots] = 0
	}
	e.slot = max(e.slot, slot)
}

func (e *entry) failures() (n int) {
	for _, c := range e.counts {
		n += int(c)
	}
	return n
}

// unlessSilent drops the findings of rules that spoke within the window.
func (e *entry) unlessSilent(found []Finding, now time.Time, window time.Duration) []Finding {
	return slices.DeleteFunc(found, func(f Finding) bool {
		if last, ok := e.spoke[f.Rule]; ok && now.Before(last.Add(window)) {
			return true
		}
		if e.spoke == nil {
			e.spoke = make(map[string]time.Time)
		}
		e.spoke[f.Rule] = now
		return false
	})
}

// table is entries by their hash.
type table struct {
	limit   int
	entries map[uint64]*entry
	members int // of all
}

func newTable(limit int) table { return table{limit: limit, entries: make(map[uint64]*entry)} }

// entry finds or begins an entry, and makes room first when there is none.
func (t *table) entry(key uint64, now time.Time, window time.Duration, suspicion func(*entry) float64) *entry {
	for t.members >= t.limit*membersPerEntry {
		t.forget(now, window, suspicion)
	}
	e := t.entries[key]
	if e == nil {
		if len(t.entries) >= t.limit {
			t.forget(now, window, suspicion)
		}
		e = new(entry)
		t.entries[key] = e
	}
	e.seen = now.UnixMicro()
	t.expire(e, now, window)
	return e
}

// expire drops the members that were last seen before the window.
func (t *table) expire(e *entry, now time.Time, window time.Duration) {
	from := now.Add(-window).UnixMicro()
	old := 0
	for old < len(e.members) && e.members[old].at <= from {
		old++
	}
	e.members = slices.Delete(e.members, 0, old)
	t.members -= old
}

// meet notes that the entry had to do with a member. Beyond most the one that was
// seen last longest ago makes room: those that are left show as much.
func (t *table) meet(e *entry, hash uint64, now time.Time, most int) {
	before := len(e.members)
	if known := slices.IndexFunc(e.members, func(m member) bool { return m.hash == hash }); known >= 0 {
		e.members = slices.Delete(e.members, known, known+1)
	}
	// The threshold may have been lowered since.
	e.members = slices.Delete(e.members, 0, max(len(e.members)-max(most, 1)+1, 0))
	e.members = append(e.members, member{hash, now.UnixMicro()})
	t.members += len(e.members) - before
}

// forget drops one entry: of some, the one that has done least in its window, of
// the same the one that has not been seen for longest. To look at all would find
// a better one, and hold everybody up.
func (t *table) forget(now time.Time, window time.Duration, suspicion func(*entry) float64) {
	var worst uint64
	var least float64
	var seen int64
	looked := 0
	for key, e := range t.entries { // from a random place on
		t.expire(e, now, window)
		e.advance(now, window)
		if score := suspicion(e); looked == 0 || score < least || score == least && e.seen < seen {
			worst, least, seen = key, score, e.seen
		}
		if looked++; looked == sample {
			break
		}
	}
	t.members -= len(t.entries[worst].members)
	delete(t.entries, worst)
}
