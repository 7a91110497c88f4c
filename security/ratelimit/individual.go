package ratelimit

import (
	"sync"
	"time"
)

// DefaultMaxIndividuals takes some 25 MB when all of it is used.
const DefaultMaxIndividuals = 1 << 16

// settled is how long nobody may have asked for a bucket before it is forgotten:
// far longer than a request holds one, so that none is counted in a bucket that
// is gone.
const settled = int64(time.Minute)

// Individual holds buckets that each have a limit of their own, as a Limiter holds
// many of one limit. It is safe for concurrent use.
type Individual struct {
	clock *Limiter // without buckets

	mu     sync.Mutex
	owners map[string]*owner
	room   int
}

// owner is one bucket, and when it was asked for last.
type owner struct {
	shard *shard
	asked int64
}

// NewIndividual returns one with all buckets full. MaxKeys is
// DefaultMaxIndividuals when 0. Where there is no room, the key of a sample that
// was silent the longest is forgotten: fails open because what bounds everybody
// counts its requests too.
func NewIndividual(o Options) *Individual {
	if o.MaxKeys <= 0 {
		o.MaxKeys = DefaultMaxIndividuals
	}
	return &Individual{clock: &Limiter{elapsed: stopwatch(o.Now)}, owners: map[string]*owner{}, room: o.MaxKeys}
}

// Bucket is that of a key, by its id. A limit that is another than before is in
// force from now on, and a debt keeps its meaning in time, as with SetLimit.
func (in *Individual) Bucket(id string, limit Limit) Bucket {
	r, ns := newRule(limit), in.clock.clock()
	in.mu.Lock()
	defer in.mu.Unlock()
	found, known := in.owners[id]
	if !known {
		if len(in.owners) >= in.room {
			in.forget()
		}
		found = &owner{shard: &shard{rule: r, arrivals: map[uint64]int64{}, room: 1, order: created.Add(1) * shardCount}}
		in.owners[id] = found
	}
	found.asked = ns
	found.shard.mu.Lock()
	changed := found.shard.rule.limit != r.limit
	found.shard.mu.Unlock()
	if changed {
		found.shard.setRule(r, ns)
	}
	return Bucket{shard: found.shard, limiter: in.clock}
}

// Peek tells what a key's bucket holds, and counts nothing. It reports false for a
// key that was not asked for lately, whose bucket is full.
func (in *Individual) Peek(id string) (Decision, bool) {
	in.mu.Lock()
	found, known := in.owners[id]
	in.mu.Unlock()
	if !known {
		return Decision{}, false
	}
	return found.shard.peek(0, in.clock.clock()), true
}

// Sweep forgets the keys whose bucket is full and that nobody asked for in the
// last minute. To be called now and then.
func (in *Individual) Sweep() {
	ns := in.clock.clock()
	in.mu.Lock()
	defer in.mu.Unlock()
	for id, o := range in.owners {
		if d := o.shard.peek(0, ns); ns-o.asked >= settled && d.Remaining == d.Limit {
			delete(in.owners, id)
		}
	}
}

// forget makes room for one. The iteration over a map begins at a random place, so
// nobody chooses who is looked at.
func (in *Individual) forget() {
	var silent string
	var asked int64
	looked := 0
	for id, o := range in.owners {
		if looked == 0 || o.asked < asked {
			silent, asked = id, o.asked
		}
		if looked++; looked == samples {
			break
		}
	}
	delete(in.owners, silent)
}
