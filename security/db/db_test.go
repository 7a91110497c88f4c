package db

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"patronus.internal/dashboard/security/secerr"
)

func TestMain(m *testing.M) {
	if child, ok := children[os.Getenv(childEnv)]; ok {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

var quiet = slog.New(slog.DiscardHandler)

// openAt opens a database and gives it a table to write to.
func openAt(t testing.TB, o Options) *DB {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	d, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Write(context.Background(), func(tx *Tx) error {
		_, err := tx.Exec("CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func open(t testing.TB) *DB {
	t.Helper()
	return openAt(t, Options{Path: filepath.Join(t.TempDir(), "patronus.db")})
}

func insert(tx *Tx, id int) error {
	_, err := tx.Exec("INSERT INTO jobs (id, body) VALUES ($1, 'x')", id)
	return err
}

func count(t testing.TB, d *DB) int {
	t.Helper()
	var n int
	if err := d.Read(context.Background()).QueryRow("SELECT COUNT(*) FROM jobs").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// hold keeps the writer busy until release is called, and returns once it is.
func hold(t *testing.T, d *DB) (release func()) {
	t.Helper()
	started, wait, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- d.Write(context.Background(), func(*Tx) error {
			close(started)
			<-wait
			return nil
		})
	}()
	<-started
	return func() {
		close(wait)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestParallelWriters: of 64 callers whose changes share a transaction one
// fails and one panics; each gets its own answer and the other 62 rows are
// there.
func TestParallelWriters(t *testing.T) {
	d := open(t)
	release := hold(t, d) // so that all of them end up in one batch
	own := errors.New("own failure")
	errs := make([]error, 64)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			errs[i] = d.Write(context.Background(), func(tx *Tx) error {
				if err := insert(tx, i); err != nil {
					return err
				}
				switch i {
				case 17:
					return own
				case 42:
					panic("lost my head")
				}
				return nil
			})
		})
	}
	for len(d.writer.queue) < len(errs) {
		runtime.Gosched() // Every caller is on its way into the queue.
	}
	release()
	wg.Wait()
	for i, err := range errs {
		switch i {
		case 17:
			if err != own {
				t.Errorf("the failing caller got %v", err)
			}
		case 42:
			if p, ok := errors.AsType[*PanicError](err); !ok || p.Value != "lost my head" || !strings.Contains(string(p.Stack), "TestParallelWriters") {
				t.Errorf("the panicking caller got %v", err)
			}
		default:
			if err != nil {
				t.Errorf("caller %d got %v", i, err)
			}
		}
	}
	if n := count(t, d); n != 62 {
		t.Errorf("%d rows, want 62", n)
	}
	var lost int
	if err := d.Read(context.Background()).QueryRow("SELECT COUNT(*) FROM jobs WHERE id IN (17, 42)").Scan(&lost); err != nil || lost != 0 {
		t.Errorf("%d rows of those that did not happen, %v", lost, err)
	}
}

func TestAbandonedChangeNeverRuns(t *testing.T) {
	d := open(t)
	release := hold(t, d)
	ctx, cancel := context.WithCancel(context.Background())
	answer := make(chan error, 1)
	go func() {
		answer <- d.Write(ctx, func(*Tx) error {
			t.Error("it ran")
			return nil
		})
	}()
	for len(d.writer.queue) == 0 {
		runtime.Gosched() // The caller is on its way into the queue.
	}
	cancel()
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	release()
	if err := d.Write(ctx, func(*Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who had left before got %v", err)
	}
}

// TestStartedChangeIsAwaited: who leaves after their change began is still told
// its true outcome.
func TestStartedChangeIsAwaited(t *testing.T) {
	d := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	err := d.Write(ctx, func(tx *Tx) error {
		cancel()
		return insert(tx, 1)
	})
	if err != nil || count(t, d) != 1 {
		t.Errorf("%v, %d rows", err, count(t, d))
	}
}

func TestFullQueueRefusesAtOnce(t *testing.T) {
	d := openAt(t, Options{Path: filepath.Join(t.TempDir(), "patronus.db"), QueueSize: 2})
	release := hold(t, d)
	answers := make(chan error, 2)
	for i := range 2 {
		go func() { answers <- d.Write(context.Background(), func(tx *Tx) error { return insert(tx, i) }) }()
	}
	for len(d.writer.queue) < 2 {
		runtime.Gosched() // Both are on their way into the queue.
	}
	err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 9) })
	if refusal, ok := errors.AsType[*secerr.Error](err); !ok || refusal.Code != secerr.Unavailable || refusal.RetryAfter < time.Second {
		t.Errorf("the third caller got %v", err)
	}
	release()
	for range 2 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := count(t, d); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// TestCloseDrains: what was accepted before Close is on disk, what comes after
// is refused, and Close may be called again.
func TestCloseDrains(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	d := openAt(t, Options{Path: path})
	release := hold(t, d)
	const callers = 100
	answers := make(chan error, callers)
	for i := range callers {
		go func() { answers <- d.Write(context.Background(), func(tx *Tx) error { return insert(tx, i) }) }()
	}
	for len(d.writer.queue) < callers {
		runtime.Gosched() // They are on their way into the queue.
	}
	closed := make(chan error, 1)
	go func() { closed <- d.Close() }()
	release()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	for range callers {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if err := d.Write(context.Background(), func(*Tx) error { return nil }); !secerr.Is(err, secerr.Unavailable) {
		t.Errorf("a late caller got %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if n := count(t, openAt(t, Options{Path: path})); n != callers {
		t.Errorf("%d rows, want %d", n, callers)
	}
}

func TestNowIsFixedAndIDsSort(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
	d := openAt(t, Options{Path: filepath.Join(t.TempDir(), "patronus.db"), Now: func() time.Time {
		at = at.Add(time.Nanosecond) // only the writer asks
		return at
	}})
	last := ""
	for range 50 {
		err := d.Write(context.Background(), func(tx *Tx) error {
			if now := tx.Now(); now != tx.Now() || now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
				t.Errorf("now is %v", now)
			}
			for range 100 {
				id, err := tx.NewID()
				if err != nil {
					return err
				}
				if id <= last || id[14] != '7' {
					t.Errorf("%s follows %s", id, last)
				}
				last = id
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestStaleTxDoesNothing(t *testing.T) {
	d := open(t)
	var kept *Tx
	if err := d.Write(context.Background(), func(tx *Tx) error { kept = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := insert(kept, 1); !errors.Is(err, errOver) {
		t.Errorf("Exec: %v", err)
	}
	if _, err := kept.Query("SELECT 1"); !errors.Is(err, errOver) {
		t.Errorf("Query: %v", err)
	}
	if err := kept.QueryRow("SELECT 1").Scan(new(int)); err == nil {
		t.Error("QueryRow works")
	}
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows", n)
	}
}

// TestAcknowledgedIsCommitted: another connection sees a change as soon as its
// caller is answered.
func TestAcknowledgedIsCommitted(t *testing.T) {
	d := open(t)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for n := range 30 {
				id := 100*i + n
				if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, id) }); err != nil {
					t.Error(err)
					return
				}
				var there bool
				if err := d.Read(context.Background()).QueryRow("SELECT EXISTS (SELECT 1 FROM jobs WHERE id = $1)", id).Scan(&there); err != nil || !there {
					t.Errorf("the change %d was acknowledged and is not there, %v", id, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestIsUnique(t *testing.T) {
	d := open(t)
	err := d.Write(context.Background(), func(tx *Tx) error {
		if err := insert(tx, 1); err != nil {
			return err
		}
		if err := insert(tx, 1); !IsUnique(err) {
			t.Errorf("a taken key is %v", err)
		}
		// A violated constraint undoes its statement alone.
		_, err := tx.Exec("INSERT INTO jobs (id, body) VALUES (2, NULL)")
		if err == nil || IsUnique(err) {
			t.Errorf("a missing value is %v", err)
		}
		return insert(tx, 3)
	})
	if err != nil || count(t, d) != 2 {
		t.Errorf("%v, %d rows", err, count(t, d))
	}
	if IsUnique(nil) || IsUnique(sql.ErrNoRows) {
		t.Error("anything is unique")
	}
}
