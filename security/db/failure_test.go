package db

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"patronus.internal/dashboard/security/secerr"
)

// fill makes the disk look full to the writer, and returns how to make room.
func fill(t *testing.T, d *DB) (room func()) {
	t.Helper()
	pages := func(limit string) {
		// The writer's own connection, on the writer's own goroutine.
		err := d.Write(context.Background(), func(tx *Tx) error {
			return tx.QueryRow("PRAGMA max_page_count = " + limit).Scan(new(int))
		})
		if err != nil {
			t.Error(err)
		}
	}
	pages("1") // never less than there are
	return func() { pages("1073741823") }
}

const big = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO jobs (id, body) SELECT 1000 + i, hex(zeroblob(1000)) FROM n"

// TestFullDisk: a change that does not fit is refused as unavailable and leaves
// nothing, also when its closure swallows the error and goes on; what shares
// its transaction is told the truth as well.
func TestFullDisk(t *testing.T) {
	for name, closure := range map[string]func(*Tx) error{
		"returned": func(tx *Tx) error { _, err := tx.Exec(big); return err },
		"swallowed": func(tx *Tx) error {
			_, err := tx.Exec(big)
			if err == nil {
				t.Error("it fits")
			}
			return nil
		},
		"swallowed, and more": func(tx *Tx) error {
			_, _ = tx.Exec(big)
			_ = insert(tx, 7)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t)
			room := fill(t, d)
			release := hold(t, d)
			answers := make(chan error, 2)
			for _, change := range []func(*Tx) error{closure, func(tx *Tx) error { return insert(tx, 1) }} {
				queued := len(d.writer.queue)
				go func() { answers <- d.Write(context.Background(), change) }()
				for len(d.writer.queue) == queued {
					runtime.Gosched() // The caller is on its way into the queue.
				}
			}
			release()
			happened := 0
			for range 2 {
				switch err := <-answers; {
				case err == nil:
					happened++
				case !secerr.Is(err, secerr.Unavailable):
					t.Errorf("a caller got %v", err)
				}
			}
			room()
			var small, large int
			err := d.Read(context.Background()).QueryRow("SELECT COUNT(*) FILTER (WHERE id < 1000), COUNT(*) FILTER (WHERE id >= 1000) FROM jobs").Scan(&small, &large)
			if err != nil || large != 0 || small > happened {
				t.Errorf("%d and %d rows, %d were acknowledged, %v", small, large, happened, err)
			}
			if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 500) }); err != nil {
				t.Errorf("with room again: %v", err)
			}
		})
	}
}

// TestEngineRollsBack: after an error that makes the engine give the whole
// transaction up, whatever the closure makes of it, nothing runs outside of a
// transaction, nobody in the batch is told that their change happened, and the
// next one works.
func TestEngineRollsBack(t *testing.T) {
	d := open(t)
	if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 1) }); err != nil {
		t.Fatal(err)
	}
	release := hold(t, d)
	answers := make(chan error, 3)
	for _, change := range []func(*Tx) error{
		func(tx *Tx) error { return insert(tx, 2) },
		func(tx *Tx) error {
			if _, err := tx.Exec("INSERT OR ROLLBACK INTO jobs (id, body) VALUES (1, 'again')"); err == nil {
				t.Error("the key is not taken")
			}
			if err := insert(tx, 3); !errors.Is(err, errGone) {
				t.Errorf("a statement without a transaction: %v", err)
			}
			if err := tx.QueryRow("INSERT INTO jobs (id, body) VALUES (4, 'x') RETURNING id").Scan(new(int)); err == nil {
				t.Error("a row without a transaction")
			}
			return nil
		},
		func(tx *Tx) error { return insert(tx, 5) },
	} {
		queued := len(d.writer.queue)
		go func() { answers <- d.Write(context.Background(), change) }()
		for len(d.writer.queue) == queued {
			runtime.Gosched() // The caller is on its way into the queue.
		}
	}
	release()
	for range 3 {
		if err := <-answers; !secerr.Is(err, secerr.Unavailable) {
			t.Errorf("a caller got %v", err)
		}
	}
	if n := count(t, d); n != 1 {
		t.Errorf("%d rows, want the one from before", n)
	}
	if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 6) }); err != nil {
		t.Errorf("the next change: %v", err)
	}
}
