package ratelimit

import (
	"math/big"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// watch is a clock that stands until it is moved.
type watch struct{ t time.Time }

func newWatch() *watch                   { return &watch{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }
func (w *watch) now() time.Time          { return w.t }
func (w *watch) advance(d time.Duration) { w.t = w.t.Add(d) }

func open(limit Limit, maxKeys int) (*Limiter, *watch) {
	w := newWatch()
	return New(limit, Options{Now: w.now, MaxKeys: maxKeys}), w
}

// spend takes what a key has and returns how many passed.
func spend(t *testing.T, check func() Decision) (passed int64) {
	t.Helper()
	for check().Allowed {
		if passed++; passed > 3*MaxBurst {
			t.Fatal("no end of requests that pass")
		}
	}
	return passed
}

func TestDecisions(t *testing.T) {
	const second = time.Second
	l, w := open(Limit{MaxRequests: 2, Burst: 1, Window: 10 * second}, 0) // one each 5 s
	steps := []struct {
		wait time.Duration
		want Decision
	}{
		{0, Decision{true, 3, 2, 5 * second, 0}},
		{0, Decision{true, 3, 1, 10 * second, 0}},
		{0, Decision{true, 3, 0, 15 * second, 0}},
		{0, Decision{false, 3, 0, 15 * second, 5 * second}},
		{5*second - 1, Decision{false, 3, 0, 10*second + 1, 1}},
		{1, Decision{true, 3, 0, 15 * second, 0}},
		{10 * second, Decision{true, 3, 1, 10 * second, 0}},
		{10*second - 1, Decision{true, 3, 1, 5*second + 1, 0}},
		{5*second + 1, Decision{true, 3, 2, 5 * second, 0}},
		{time.Hour, Decision{true, 3, 2, 5 * second, 0}},
	}
	for i, step := range steps {
		w.advance(step.wait)
		peeked := l.PeekUser("a")
		if got := l.CheckUser("a"); got != step.want {
			t.Errorf("step %d: %+v, want %+v", i, got, step.want)
		}
		if peeked.Allowed != step.want.Allowed || peeked.RetryAfter != step.want.RetryAfter {
			t.Errorf("step %d: peeked %+v, then %+v", i, peeked, step.want)
		}
		if got := l.RemainingUser("a"); got != step.want.Remaining {
			t.Errorf("step %d: %d remain, want %d", i, got, step.want.Remaining)
		}
	}
	if !l.ResetUser("a") || l.ResetUser("a") || l.RemainingUser("a") != 3 {
		t.Error("a reset bucket is not full")
	}
}

// From one a second to what the policy allows at most, also where a window does
// not divide evenly.
func TestExtremes(t *testing.T) {
	tests := []Limit{
		{1, 0, time.Second}, {1, 0, 24 * time.Hour}, {1, 1_000_000, 24 * time.Hour}, {1, 1_000_000, time.Second},
		{7, 0, time.Second}, {7, 3, time.Minute}, {999_983, 0, 24 * time.Hour}, {999_983, 17, time.Second},
		{1_000_000, 1_000_000, time.Second}, {1_000_000, 1_000_000, 24 * time.Hour}, {3, 999_999, 86_399 * time.Second},
	}
	for _, limit := range tests {
		l, w := open(limit, 0)
		check := func() Decision { return l.CheckKey("k") }
		w.advance(12_345_678_901)
		if passed := spend(t, check); passed != limit.MaxRequests+limit.Burst {
			t.Errorf("%+v: %d pass of a full bucket", limit, passed)
		}
		w.advance(limit.Window)
		if passed := spend(t, check); passed != limit.MaxRequests {
			t.Errorf("%+v: %d pass after a window", limit, passed)
		}
		for range 20 {
			d := check()
			if d.Allowed || d.RetryAfter <= 0 || d.RetryAfter > limit.Window || d.ResetAfter < d.RetryAfter {
				t.Fatalf("%+v: %+v of an empty bucket", limit, d)
			}
			w.advance(d.RetryAfter - 1)
			if d := check(); d.Allowed || d.RetryAfter != 1 {
				t.Fatalf("%+v: %+v a nanosecond early", limit, d)
			}
			w.advance(1)
			if d := check(); !d.Allowed {
				t.Fatalf("%+v: %+v at the time that was told", limit, d)
			}
		}
		w.advance(l.PeekKey("k").ResetAfter)
		if d := l.PeekKey("k"); d.ResetAfter > 0 && d.ResetAfter < 1<<62 {
			t.Errorf("%+v: not full when it should be: %+v", limit, d)
		}
	}
}

func TestOutOfBounds(t *testing.T) {
	for _, limit := range []Limit{{}, {-1, -1, -1}, {1 << 62, 1 << 62, 1 << 62}} {
		l, _ := open(limit, -1)
		if d := l.CheckKey("k"); !d.Allowed || d.Limit < 1 || d.Limit > MaxRequests+MaxBurst {
			t.Errorf("%+v: %+v", limit, d)
		}
	}
}

// model is a token bucket with fractions of any length.
type model struct {
	limit  Limit
	tokens *big.Rat
	last   int64 // ns
}

func (m *model) refill(ns int64, tick *big.Rat) {
	capacity := new(big.Rat).SetInt64(m.limit.MaxRequests + m.limit.Burst)
	if m.tokens == nil {
		m.tokens, m.last = capacity, ns
	}
	whole := func(ns int64) *big.Rat { // the time in whole ticks
		q := new(big.Rat).Quo(new(big.Rat).SetInt64(ns), tick)
		q.SetInt(new(big.Int).Quo(q.Num(), q.Denom()))
		return q.Mul(q, tick)
	}
	gained := new(big.Rat).Sub(whole(ns), whole(m.last))
	gained.Mul(gained, big.NewRat(m.limit.MaxRequests, int64(m.limit.Window)))
	if m.last = ns; m.tokens.Add(m.tokens, gained).Cmp(capacity) > 0 {
		m.tokens.Set(capacity)
	}
}

func (m *model) remaining() int64 {
	return new(big.Int).Quo(m.tokens.Num(), m.tokens.Denom()).Int64()
}

func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := Limit{
			MaxRequests: rapid.OneOf(rapid.Int64Range(1, 20), rapid.Int64Range(1, MaxRequests)).Draw(t, "requests"),
			Burst:       rapid.OneOf(rapid.Int64Range(0, 5), rapid.Int64Range(0, MaxBurst)).Draw(t, "burst"),
			Window:      time.Duration(rapid.Int64Range(int64(MinWindow), int64(MaxWindow)).Draw(t, "window")),
		}
		l, w := open(limit, 0)
		r := newRule(limit)
		tick := big.NewRat(int64(limit.Window), r.turn)
		if tick.Cmp(big.NewRat(1, 1)) < 0 || tick.Cmp(big.NewRat(40, 1)) > 0 {
			t.Fatalf("a tick of %v ns", tick)
		}
		models := map[string]*model{}
		turn := int64(limit.Window) / limit.MaxRequests
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			wait := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(0, 3), rapid.Int64Range(turn-2, turn+2),
				rapid.Int64Range(0, int64(limit.Window))).Draw(t, "wait")
			w.advance(time.Duration(wait))
			key := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
			m := models[key]
			if m == nil {
				m = &model{limit: limit}
				models[key] = m
			}
			for range rapid.IntRange(1, 5).Draw(t, "requests at once") {
				m.refill(l.clock(), tick)
				passes := m.remaining() >= 1
				d := l.CheckUser(key)
				if passes {
					m.tokens.Sub(m.tokens, big.NewRat(1, 1))
				}
				if d.Allowed != passes || d.Remaining != m.remaining() {
					t.Fatalf("%+v, the model says %v and %d", d, passes, m.remaining())
				}
				if d.Allowed {
					continue
				}
				for _, at := range []struct {
					wait   time.Duration
					passes bool
				}{{d.RetryAfter, true}, {d.RetryAfter - 1, false}} {
					w.advance(at.wait)
					later := &model{limit, new(big.Rat).Set(m.tokens), m.last}
					if later.refill(l.clock(), tick); at.passes != (later.remaining() >= 1) || at.passes != l.PeekUser(key).Allowed {
						t.Fatalf("%+v, after %v the model has %d", d, at.wait, later.remaining())
					}
					w.advance(-at.wait)
				}
			}
		}
	})
}

