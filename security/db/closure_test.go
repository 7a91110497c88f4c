package db

import (
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"patronus.internal/dashboard/security/secerr"
)

// TestSwallowedFailure: a closure cannot make a success out of a failure of
// the storage, nor run anything after it.
func TestSwallowedFailure(t *testing.T) {
	d := open(t)
	room := fill(t, d)
	err := d.Write(context.Background(), func(tx *Tx) error {
		_, failure := tx.Exec(big)
		if _, err := tx.Exec("DELETE FROM jobs"); err == nil || !errors.Is(err, failure) {
			t.Errorf("after the failure: %v", err)
		}
		if err := tx.QueryRow("SELECT 1").Scan(new(int)); !errors.Is(err, failure) {
			t.Errorf("a row after the failure: %v", err)
		}
		return nil
	})
	room()
	if !secerr.Is(err, secerr.Unavailable) {
		t.Errorf("the caller got %v", err)
	}
	// The failure of a statement that returns rows comes while they are read.
	room = fill(t, d)
	err = d.Write(context.Background(), func(tx *Tx) error {
		_ = tx.QueryRow(big + " RETURNING id").Scan(new(int))
		return nil
	})
	room()
	if !secerr.Is(err, secerr.Unavailable) {
		t.Errorf("the caller of RETURNING got %v", err)
	}
	// That of a later row comes after Query was answered without one.
	var later error
	err = d.Write(context.Background(), func(tx *Tx) error {
		if err := insert(tx, 1); err != nil {
			return err
		}
		rows, err := tx.Query("SELECT abs(column1) FROM (VALUES (1), (-9223372036854775808))")
		if err != nil {
			return err
		}
		seen := 0
		for rows.Next() {
			seen++
		}
		if later = rows.Err(); seen != 1 || later == nil {
			t.Errorf("%d rows, %v", seen, later)
		}
		_ = rows.Close()
		return nil
	})
	if err == nil || !errors.Is(err, later) {
		t.Errorf("the caller of a query that failed half-way got %v", err)
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestSameStatementTwiceAtOnce: a query inside of the loop over the rows of the
// same query leaves the loop alone.
func TestSameStatementTwiceAtOnce(t *testing.T) {
	d := open(t)
	const query = "SELECT id FROM jobs WHERE id >= $1 ORDER BY id"
	err := d.Write(context.Background(), func(tx *Tx) error {
		for i := range 4 {
			if err := insert(tx, i); err != nil {
				return err
			}
		}
		rows, err := tx.Query(query, 0)
		if err != nil {
			return err
		}
		defer rows.Close()
		var seen []int
		for rows.Next() && len(seen) < 10 {
			var id, other int
			if err := errors.Join(rows.Scan(&id), tx.QueryRow(query, 3).Scan(&other)); err != nil {
				return err
			}
			seen = append(seen, id)
		}
		if len(seen) != 4 || seen[3] != 3 {
			t.Errorf("saw %v", seen)
		}
		return rows.Err()
	})
	if err != nil {
		t.Error(err)
	}
}

// TestForgottenRows: rows that a closure leaves open hold up neither its own
// change, nor the next one, nor Close, and are dead.
func TestForgottenRows(t *testing.T) {
	d := open(t)
	var last string
	err := d.Write(context.Background(), func(tx *Tx) error {
		rows, err := tx.Query("INSERT INTO jobs (id, body) VALUES (1, 'x'), (2, 'y') RETURNING body")
		if err != nil {
			return err
		}
		t.Cleanup(func() {
			if rows.Next() {
				t.Error("rows of a transaction that is over")
			}
			if err := rows.Err(); err == nil {
				t.Error("they end without an error")
			}
		})
		tx.QueryRow("SELECT body FROM jobs") // never scanned
		return tx.QueryRow("SELECT MAX(body) FROM jobs").Scan(&last)
	})
	if err != nil || last != "y" {
		t.Errorf("%v, %q", err, last)
	}
	if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 3) }); err != nil {
		t.Errorf("the next change: %v", err)
	}
	if n := count(t, d); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

// TestStaleTxInParallel: what a goroutine that outlives its closure does lands
// in nobody's transaction.
func TestStaleTxInParallel(t *testing.T) {
	d := open(t)
	refused := errors.New("refused")
	var wg sync.WaitGroup
	for i := range 200 {
		err := d.Write(context.Background(), func(tx *Tx) error {
			wg.Go(func() { _ = insert(tx, i) }) // in time or too late, and undone either way
			return refused
		})
		if err != refused {
			t.Fatal(err)
		}
		if err := d.Write(context.Background(), func(*Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestTransactionControlIsRefused: a closure cannot end the transaction that it
// shares.
func TestTransactionControlIsRefused(t *testing.T) {
	d := open(t)
	for _, statement := range []string{"COMMIT", " end;", "rollback to change", "\n\tRELEASE change", "BEGIN", "savepoint x"} {
		err := d.Write(context.Background(), func(tx *Tx) error {
			if err := insert(tx, 1); err != nil {
				return err
			}
			_, err := tx.Exec(statement)
			return err
		})
		if !errors.Is(err, errControl) {
			t.Errorf("%q: %v", statement, err)
		}
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestGoexit: a closure that ends its goroutine, as a failing test does, is
// answered, and the writer goes on.
func TestGoexit(t *testing.T) {
	d := open(t)
	err := d.Write(context.Background(), func(tx *Tx) error {
		if err := insert(tx, 1); err != nil {
			return err
		}
		runtime.Goexit()
		return nil
	})
	if !errors.Is(err, errEnded) {
		t.Errorf("the caller got %v", err)
	}
	if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 2) }); err != nil {
		t.Errorf("the next change: %v", err)
	}
	if n := count(t, d); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestLostConnection: a connection that cannot go on is replaced.
func TestLostConnection(t *testing.T) {
	d := open(t)
	err := d.Write(context.Background(), func(tx *Tx) error {
		if err := insert(tx, 1); err != nil {
			return err
		}
		// What is begun is never committed: the savepoint is not there to
		// release, and database/sql has let go of the connection.
		if err := tx.writer.exec("ROLLBACK"); err != nil {
			return err
		}
		return tx.writer.conn.Close()
	})
	if !secerr.Is(err, secerr.Unavailable) {
		t.Errorf("the caller got %v", err)
	}
	if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 2) }); err != nil {
		t.Errorf("the next change: %v", err)
	}
	if n := count(t, d); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

// TestReadEndsWithItsContext: also while every connection of the pool is taken.
func TestReadEndsWithItsContext(t *testing.T) {
	d := openAt(t, Options{Path: filepath.Join(t.TempDir(), "patronus.db")})
	for range d.pool.Stats().MaxOpenConnections {
		rows, err := d.Read(context.Background()).Query("SELECT 1 UNION ALL SELECT 2")
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := d.Read(ctx).QueryRow("SELECT 3").Scan(new(int)); !errors.Is(err, context.Canceled) {
		t.Errorf("the reader got %v", err)
	}
}
