package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"patronus.internal/dashboard/security/secerr"
)

// maxBatch bounds how many closures share a transaction, so that the first of
// them is not kept waiting by a crowd: 512 of them take some three milliseconds,
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
	handle *sql.DB
	conn   *sql.Conn // nil after it was given up
	engine *engine   // the same connection, to ask for its state
	now    func() time.Time
	ids    *idSource
	log    *slog.Logger
	random io.Reader
	before func(*Tx, []any) error // nil: nothing runs before a commit
	queue  chan *job
	ended  chan struct{}

	mu     sync.RWMutex // closing excludes sending
	closed bool
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
// anything (no I/O, no hashing, no other Write). It sees what all earlier
// writes did.
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
	alive := true
	defer func() {
		if alive {
			close(w.ended)
			return
		}
		// A closure ended this goroutine (runtime.Goexit, which a failing test
		// calls). Those who wait need another.
		go w.run()
	}()
	batch := make([]*job, 0, maxBatch)
	for first := range w.queue {
		alive = false
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
		alive = true
	}
}

// commit runs jobs in one transaction and answers each caller.
func (w *writer) commit(jobs []*job) {
	if err := w.begin(); err != nil {
		w.abort(jobs, err)
		return
	}
	broken := errEnded
	defer func() {
		if broken != nil {
			w.abort(jobs, broken)
		}
	}()
	now := w.now().UTC().Truncate(time.Microsecond)
	outcomes := make([]error, len(jobs))
	shared := new(batch)
	for i, j := range jobs {
		if !j.state.CompareAndSwap(queued, running) {
			continue
		}
		var err error
		if outcomes[i], err = w.savepoint(j, now, shared); err != nil {
			broken = err
			return
		}
	}
	if w.before != nil && len(shared.kept) > 0 {
		if broken = w.beforeCommit(shared, now); broken != nil {
			return
		}
	}
	if broken = w.exec("COMMIT"); broken != nil {
		return
	}
	for i, j := range jobs {
		j.done <- outcomes[i]
	}
}

var errEnded = errors.New("db: a change ended the writer's goroutine")

// begin takes the write lock, on a new connection when the last one was given
// up.
func (w *writer) begin() error {
	if w.conn == nil {
		if err := w.connect(); err != nil {
			return err
		}
	}
	return w.exec("BEGIN IMMEDIATE")
}

// beforeCommit runs the step that completes what the batch did. Its failure is
// everybody's: none of them may be on disk without it.
func (w *writer) beforeCommit(shared *batch, now time.Time) error {
	tx := &Tx{writer: w, now: now, batch: shared}
	err := w.call(tx, func(tx *Tx) error { return w.before(tx, shared.kept) })
	if failure := w.engine.settle(); failure != nil {
		return failure
	}
	return err
}

// savepoint runs one closure. broken tells that the transaction as a whole cannot
// go on.
func (w *writer) savepoint(j *job, now time.Time, shared *batch) (outcome, broken error) {
	if err := w.exec("SAVEPOINT change"); err != nil {
		return nil, err
	}
	tx := &Tx{writer: w, now: now, batch: shared}
	outcome = w.call(tx, j.change)
	// The storage failed, whatever the closure made of it.
	if failure := w.engine.settle(); failure != nil && !errors.Is(outcome, failure) {
		outcome = failure
	}
	// A full disk and the like can make SQLite roll the whole transaction back
	// by itself (https://sqlite.org/c3ref/get_autocommit.html). Then there is
	// no savepoint to go back to or to release, and the batch is broken.
	if outcome != nil {
		if err := w.exec("ROLLBACK TO change"); err != nil {
			return nil, errors.Join(outcome, err)
		}
		tx.staged = nil
		// What it found out may be of a state that is undone.
		if len(shared.kept) == 0 {
			shared.base = nil
		}
	}
	if err := w.exec("RELEASE change"); err != nil {
		return nil, err
	}
	shared.kept = append(shared.kept, tx.staged...)
	return outcome, nil
}

// call turns a panic of the closure into its error.
func (w *writer) call(tx *Tx, change func(*Tx) error) (err error) {
	defer tx.end()
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
// on disk, so everybody is told that it is not. A connection that does not get
// back to where no transaction is under way is given up.
func (w *writer) abort(batch []*job, cause error) {
	if w.conn != nil {
		_ = w.engine.settle()
		var err error
		if !w.engine.AutoCommit() {
			err = w.exec("ROLLBACK")
		}
		if err != nil || w.conn.PingContext(context.Background()) != nil {
			w.log.Error("the writer's connection was given up", "error", err)
			_ = w.disconnect() // it is broken, and that was told
		}
	}
	w.log.Error("a transaction was undone", "error", cause, "changes", len(batch))
	if _, said := errors.AsType[*secerr.Error](cause); !said {
		cause = unavailable(cause)
	}
	answerAll(batch, cause)
}

func answerAll(batch []*job, err error) {
	for _, j := range batch {
		if j.state.CompareAndSwap(queued, running) || j.state.Load() == running {
			j.done <- err
		}
	}
}

// exec runs a statement of the writer itself. It has no context of a caller:
// one who leaves must not interrupt the transaction of the others. It goes
// around database/sql, and as a query, since that is the way to the driver's
// kept statements: two of these run for every change.
func (w *writer) exec(query string) error {
	rows, err := w.engine.SQLiteConn.QueryContext(context.Background(), query, nil)
	if err == nil {
		err = rows.Close()
	}
	return storageFailure(err)
}

func (w *writer) connect() error {
	conn, err := w.handle.Conn(context.Background())
	if err != nil {
		return err
	}
	w.conn = conn
	return conn.Raw(func(driverConn any) error {
		w.engine = driverConn.(*engine)
		return nil
	})
}

// disconnect closes the connection for good; database/sql would keep it.
func (w *writer) disconnect() error {
	if w.conn == nil {
		return nil
	}
	conn := w.conn
	w.conn = nil
	err := conn.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}