func TestClockSetBack(t *testing.T) {
	limit := Limit{MaxRequests: 10, Window: time.Minute}
	for _, back := range []time.Duration{1, time.Second, time.Hour, 30 * 365 * 24 * time.Hour, 200 * 365 * 24 * time.Hour} {
		l, w := open(limit, 0)
		w.advance(time.Hour)
		spend(t, func() Decision { return l.CheckUser("empty") })
		l.CheckUser("one")
		w.advance(-back)
		if d := l.CheckUser("empty"); d.Allowed {
			t.Errorf("%v back: a request for nothing", back)
		}
		if d := l.CheckUser("one"); d.Remaining > 9 {
			t.Errorf("%v back: %d remain", back, d.Remaining)
		}
		if allowed, _ := All(l.User("empty"), l.User("one")); allowed {
			t.Errorf("%v back: a request for nothing by All", back)
		}
		w.advance(limit.Window)
		want := back < 100*365*24*time.Hour // beyond its span the clock stands
		for _, key := range []string{"empty", "one"} {
			if d := l.CheckUser(key); d.Allowed != want {
				t.Errorf("%v back: %s after a window: %+v", back, key, d)
			}
		}
		if d := l.CheckUser("new"); !d.Allowed {
			t.Errorf("%v back: a newcomer: %+v", back, d)
		}
	}
}

func TestSetLimit(t *testing.T) {
	tests := []struct {
		name       string
		from, to   Limit
		spent      int
		remaining  int64
		resetAfter time.Duration
	}{
		{"untouched", Limit{10, 0, time.Minute}, Limit{20, 5, time.Minute}, 0, 25, 0},
		{"the debt takes as long", Limit{10, 0, time.Minute}, Limit{60, 0, time.Minute}, 5, 30, 30 * time.Second},
		{"more burst", Limit{10, 0, time.Minute}, Limit{10, 10, time.Minute}, 10, 10, time.Minute},
		{"never below empty", Limit{10, 90, time.Minute}, Limit{10, 0, time.Minute}, 100, 0, time.Minute},
		{"slower", Limit{60, 0, time.Minute}, Limit{60, 0, time.Hour}, 60, 59, time.Minute},
		{"uneven", Limit{7, 0, time.Second}, Limit{10, 0, time.Second}, 7, 0, time.Second},
		{"out of reach of a Duration", Limit{1, 1_000_000, 24 * time.Hour}, Limit{1, 0, time.Second}, 300_000, 0, time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, w := open(test.from, 0)
			for range test.spent {
				l.CheckIP(netip.IPv6Loopback())
			}
			l.SetLimit(test.to)
			d := l.PeekIP(netip.IPv6Loopback())
			if d.Remaining != test.remaining || d.ResetAfter != test.resetAfter {
				t.Errorf("%+v, want %d remaining and %v until full", d, test.remaining, test.resetAfter)
			}
			w.advance(d.ResetAfter)
			if d := l.PeekIP(netip.IPv6Loopback()); d.Remaining != test.to.MaxRequests+test.to.Burst {
				t.Errorf("%+v of a full bucket", d)
			}
		})
	}
}
