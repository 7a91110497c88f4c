package ratelimit

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var perMinute = Limit{MaxRequests: 5, Burst: 1, Window: time.Minute}

// parallel runs f in 100 goroutines at once.
func parallel(f func(worker int)) {
	var all sync.WaitGroup
	for worker := range 100 {
		all.Go(func() { f(worker) })
	}
	all.Wait()
}

func TestParallelPassesExactlyTheCapacity(t *testing.T) {
	l, _ := open(Limit{MaxRequests: 900, Burst: 100, Window: time.Minute}, 0)
	var passed atomic.Int64
	parallel(func(int) {
		for range 50 {
			if l.CheckUser("one").Allowed {
				passed.Add(1)
			}
		}
	})
	if passed.Load() != 1000 {
		t.Errorf("%d pass of a capacity of 1000", passed.Load())
	}
}

func TestCanonical(t *testing.T) {
	ip := netip.MustParseAddr
	tests := []struct {
		a, b netip.Addr
		same bool
	}{
		{ip("192.0.2.1"), ip("192.0.2.2"), false},
		{ip("192.0.2.1"), ip("::ffff:192.0.2.1"), true},
		{ip("192.0.2.1"), ip("::ffff:192.0.2.1%eth0"), true},
		{ip("192.0.2.1"), ip("::192.0.2.1"), false},
		{ip("2001:db8:1:2::1"), ip("2001:db8:1:2:ffff:ffff:ffff:ffff"), true},
		{ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"), false},
		{ip("fe80::1%eth0"), ip("fe80::1%eth1"), true},
		{ip("fe80::1"), ip("fe80::1%eth1"), true},
		{ip("0.0.0.0"), ip("::"), false},
		{ip("::"), netip.Addr{}, false},
		{ip("0.0.0.0"), netip.Addr{}, false},
		{netip.Addr{}, netip.Addr{}, true},
	}
	for _, test := range tests {
		l, _ := open(perMinute, 0)
		l.CheckIP(test.a)
		if same := l.RemainingIP(test.b) == 5; same != test.same {
			t.Errorf("%v and %v share a bucket: %v", test.a, test.b, same)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, "")
	f.Add(netip.MustParseAddr("::ffff:192.0.2.1").AsSlice(), "eth0")
	f.Add(netip.MustParseAddr("fe80::1").AsSlice(), "1")
	l := New(perMinute, Options{})
	f.Fuzz(func(t *testing.T, raw []byte, zone string) {
		ip, ok := netip.AddrFromSlice(raw)
		b, n := canonical(ip)
		same := func(other netip.Addr) bool { return l.IP(other) == l.IP(ip) }
		switch {
		case !ok:
			if n != 0 {
				t.Error("bytes of no address")
			}
		case ip.Unmap().Is4():
			if n != 4 || netip.AddrFrom4([4]byte(b[:4])) != ip.Unmap() || !same(netip.AddrFrom16(ip.As16())) {
				t.Errorf("%v is % x", ip, b[:n])
			}
		default:
			prefix, err := ip.Prefix(64)
			if err != nil || n != 8 || !same(prefix.Addr()) || !same(ip.WithZone(zone)) {
				t.Errorf("%v is % x: %v", ip, b[:n], err)
			}
		}
	})
}

func TestKindsAreApart(t *testing.T) {
	l, _ := open(perMinute, 0)
	l.CheckIP(netip.AddrFrom4([4]byte([]byte("abcd"))))
	if l.RemainingUser("abcd") != 6 || l.RemainingKey("abcd") != 6 {
		t.Error("an address has spent of an id with the same bytes")
	}
	l.CheckUser("x")
	if l.RemainingUser("x") != 5 || l.RemainingKey("x") != 6 {
		t.Error("an account has spent of an API key with the same text")
	}
	if l.User("") == l.Key("") {
		t.Error("nobody and no key are one")
	}
}

func TestAll(t *testing.T) {
	w := newWatch()
	byIP := New(Limit{MaxRequests: 10, Window: time.Minute}, Options{Now: w.now})
	byUser := New(Limit{MaxRequests: 2, Window: time.Minute}, Options{Now: w.now})
	ip := netip.MustParseAddr("192.0.2.1")
	for i, want := range []bool{true, true, false, false} {
		allowed, d := All(byIP.IP(ip), byUser.User("a"))
		if allowed != want || !d[0].Allowed || d[1].Allowed != want {
			t.Errorf("request %d: %v %+v", i, allowed, d)
		}
	}
	if byIP.RemainingIP(ip) != 8 || byUser.RemainingUser("a") != 0 {
		t.Error("a refused request was counted, or one that passed was not")
	}
	if allowed, d := All(byIP.IP(ip), byUser.User("a")); allowed || d[0].Remaining != 8 || d[1].RetryAfter != 30*time.Second {
		t.Errorf("decisions of a refusal: %+v", d)
	}
	if allowed, d := All(byUser.User("b"), byUser.User("b"), byUser.User("b")); allowed || !d[1].Allowed || d[2].Allowed || byUser.RemainingUser("b") != 2 {
		t.Errorf("three of two: %+v", d)
	}
	if allowed, d := All(byUser.User("b"), byUser.User("b")); !allowed || d[0].Remaining != 1 || d[1].Remaining != 0 || byUser.RemainingUser("b") != 0 {
		t.Errorf("two of two: %+v", d)
	}
	if allowed, d := All(); !allowed || len(d) != 0 {
		t.Error("no bucket refuses")
	}
}

// Orders that would lock one another out, in parallel with single checks.
func TestAllIsExactInParallel(t *testing.T) {
	w := newWatch()
	a := New(Limit{MaxRequests: 1000, Window: time.Minute}, Options{Now: w.now})
	b := New(Limit{MaxRequests: 700, Window: time.Minute}, Options{Now: w.now})
	var both, alone atomic.Int64
	parallel(func(worker int) {
		for i := range 20 {
			buckets := []Bucket{a.User("x"), b.Key("y"), b.Key(fmt.Sprint(worker, i))}
			if worker%2 == 0 {
				slices.Reverse(buckets)
			}
			if allowed, _ := All(buckets...); allowed {
				both.Add(1)
			}
			if i%10 == 0 && a.CheckUser("x").Allowed {
				alone.Add(1)
			}
			if worker == 0 {
				a.Sweep()
			}
		}
	})
	if both.Load() != 700 || a.RemainingUser("x") != 1000-both.Load()-alone.Load() {
		t.Errorf("%d passed both, %d the one, which has %d of 1000 left", both.Load(), alone.Load(), a.RemainingUser("x"))
	}
}

func address(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(i))
	return netip.AddrFrom4(b)
}

func TestSweep(t *testing.T) {
	l, w := open(perMinute, 0)
	const flood = 100_000
	for i := range flood {
		l.CheckIP(address(i))
	}
	w.advance(6 * time.Second)
	for range 3 {
		l.CheckUser("busy")
	}
	w.advance(6*time.Second - 1)
	if l.Sweep(); l.Len() != flood+1 {
		t.Errorf("%d keys a nanosecond before they are idle", l.Len())
	}
	w.advance(1)
	if l.Sweep(); l.Len() != 1 || l.RemainingUser("busy") != 3 {
		t.Errorf("%d keys are left, and %d for who is in debt", l.Len(), l.RemainingUser("busy"))
	}
}

// heap is what is in use after everything dead is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestSweepGivesMemoryBack(t *testing.T) {
	before := heap()
	l, w := open(perMinute, 0)
	for i := range 200_000 {
		l.CheckIP(address(i))
	}
	flooded := heap() - before
	w.advance(time.Hour)
	l.Sweep()
	if after := heap() - before; after > flooded/4 {
		t.Errorf("%d bytes of %d are still in use", after, flooded)
	}
	runtime.KeepAlive(l)
}

