package ratelimit

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// 10⁶ keys are known; warm is 256 of them in turn, spread all of them in a
// scattered order. The comparison with other limiters is in bench/ratelimit.
func BenchmarkCheckIP(b *testing.B) {
	const known = 1_000_000
	before := heap()
	l := New(Limit{MaxRequests: MaxRequests, Burst: MaxBurst, Window: time.Second}, Options{})
	for i := range known {
		l.CheckIP(address(i))
	}
	perKey := float64(heap()-before) / known
	for _, keys := range []struct {
		name string
		pick func(n uint64) int
	}{
		{"hot", func(uint64) int { return 7 }},
		{"warm", func(n uint64) int { return int(n % 256) }},
		{"spread", func(n uint64) int { return int(n * 0x9E3779B97F4A7C15 >> 32 % known) }},
	} {
		b.Run(keys.name, func(b *testing.B) {
			b.ReportAllocs()
			var workers atomic.Uint64
			b.RunParallel(func(pb *testing.PB) {
				for n := workers.Add(1) << 40; pb.Next(); n++ {
					l.CheckIP(address(keys.pick(n)))
				}
			})
			b.ReportMetric(perKey, "B/key")
		})
	}
	runtime.KeepAlive(l)
}

// The login: an address and an account.
func BenchmarkAll(b *testing.B) {
	l := New(Limit{MaxRequests: MaxRequests, Burst: MaxBurst, Window: time.Second}, Options{})
	b.ReportAllocs()
	for i := range b.N {
		All(l.IP(address(i%256)), l.User("account"))
	}
}

// A flood of new addresses in a full limiter.
func BenchmarkNewcomer(b *testing.B) {
	l := New(Limit{MaxRequests: 5, Window: 24 * time.Hour}, Options{MaxKeys: 1 << 16})
	b.ReportAllocs()
	for i := range b.N {
		l.CheckIP(address(i))
	}
}

func BenchmarkSweep(b *testing.B) {
	l := New(Limit{MaxRequests: 5, Window: 24 * time.Hour}, Options{})
	for i := range 1_000_000 {
		l.CheckIP(address(i))
	}
	for b.Loop() {
		l.Sweep()
	}
}
