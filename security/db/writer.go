package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"

	"patronus.internal/dashboard/security/secerr"
)

// maxBatch bounds how many closures share a transaction, so that the first of
// them is not kept waiting by a crowd: 512 of them take some ten milliseconds,
// and a larger batch gains nothing, since one fdatasync is spread thin by then.
const maxBatch = 512

// The states of a job. Its caller may give up only while it is queued; the
// writer may run it only if it is not given up.
const (
	queued int32 = iota
	running
	abandoned
)

// job is a closure on its way through the writer.
type job struct {
	change func(*Tx) error
	state  atomic.Int32
	done   chan error // buffered: the writer never waits for a caller
}

// writer owns the one connection that writes.
type writer struct {
	conn  *sql.Conn
	raw   *sqlite3.SQLiteConn // the same connection, to ask for its state
	now   func() time.Time
	ids   *idSource
	log   *slog.Logger
	queue chan *job
	ended chan struct{}

	mu     sync.RWMutex // closing excludes sending
	closed bool

	statements map[string]*sql.Stmt
}

// PanicError is what the caller of a closure that panicked gets, wrapped.
type PanicError struct {
	Value any
	Stack []byte
}

// Error implements error.
func (e *PanicError) Error() string { return fmt.Sprintf("panic in a write: %v", e.Value) }

// Write runs change in a transaction and returns when it is on disk. It shares
// the transaction, and the one fdatasync, with whatever else is waiting, inside
// a savepoint of its own: an error or a panic of change undoes change alone.
//
// change runs on the writer's goroutine, one at a time: it must not wait for
// anything (no I/O, no hashing, no other Write) and must close the rows that
// it opens. It sees what all earlier writes did.
//
// The error is that of change; or ctx.Err() when ctx ended before change began,
// and then it never runs; or secerr.Unavailable when the queue is full, another
// process holds the database, the disk is full or the program is stopping. An
// error means that nothing of change is on disk.
func (d *DB) Write(ctx context.Context, change func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	j := &job{change: change, done: make(chan error, 1)}
	if err := d.writer.enqueue(j); err != nil {
		return err
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		if j.state.CompareAndSwap(queued, abandoned) {
			return ctx.Err()
		}
		// It has begun. Only its true outcome may be told.
		return <-j.done
	}
}

func (w *writer) enqueue(j *job) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return secerr.Busy("The program is stopping. Try again in a moment.", time.Second, errors.New("db: closed"))
	}
	select {
	case w.queue <- j:
		return nil
	default:
		return secerr.Busy("Too many changes are waiting. Try again in a moment.", time.Second, errors.New("db: the queue is full"))
	}
}

// stop refuses new jobs, lets the accepted ones finish and returns when the
// writer has ended.
func (w *writer) stop() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.ended
}

func (w *writer) run() {
	defer close(w.ended)
	batch := make([]*job, 0, maxBatch)
	for first := range w.queue {
		// Callers that the last batch woke are about to come back with their
		// next change. Letting them run first makes batches larger (measured:
		// BenchmarkWrite64).
		runtime.Gosched()
		batch = append(batch[:0], first)
	collect:
		for len(batch) < maxBatch {
			select {
			case j, open := <-w.queue:
				if !open {
					break collect
				}
				batch = append(batch, j)
			default:
				break collect
			}
		}
		w.commit(batch)
	}
}

// commit runs a batch in one transaction and answers each caller.
func (w *writer) commit(batch []*job) {
	if err := w.exec("BEGIN IMMEDIATE"); err != nil {
		answerAll(batch, unavailable(err))
		return
	}
	now := w.now().UTC().Truncate(time.Microsecond)
	outcomes := make([]error, len(batch))
	for i, j := range batch {
		if !j.state.CompareAndSwap(queued, running) {
			continue
		}
		var broken error
		outcomes[i], broken = w.savepoint(j, now)
		if broken != nil {
			w.abort(batch, broken)
			return
		}
	}
	if err := w.exec("COMMIT"); err != nil {
		w.abort(batch, err)
		return
	}
	for i, j := range batch {
		j.done <- outcomes[i]
	}
}

// savepoint runs one closure. broken tells that the transaction as a whole
// cannot go on.
func (w *writer) savepoint(j *job, now time.Time) (outcome, broken error) {
	if err := w.exec("SAVEPOINT change"); err != nil {
		return nil, err
	}
	tx := &Tx{writer: w, now: now}
	outcome = w.call(tx, j.change)
	tx.over = true
	// A full disk and the like can make SQLite roll the whole transaction back
	// by itself (https://sqlite.org/lang_transaction.html §2.3), whatever the
	// closure made of the error. Then there is no savepoint to go back to or
	// to release, and the batch is broken.
	if outcome != nil {
		if err := w.exec("ROLLBACK TO change"); err != nil {
			return nil, err
		}
	}
	if err := w.exec("RELEASE change"); err != nil {
		return nil, err
	}
	return storageFailure(outcome), nil
}

// call turns a panic of the closure into its error.
func (w *writer) call(tx *Tx, change func(*Tx) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p := &PanicError{Value: v, Stack: debug.Stack()}
			w.log.Error("a write panicked", "panic", fmt.Sprint(v), "stack", string(p.Stack))
			err = fmt.Errorf("db: %w", p)
		}
	}()
	return change(tx)
}

// abort undoes the whole batch. Nobody in it can be told that their change is
// on disk, so everybody is told that it is not.
func (w *writer) abort(batch []*job, cause error) {
	// When SQLite has rolled back already, this says so and changes nothing.
	rollback := w.exec("ROLLBACK")
	w.log.Error("a transaction was undone", "error", cause, "rollback", rollback, "changes", len(batch))
	answerAll(batch, unavailable(cause))
}

func answerAll(batch []*job, err error) {
	for _, j := range batch {
		if j.state.CompareAndSwap(queued, running) || j.state.Load() == running {
			j.done <- err
		}
	}
}

// exec runs a statement of the writer itself. It has no context of a caller:
// one who leaves must not interrupt the transaction of the others.
func (w *writer) exec(query string) error {
	statement, err := w.prepare(query)
	if err != nil {
		return err
	}
	_, err = statement.ExecContext(context.Background())
	return err
}

// prepare keeps every statement for the life of the connection. The texts are
// constants of the program, so there are a few dozen.
func (w *writer) prepare(query string) (*sql.Stmt, error) {
	if statement, ok := w.statements[query]; ok {
		return statement, nil
	}
	statement, err := w.conn.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	w.statements[query] = statement
	return statement, nil
}
