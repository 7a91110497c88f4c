package db

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The rows that are written are about as large as an event.
var body = strings.Repeat("x", 300)

const insertRow = "INSERT INTO jobs (body) VALUES ($1)"

func perSecond(b *testing.B) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
}

// BenchmarkWrite1 and BenchmarkWrite64 have 1 and 64 callers, each waiting for
// its own change to be on disk before it sends the next.
func BenchmarkWrite1(b *testing.B)  { benchmarkWrite(b, 1) }
func BenchmarkWrite64(b *testing.B) { benchmarkWrite(b, 64) }

func benchmarkWrite(b *testing.B, callers int) {
	d := open(b)
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				err := d.Write(context.Background(), func(tx *Tx) error {
					_, err := tx.Exec(insertRow, body)
					return err
				})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	perSecond(b)
}

// bare is the engine without this package, with the same settings.
func bare(b *testing.B) *sql.DB {
	b.Helper()
	path := filepath.Join(b.TempDir(), "bare.db")
	handle, err := sql.Open("sqlite3", dsn(Options{Path: path, BusyTimeout: defaultBusyTimeout}, "_txlock=immediate"))
	if err != nil {
		b.Fatal(err)
	}
	handle.SetMaxOpenConns(1)
	b.Cleanup(func() { _ = handle.Close() })
	if _, err := handle.Exec("CREATE TABLE jobs (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT"); err != nil {
		b.Fatal(err)
	}
	return handle
}

// BenchmarkBareTransactionARow is the loop that a program without group commit
// runs.
func BenchmarkBareTransactionARow(b *testing.B) { benchmarkBare(b, 1) }

// BenchmarkBareBatchesOf64 is the ideal: nobody waits, nobody may fail alone.
func BenchmarkBareBatchesOf64(b *testing.B) { benchmarkBare(b, 64) }

func benchmarkBare(b *testing.B, batch int) {
	handle := bare(b)
	b.ResetTimer()
	for done := 0; done < b.N; {
		tx, err := handle.Begin()
		if err != nil {
			b.Fatal(err)
		}
		statement, err := tx.Prepare(insertRow)
		if err != nil {
			b.Fatal(err)
		}
		for range min(batch, b.N-done) {
			if _, err := statement.Exec(body); err != nil {
				b.Fatal(err)
			}
			done++
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
	perSecond(b)
}
