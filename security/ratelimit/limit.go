package ratelimit

import (
	"math"
	"math/bits"
	"time"
)

// The bounds of a Limit. What lies outside is taken as the nearest bound; it is
// the policy that refuses such a value to an admin.
const (
	MinRequests = 1
	MaxRequests = 1_000_000
	MinWindow   = time.Second
	MaxWindow   = 24 * time.Hour
	MaxBurst    = 1_000_000
)

// Limit is one class of requests: so many in each window, evenly refilled, and
// a burst beyond.
type Limit struct {
	MaxRequests int64
	Burst       int64
	Window      time.Duration
}

// Decision is the answer to one request, and what its headers say.
type Decision struct {
	Allowed bool
	// Limit is the capacity of the bucket, requests of the window and burst
	// together: the most that Remaining can be, so that the two headers agree.
	Limit int64
	// Remaining is how many whole requests would pass now.
	Remaining int64
	// ResetAfter is the time until the bucket is full again. It ends at some
	// 290 years, which only 10⁶ of burst at a request a day exceed.
	ResetAfter time.Duration
	// RetryAfter is the shortest wait until a request passes, to the nanosecond;
	// zero when this one was allowed.
	RetryAfter time.Duration
}

// Tighter reports whether d leaves less than another.
func (d Decision) Tighter(than Decision) bool {
	if d.Allowed != than.Allowed {
		return !d.Allowed
	}
	if d.RetryAfter != than.RetryAfter {
		return d.RetryAfter > than.RetryAfter
	}
	return d.Remaining < than.Remaining
}

// rule is a Limit in the units of the state. A clock of ticks runs so that a
// window has a whole number of them and a request costs a whole number: nothing
// is rounded but the reading of the clock, and that is the same at the start of
// a window as at its end. A tick is a nanosecond when the window divides evenly,
// else up to 0.1% longer, and some 40 ns for the largest burst at the slowest
// refill, whose debts would not fit otherwise.
type rule struct {
	limit    Limit
	capacity int64 // requests
	cost     int64 // ticks a request
	full     int64 // ticks of debt that empty the bucket: capacity × cost, at most 2⁶¹
	turn     int64 // ticks a window: MaxRequests × cost, at most Window
}

func newRule(limit Limit) *rule {
	limit.MaxRequests = min(max(limit.MaxRequests, MinRequests), MaxRequests)
	limit.Burst = min(max(limit.Burst, 0), MaxBurst)
	limit.Window = min(max(limit.Window, MinWindow), MaxWindow)
	r := &rule{limit: limit, capacity: limit.MaxRequests + limit.Burst}
	r.cost = min(int64(limit.Window)/limit.MaxRequests, 1<<61/r.capacity)
	r.full = r.capacity * r.cost
	r.turn = limit.MaxRequests * r.cost
	return r
}

// ticks reads the clock: how many whole ticks are over at ns ≥ 0.
func (r *rule) ticks(ns int64) int64 {
	if r.turn == int64(r.limit.Window) {
		return ns
	}
	hi, lo := bits.Mul64(uint64(ns), uint64(r.turn))
	// A tick is no shorter than a nanosecond, so the quotient is at most ns.
	quotient, _ := bits.Div64(hi, lo, uint64(r.limit.Window))
	return int64(quotient)
}

// time returns the first nanosecond at which so many ticks ≥ 0 are over, or the
// largest number when it is beyond.
func (r *rule) time(ticks int64) int64 {
	if r.turn == int64(r.limit.Window) {
		return ticks
	}
	hi, lo := bits.Mul64(uint64(ticks), uint64(r.limit.Window))
	lo, carry := bits.Add64(lo, uint64(r.turn-1), 0)
	if hi += carry; hi >= uint64(r.turn) {
		return math.MaxInt64
	}
	quotient, _ := bits.Div64(hi, lo, uint64(r.turn))
	return int64(min(quotient, math.MaxInt64))
}

// debt returns by how much the bucket is short of full, between 0 and r.full.
// The upper bound matters where the clock or the limit has changed: an empty
// bucket is the worst that either can do to anybody.
func (r *rule) debt(arrival, now int64) int64 {
	return min(max(arrival-now, 0), r.full)
}

// passes reports whether a bucket with this debt has a request left.
func (r *rule) passes(debt int64) bool { return debt+r.cost <= r.full }

// trivial is the debt up to which a bucket may be forgotten for want of room:
// that of one request, unless this one has emptied it.
func (r *rule) trivial() int64 { return min(r.cost, r.full-r.cost) }

// decision describes a bucket with this debt at a time given in both units.
func (r *rule) decision(allowed bool, debt, now, ns int64) Decision {
	d := Decision{
		Allowed:    allowed,
		Limit:      r.capacity,
		Remaining:  (r.full - debt) / r.cost,
		ResetAfter: time.Duration(r.time(now+debt) - ns),
	}
	// When nothing is owed, the tick that began before now is no wait.
	d.ResetAfter = max(d.ResetAfter, 0)
	if !allowed {
		d.RetryAfter = time.Duration(r.time(now+debt+r.cost-r.full) - ns)
	}
	return d
}
