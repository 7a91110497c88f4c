package ratelimit

import (
	"maps"
	"runtime"
	"sync"
)

// samples is how many keys of a full shard are looked at to find one that may
// be forgotten. When a fifth of them may, 32 miss it once in a thousand times.
const samples = 32

// stride is how many keys Sweep looks at before it lets others in: some ten
// microseconds.
const stride = 512

// shard holds the buckets of the keys whose hash ends alike.
type shard struct {
	mu   sync.Mutex
	rule *rule
	// arrivals has, by hash of the key, the theoretical arrival time of GCRA in
	// ticks: the moment at which the bucket is full. Keys that are not in it
	// have a full bucket.
	arrivals map[uint64]int64
	// overflow is the arrival time of the bucket that newcomers share when there
	// is no room.
	overflow int64
	room     int    // the most keys
	peak     int    // the most keys since arrivals was made, as Sweep saw it
	order    uint64 // in which All locks; no two shards have the same

	_ [64]byte // keeps the neighbour's lock out of the same cache line
}

// find returns the arrival time that judges a key, and whether the key has no
// room of its own and shares the overflow bucket. With clear it forgets another
// key, if one may be, to make the room.
func (s *shard) find(hash uint64, now int64, clear bool) (arrival int64, shared bool) {
	arrival, known := s.arrivals[hash]
	if known || len(s.arrivals) < s.room {
		return arrival, false // the 0 of an unknown key is long over
	}
	victim, ok := s.victim(now)
	if !ok {
		return s.overflow, true
	}
	if clear {
		delete(s.arrivals, victim)
	}
	return 0, false
}

// keep stores the arrival time of a key where find has found it.
func (s *shard) keep(hash uint64, shared bool, arrival int64) {
	if shared {
		s.overflow = arrival
	} else {
		s.arrivals[hash] = arrival
	}
}

// check judges a request at ns and counts it when it passes.
func (s *shard) check(hash uint64, ns int64) Decision {
	s.mu.Lock()
	r := s.rule
	now := r.ticks(ns)
	arrival, shared := s.find(hash, now, true)
	debt := r.debt(arrival, now)
	allowed := r.passes(debt)
	if allowed {
		debt += r.cost
	}
	// A refusal changes nothing, unless the clock was set back: then an arrival
	// too far ahead is brought to where an empty bucket has it.
	if allowed || arrival > now+debt {
		s.keep(hash, shared, now+debt)
	}
	s.mu.Unlock()
	return r.decision(allowed, debt, now, ns)
}

// peek tells what check would judge, and counts nothing.
func (s *shard) peek(hash uint64, ns int64) Decision {
	s.mu.Lock()
	r := s.rule
	now := r.ticks(ns)
	arrival, _ := s.find(hash, now, false)
	s.mu.Unlock()
	debt := r.debt(arrival, now)
	return r.decision(r.passes(debt), debt, now, ns)
}

// reset fills the bucket of a key and reports whether it was short of full.
func (s *shard) reset(hash uint64, ns int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	arrival := s.arrivals[hash]
	delete(s.arrivals, hash)
	return arrival > s.rule.ticks(ns)
}

// setRule changes the limit. Every bucket is full again at the moment at which
// it would have been, or at the latest when an empty one is.
func (s *shard) setRule(r *rule, ns int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, was := s.rule, s.rule.ticks(ns)
	now := r.ticks(ns)
	convert := func(arrival int64) int64 {
		debt := before.debt(arrival, was)
		if debt == 0 {
			return 0
		}
		full := before.time(was + debt)
		ticks := r.ticks(full)
		if r.time(ticks) < full {
			ticks++ // no change of the limit forgives a part of a tick
		}
		return min(ticks, now+r.full)
	}
	for hash, arrival := range s.arrivals {
		if arrival = convert(arrival); arrival == 0 {
			delete(s.arrivals, hash)
		} else {
			s.arrivals[hash] = arrival
		}
	}
	s.overflow = convert(s.overflow)
	s.rule = r
}

// sweep forgets the keys whose bucket is full, and lets others in between steps.
// Two sweeps of a shard must not overlap.
func (s *shard) sweep(clock func() int64) {
	ns := clock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.peak = max(s.peak, len(s.arrivals))
	now := s.rule.ticks(ns)
	looked := 0
	// The lock is let go only within the body. What others write meanwhile is
	// then an ordinary change of a map during its iteration.
	for hash, arrival := range s.arrivals {
		if arrival <= now {
			delete(s.arrivals, hash)
		}
		if looked++; looked%stride == 0 {
			s.mu.Unlock()
			runtime.Gosched()
			ns = clock()
			s.mu.Lock()
			now = s.rule.ticks(ns) // the limit may have changed
		}
	}
	// A map never shrinks: a fresh one gives back what a flood has taken. The
	// copy is of a quarter of a shard at most.
	if s.peak > stride && len(s.arrivals) < s.peak/4 {
		s.peak = len(s.arrivals)
		s.arrivals = maps.Collect(maps.All(s.arrivals))
	}
}

// victim looks for a key that may be forgotten: one with a full bucket, else
// the one of the sample that owes least, if that is trivial. The iteration over
// a map begins at a random place, so an attacker cannot choose who is looked at.
func (s *shard) victim(now int64) (hash uint64, ok bool) {
	least, looked := s.rule.trivial()+1, 0
	for key, arrival := range s.arrivals {
		if debt := s.rule.debt(arrival, now); debt < least {
			hash, least, ok = key, debt, true
		}
		if looked++; least == 0 || looked == samples {
			break
		}
	}
	return hash, ok
}
