// Package ratelimit counts requests by address, account and API key, and says
// which are too many.
//
// A key has a token bucket, kept in its virtual-scheduling form: GCRA, annex A
// of ITU-T I.371. Instead of tokens and the time of their last refill there is
// one number, the moment at which the bucket is full again (the "theoretical
// arrival time"). A request costs Window/MaxRequests of it and passes when the
// bucket, MaxRequests+Burst of these deep, is not exceeded. Nothing has to run
// for a bucket to refill, and a refused request costs nothing.
//
// State is in memory alone and gone with the process. A key is held as 64 bits
// of a hash with a random seed: an attacker cannot aim at the bucket of another,
// and that any two of 10⁶ keys meet has a chance of 3·10⁻⁸ (n²/2⁶⁵).
package ratelimit

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultMaxKeys takes some 40 MB when all of it is used.
const DefaultMaxKeys = 1 << 20

const shardCount = 64

// Options are what a Limiter takes from outside.
type Options struct {
	// Now is the clock. Its monotonic reading is used when there is one, and is
	// all that is read when Now is nil, at half the price of time.Now. A clock
	// that is set back forgives nothing; a key that was seen may have to wait as
	// if its bucket were empty, Window/MaxRequests until its next request and never
	// longer. One set forward refills, as time does.
	Now func() time.Time
	// MaxKeys is how many keys are kept, DefaultMaxKeys when 0; it is rounded up
	// to a multiple of 64, and the keys are spread over 64 parts by their hash,
	// each of which can be full alone.
	//
	// When one is, a newcomer takes the place of a key that has a full bucket or
	// is short of one request, but never of one whose next request would be
	// refused. If it finds none, it shares one bucket with the other newcomers of
	// its part: a flood then neither passes unlimited, nor forgets who is being
	// refused, nor shuts out everybody who is new.
	MaxKeys int
}

// Limiter holds the buckets of one class of requests. It is safe for concurrent
// use.
type Limiter struct {
	elapsed func() time.Duration // since New
	// The kinds of keys are hashed with a seed each, so that equal text of two
	// kinds is two keys.
	ips, users, keys maphash.Seed
	shards           [shardCount]shard

	// upkeep is held by SetLimit and Sweep, each of which goes through all.
	upkeep sync.Mutex
}

// created numbers the limiters of the process, for the order of their locks.
var created atomic.Uint64

// New returns a limiter with all buckets full.
func New(limit Limit, o Options) *Limiter {
	if o.MaxKeys <= 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	l := &Limiter{
		elapsed: stopwatch(o.Now),
		ips:     maphash.MakeSeed(), users: maphash.MakeSeed(), keys: maphash.MakeSeed(),
	}
	r, number := newRule(limit), created.Add(1)
	for i := range l.shards {
		s := &l.shards[i]
		s.rule, s.arrivals = r, map[uint64]int64{}
		s.room = (o.MaxKeys + shardCount - 1) / shardCount
		s.order = number*shardCount + uint64(i)
	}
	return l
}

// The clock starts well above zero, so that one set back does not fall below,
// and ends where a debt can still be added to it.
const (
	clockStart = 1 << 61 // 73 years
	clockSpan  = 1 << 60 // 36 years either way; beyond, it stands
)

// stopwatch returns the time since its call, by a clock or that of the machine.
func stopwatch(now func() time.Time) func() time.Duration {
	if now != nil {
		start := now()
		return func() time.Duration { return now().Sub(start) }
	}
	now, since := time.Now, time.Since
	start := now()
	return func() time.Duration { return since(start) }
}

// clock returns the time in nanoseconds.
func (l *Limiter) clock() int64 {
	return clockStart + min(max(int64(l.elapsed()), -clockSpan), clockSpan)
}

// SetLimit changes the limit of a running limiter. A debt keeps its meaning in
// time: each bucket is full at the moment at which it would have been, or when
// an empty one would, if that is earlier. Requests in parallel are judged by the
// one limit or the other, and wait while a shard of their keys is converted:
// 16,384 of them at most by default, about a millisecond.
func (l *Limiter) SetLimit(limit Limit) {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	r := newRule(limit)
	for i := range l.shards {
		l.shards[i].setRule(r, l.clock())
	}
}

// Sweep forgets the keys whose bucket is full and gives their memory back. It
// holds up a request for some tens of microseconds, and once at the end of a
// flood for the time that a copy of some thousand keys takes. To be called now
// and then; without it nothing is wrong, but memory stays in use.
func (l *Limiter) Sweep() {
	l.upkeep.Lock()
	defer l.upkeep.Unlock()
	for i := range l.shards {
		l.shards[i].sweep(l.clock)
	}
}

// Len returns how many keys are kept.
func (l *Limiter) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.arrivals)
		s.mu.Unlock()
	}
	return n
}
