// Package ratelimit compares the dashboard's limiter with others, in one run
// and in a module of its own, so that the dashboard depends on none of them:
//
//	cd bench/ratelimit && for i in 1 2 3 4; do go test -run '^$' -bench . -benchtime 2000000x -cpu 1,2; done
//
// Beside the time on the clock there is cpu-ns/op, the processor time of the
// process, which others at work on the machine change less. Repeated by a loop
// and not by -count, so that a busy moment does not meet one limiter alone.
//
// The 10⁶ keys of each benchmark are already known. Hot is one of them again and
// again, and soon refused; warm is 256 in turn; spread is all of them in a
// scattered order, and waits for memory rather than for the limiter. B/key is the
// growth of the heap when they become known, with the keys' own text where a
// limiter keeps it.
package ratelimit

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sethvargo/go-limiter/memorystore"
	"github.com/throttled/throttled/v2"
	"github.com/throttled/throttled/v2/store/memstore"
	"golang.org/x/time/rate"

	"patronus.internal/dashboard/security/ratelimit"
)

const known = 1_000_000

// The limit is the largest, so that all but the hot key pass.
const (
	requests = 1_000_000
	window   = time.Second
)

// contender is a limiter as middleware would call it.
type contender struct {
	name string
	open func(b *testing.B) (take func(i int) bool, done func())
}

var contenders = []contender{
	{"dashboard", func(*testing.B) (func(int) bool, func()) {
		l := ratelimit.New(ratelimit.Limit{MaxRequests: requests, Window: window, Burst: 1_000_000}, ratelimit.Options{})
		return func(i int) bool { return l.CheckIP(address(i)).Allowed }, func() { runtime.KeepAlive(l) }
	}},
	{"go-limiter", func(b *testing.B) (func(int) bool, func()) {
		s, err := memorystore.New(&memorystore.Config{Tokens: requests, Interval: window, SweepInterval: time.Hour, SweepMinTTL: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		return func(i int) bool {
			_, _, _, ok, _ := s.Take(ctx, address(i).String())
			return ok
		}, func() { s.Close(ctx) }
	}},
	{"go-limiter-ready-text", func(b *testing.B) (func(int) bool, func()) {
		// With the text of the address made beforehand, as if it cost nothing.
		s, err := memorystore.New(&memorystore.Config{Tokens: requests, Interval: window, SweepInterval: time.Hour, SweepMinTTL: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		return func(i int) bool {
			_, _, _, ok, _ := s.Take(ctx, texts()[i])
			return ok
		}, func() { s.Close(ctx) }
	}},
	{"x-time-rate", func(*testing.B) (func(int) bool, func()) {
		var mu sync.Mutex
		limiters := map[netip.Addr]*rate.Limiter{}
		return func(i int) bool {
			ip := address(i)
			mu.Lock()
			l := limiters[ip]
			if l == nil {
				l = rate.NewLimiter(requests, requests)
				limiters[ip] = l
			}
			mu.Unlock()
			return l.Allow()
		}, func() { runtime.KeepAlive(limiters) }
	}},
	{"throttled", func(b *testing.B) (func(int) bool, func()) {
		store, err := memstore.NewCtx(0)
		if err != nil {
			b.Fatal(err)
		}
		l, err := throttled.NewGCRARateLimiterCtx(store, throttled.RateQuota{MaxRate: throttled.PerSec(requests), MaxBurst: requests})
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		return func(i int) bool {
			limited, _, err := l.RateLimitCtx(ctx, address(i).String(), 1)
			return err == nil && !limited
		}, func() { runtime.KeepAlive(store) }
	}},
}

func address(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

var texts = sync.OnceValue(func() []string {
	all := make([]string, known)
	for i := range all {
		all[i] = address(i).String()
	}
	return all
})

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// processor returns the processor time that the process has used.
func processor(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func BenchmarkTake(b *testing.B) {
	texts()
	for _, c := range contenders {
		before := heap()
		take, done := c.open(b)
		for i := range known {
			take(i)
		}
		perKey := float64(heap()-before) / known
		for _, keys := range []string{"hot", "warm", "spread"} {
			pick := map[string]func(uint64) int{
				"hot":    func(uint64) int { return 7 },
				"warm":   func(n uint64) int { return int(n % 256) },
				"spread": func(n uint64) int { return int(n * 0x9E3779B97F4A7C15 >> 32 % known) },
			}[keys]
			b.Run(fmt.Sprintf("%s/%s", c.name, keys), func(b *testing.B) {
				b.ReportAllocs()
				var workers, refused atomic.Uint64
				start := processor(b)
				b.RunParallel(func(pb *testing.PB) {
					n := workers.Add(1) << 40
					for ; pb.Next(); n++ {
						if !take(pick(n)) {
							refused.Add(1)
						}
					}
				})
				b.ReportMetric(float64(processor(b)-start)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(perKey, "B/key")
				b.ReportMetric(float64(refused.Load())/float64(b.N), "refused/op")
			})
		}
		done()
	}
}
