package db

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestReadersOnlyReadAndDoNotWait(t *testing.T) {
	d := open(t)
	for _, statement := range []string{"INSERT INTO jobs (id, body) VALUES (1, 'x')", "DELETE FROM jobs", "CREATE TABLE x (y)", "PRAGMA user_version = 9"} {
		rows, err := d.Read(context.Background()).Query(statement)
		if err == nil {
			for rows.Next() {
				t.Errorf("%s gives rows", statement)
			}
			err = errors.Join(rows.Err(), rows.Close())
		}
		if err == nil {
			t.Errorf("a reader did: %s", statement)
		}
	}
	err := d.Write(context.Background(), func(tx *Tx) error {
		if err := insert(tx, 1); err != nil {
			return err
		}
		// The change is not committed: a reader sees the state before it, and
		// sees it now.
		if n := count(t, d); n != 0 {
			t.Errorf("a reader sees %d rows of a change under way", n)
		}
		return nil
	})
	if err != nil || count(t, d) != 1 {
		t.Errorf("%v, %d rows", err, count(t, d))
	}
}

func TestSnapshotIsOneState(t *testing.T) {
	d := open(t)
	err := d.Snapshot(context.Background(), func(r Reader) error {
		for range 2 {
			var n int
			if err := r.QueryRow("SELECT COUNT(*) FROM jobs").Scan(&n); err != nil || n != 0 {
				return fmt.Errorf("%d rows, %w", n, err)
			}
			if n == 0 {
				if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, count(t, d)+1) }); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if n := count(t, d); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}
