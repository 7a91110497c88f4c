package audit

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
)

// BenchmarkAppend has callers that each wait for their event to be on disk
// before they send the next, with the tree and without it. Run on one machine at
// one time, the ratio counts.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 64} {
		for _, with := range []bool{false, true} {
			b.Run(fmt.Sprintf("callers=%d/tree=%t", callers, with), func(b *testing.B) {
				o := db.Options{Path: filepath.Join(b.TempDir(), "patronus.db"), Log: slog.New(slog.DiscardHandler)}
				tree := newTree(b)
				if with {
					o.BeforeCommit = tree.Grow
				}
				d, err := db.Open(context.Background(), o)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = d.Close() }()
				if with {
					if err := d.Write(context.Background(), tree.Begin); err != nil {
						b.Fatal(err)
					}
				}
				appendConcurrently(b, d, callers)
			})
		}
	}
}

func appendConcurrently(b *testing.B, d *db.DB, callers int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for {
				n := left.Add(-1)
				if n < 0 {
					return
				}
				err := d.Write(context.Background(), func(tx *db.Tx) error {
					return Append(tx, Event{Type: LoginAttempt, Success: n%3 == 0, Details: Details{"reason": "wrong_password"},
						Actor: Actor{UserID: fmt.Sprintf("019b7cc2-474e-7464-8693-%012d", n%200), Email: fmt.Sprintf("user%d@example.org", n%200),
							IPAddress: fmt.Sprintf("192.0.2.%d", n%250), UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
							SessionID: fmt.Sprintf("019b7cc2-474e-7464-8694-%012d", caller), RequestID: fmt.Sprintf("019b7cc2-474e-7464-8695-%012d", n)}})
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRemove removes old events in the batches of retention. max-ms is how long
// one of them kept the writer, its fdatasync included.
func BenchmarkRemove(b *testing.B) {
	tree := newTree(b)
	d := openWith(b, filepath.Join(b.TempDir(), "patronus.db"), tree)
	const events = 200_000
	for begin := 0; begin < events; begin += 10_000 {
		err := d.Write(context.Background(), func(tx *db.Tx) error {
			for n := begin; n < begin+10_000; n++ {
				e := signIn(n)
				e.Actor.UserID, e.Actor.IPAddress = fmt.Sprintf("019b7cc2-474e-7464-8693-%012d", n*7919%5000), fmt.Sprintf("192.0.%d.%d", n*31%250, n*17%250)
				if err := Append(tx, e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	var longest time.Duration
	removed := 0
	b.ResetTimer()
	for b.Loop() {
		began := time.Now()
		if err := d.Write(context.Background(), func(tx *db.Tx) error {
			_, err := RemoveUpTo(tx, events)
			return err
		}); err != nil {
			b.Fatal(err)
		}
		longest = max(longest, time.Since(began))
		if removed += removeBatch; removed >= events {
			break
		}
	}
	b.ReportMetric(float64(longest.Microseconds())/1000, "max-ms")
}