func TestOverload(t *testing.T) {
	const room, flood = 1 << 15, 1_000_000
	before := heap()
	l, _ := open(perMinute, room)
	victims := []string{"a", "b", "c"}
	for _, victim := range victims {
		spend(t, func() Decision { return l.CheckUser(victim) })
	}
	for i := range flood {
		if d := l.CheckIP(address(i)); !d.Allowed {
			t.Fatalf("newcomer %d finds no room among those who asked once: %+v", i, d)
		}
	}
	if l.Len() > room {
		t.Errorf("%d keys of at most %d", l.Len(), room)
	}
	if grown := heap() - before; grown > 60*room {
		t.Errorf("%d bytes for %d keys", grown, room)
	}
	for _, victim := range victims {
		if d := l.CheckUser(victim); d.Allowed {
			t.Errorf("a flood makes %s pass: %+v", victim, d)
		}
	}
}

// When everybody is in debt, newcomers share a bucket for each shard.
func TestOverflow(t *testing.T) {
	const room = 640
	for _, limit := range []Limit{perMinute, {MaxRequests: 1, Window: time.Minute}} {
		l, w := open(limit, room)
		for i := range 10 * room {
			spend(t, func() Decision { return l.CheckIP(address(i)) })
		}
		for i := range 10_000 {
			newcomer := address(1<<20 + i)
			peeked := l.PeekIP(newcomer)
			all, _ := All(l.IP(newcomer), l.User("another"))
			if d := l.CheckIP(newcomer); all || d.Allowed || d != peeked {
				t.Fatalf("a newcomer passes: %v, %+v, %+v", all, d, peeked)
			}
		}
		w.advance(limit.Window / time.Duration(limit.MaxRequests))
		passed := 0
		for i := range 10_000 {
			if l.CheckUser(fmt.Sprint(i)).Allowed {
				passed++
			}
		}
		// One request is refilled in each of 64 shared buckets. With a capacity
		// of one, the keys are idle too by now and leave their places.
		want := 64
		if limit.MaxRequests == 1 {
			want += room
		}
		if passed != want {
			t.Errorf("%d newcomers pass, want %d", passed, want)
		}
		if l.Len() > room {
			t.Errorf("%d keys of at most %d", l.Len(), room)
		}
	}
}

// What a server does, all at once, for the race detector.
func TestParallelUse(t *testing.T) {
	l := New(perMinute, Options{MaxKeys: 1000})
	parallel(func(worker int) {
		for i := range 50 {
			l.CheckIP(address(i * worker))
			l.PeekUser("u")
			All(l.IP(address(i)), l.User("u"))
			switch {
			case worker == 0:
				l.Sweep()
			case worker == 1:
				l.SetLimit(Limit{MaxRequests: int64(i + 1), Window: time.Second})
			case i%10 == 0:
				l.ResetIP(address(i))
				l.Len()
			}
		}
	})
	if l.Len() > 1024+64 {
		t.Errorf("%d keys", l.Len())
	}
}
