package ratelimit

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
)

// Bucket names the bucket of one key in a limiter, for All.
type Bucket struct {
	shard   *shard
	limiter *Limiter
	hash    uint64
}

func (l *Limiter) bucket(hash uint64) Bucket {
	return Bucket{&l.shards[hash%shardCount], l, hash}
}

// IP is the bucket of a client's address: an IPv4 address whole, also when it is
// written as IPv6; of an IPv6 address the first 64 bits, since a customer has at
// least that many addresses to choose from. A zone is dropped. All addresses
// that are none share one bucket.
func (l *Limiter) IP(ip netip.Addr) Bucket {
	buffer, n := canonical(ip)
	return l.bucket(maphash.Bytes(l.ips, buffer[:n]))
}

// User is the bucket of an account, by its id or whatever names it.
func (l *Limiter) User(id string) Bucket { return l.bucket(maphash.String(l.users, id)) }

// Key is the bucket of an API key, by its id.
func (l *Limiter) Key(id string) Bucket { return l.bucket(maphash.String(l.keys, id)) }

// canonical returns what of an address is counted, in the first n bytes: four,
// eight or none, which keeps the families apart.
func canonical(ip netip.Addr) (b [8]byte, n int) {
	switch ip = ip.Unmap(); {
	case ip.Is4():
		four := ip.As4()
		return b, copy(b[:], four[:])
	case ip.Is6():
		sixteen := ip.As16()
		return b, copy(b[:], sixteen[:8])
	}
	return b, 0
}

func (b Bucket) check() Decision { return b.shard.check(b.hash, b.limiter.clock()) }
func (b Bucket) peek() Decision  { return b.shard.peek(b.hash, b.limiter.clock()) }
func (b Bucket) reset() bool     { return b.shard.reset(b.hash, b.limiter.clock()) }

// CheckIP judges a request, and counts it when it passes; so do CheckUser and
// CheckKey.
func (l *Limiter) CheckIP(ip netip.Addr) Decision { return l.IP(ip).check() }
func (l *Limiter) CheckUser(id string) Decision   { return l.User(id).check() }
func (l *Limiter) CheckKey(id string) Decision    { return l.Key(id).check() }

// PeekIP tells what CheckIP would answer and how many remain before it, without
// counting anything; so do PeekUser and PeekKey.
func (l *Limiter) PeekIP(ip netip.Addr) Decision { return l.IP(ip).peek() }
func (l *Limiter) PeekUser(id string) Decision   { return l.User(id).peek() }
func (l *Limiter) PeekKey(id string) Decision    { return l.Key(id).peek() }

// RemainingIP returns how many requests would pass now; so do RemainingUser and
// RemainingKey.
func (l *Limiter) RemainingIP(ip netip.Addr) int64 { return l.IP(ip).peek().Remaining }
func (l *Limiter) RemainingUser(id string) int64   { return l.User(id).peek().Remaining }
func (l *Limiter) RemainingKey(id string) int64    { return l.Key(id).peek().Remaining }

// ResetIP makes the bucket full and reports whether it was not; so do ResetUser
// and ResetKey. The bucket that newcomers share in an overload is nobody's, and
// stays.
func (l *Limiter) ResetIP(ip netip.Addr) bool { return l.IP(ip).reset() }
func (l *Limiter) ResetUser(id string) bool   { return l.User(id).reset() }
func (l *Limiter) ResetKey(id string) bool    { return l.Key(id).reset() }

// All judges one request by several buckets, of one limiter or of many: it
// counts in every one of them when all let it pass, and in none when one does
// not. The decisions come in the order of the buckets; where allowed is false,
// those of the buckets that would have let it pass have Allowed and show what
// they hold, unspent. A bucket that is named twice is charged twice.
//
// All is exact in parallel: it holds the locks of the buckets from the first
// look to the last change, taken in one order by everybody.
func All(buckets ...Bucket) (allowed bool, decisions []Decision) {
	// Clocks first: the code behind Now must not run under a lock.
	claims := make([]claim, len(buckets))
	shards := make([]*shard, len(buckets))
	for i, b := range buckets {
		same := func(e claim) bool { return e.limiter == b.limiter }
		claims[i] = claim{Bucket: b}
		if j := slices.IndexFunc(claims[:i], same); j >= 0 {
			claims[i].ns = claims[j].ns
		} else {
			claims[i].ns = b.limiter.clock()
		}
		shards[i] = b.shard
	}
	slices.SortFunc(shards, func(a, b *shard) int { return cmp.Compare(a.order, b.order) })
	for _, s := range slices.Compact(shards) {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	allowed = true
	for i := range claims {
		c := &claims[i]
		c.look(claims[:i])
		allowed = allowed && c.passes
	}
	decisions = make([]Decision, len(claims))
	for i := range claims {
		decisions[i] = claims[i].settle(allowed)
	}
	return allowed, decisions
}

// claim is one request on one bucket, on its way through All.
type claim struct {
	Bucket
	ns, now int64 // the same for all claims on one limiter
	arrival int64 // as it was found
	debt    int64 // with what earlier claims cost, without this one
	shared  bool
	passes  bool
}

// look judges the claim, given the earlier ones of the same request.
func (c *claim) look(earlier []claim) {
	r := c.shard.rule
	c.now = r.ticks(c.ns)
	twin := func(e claim) bool { return e.shard == c.shard && e.hash == c.hash }
	if i := slices.IndexFunc(earlier, twin); i >= 0 {
		c.arrival, c.shared = earlier[i].arrival, earlier[i].shared
	} else {
		c.arrival, c.shared = c.shard.find(c.hash, c.now, true)
	}
	c.debt = r.debt(c.arrival, c.now)
	for _, e := range earlier {
		if twin(e) || e.shard == c.shard && e.shared && c.shared {
			c.debt += r.cost
		}
	}
	c.passes = r.passes(c.debt)
}

// settle stores what the request costs, if it passes, and describes the bucket.
func (c *claim) settle(allowed bool) Decision {
	r := c.shard.rule
	if allowed {
		c.debt += r.cost
		c.shard.keep(c.hash, c.shared, c.now+c.debt)
		return r.decision(true, c.debt, c.now, c.ns)
	}
	c.debt = min(c.debt, r.full)
	if c.arrival > c.now+r.full { // as in check
		c.shard.keep(c.hash, c.shared, c.now+r.full)
	}
	return r.decision(c.passes, c.debt, c.now, c.ns)
}
