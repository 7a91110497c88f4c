package db

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/uuid/v5"
)

// Reader is what both a transaction and the read-only pool can do.
// Placeholders are $1, $2 … in the order of their first appearance.
type Reader interface {
	QueryRow(query string, args ...any) *sql.Row
	Query(query string, args ...any) (*sql.Rows, error)
}

// Tx is one change on its way to disk. It is for the closure that it was given
// to and dead when the closure returns: from then on every method that runs a
// statement, and every row still open, answers with an error.
//
// A broken constraint undoes its own statement and may be handled. Any other
// error of the storage ends the change: nothing more runs, and Write returns
// that error even if the closure does not.
type Tx struct {
	writer *writer
	now    time.Time

	mu     sync.Mutex // a statement never straddles the end
	over   bool
	rows   context.Context // of what Query returns; made when it is first needed
	cancel context.CancelFunc
	batch  *batch
	staged []any
}

// batch is what the changes of one transaction share.
type batch struct {
	kept []any // what was staged by those that are kept
	base any   // what the first of them that needed it has found out
}

var (
	errOver    = errors.New("db: the transaction is over")
	errGone    = errors.New("db: the engine rolled the transaction back")
	errControl = errors.New("db: a change neither begins nor ends a transaction")
)

// Now is the time of the transaction in UTC, to the microsecond: the same for
// everything that happens in it.
func (t *Tx) Now() time.Time { return t.now }

// NewID is a UUIDv7 (RFC 9562 §5.7) of the transaction's time. Ids made by one
// process sort in the order in which they were made as long as its clock does
// not go back.
func (t *Tx) NewID() (string, error) { return t.writer.ids.next(t.now) }

// Stage hands value to the step before the commit, if the change is kept: what
// an undone change staged is forgotten with it. It runs on the closure's
// goroutine.
func (t *Tx) Stage(value any) { t.staged = append(t.staged, value) }

// Staged is how many values the batch has staged so far, those of changes that were
// undone left out.
func (t *Tx) Staged() int { return len(t.batch.kept) + len(t.staged) }

// Base returns what find found out for the batch, and asks it only the first time:
// for what holds until the step before the commit changes it.
func (t *Tx) Base(find func() (any, error)) (any, error) {
	if t.batch.base == nil {
		base, err := find()
		if err != nil {
			return nil, err
		}
		t.batch.base = base
	}
	return t.batch.base, nil
}

// Random fills b with random bytes.
func (t *Tx) Random(b []byte) error {
	_, err := io.ReadFull(t.writer.random, b)
	return err
}

// Exec runs a statement that returns no rows.
func (t *Tx) Exec(query string, args ...any) (sql.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refuse(query); err != nil {
		return nil, err
	}
	return t.writer.conn.ExecContext(context.Background(), query, args...)
}

// Query runs a statement that returns rows. The closure closes them; rows that
// it forgets are closed with it.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refuse(query); err != nil {
		return nil, err
	}
	return t.writer.conn.QueryContext(t.untilEnd(), query, args...)
}

// QueryRow runs a statement that returns at most one row; its error comes with
// Scan.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refuse(query); err != nil {
		return refusedRow(err)
	}
	return t.writer.conn.QueryRowContext(t.untilEnd(), query, args...)
}

// refuse says why a statement must not run.
func (t *Tx) refuse(query string) error {
	if t.over {
		return errOver
	}
	if err := t.writer.engine.failed(); err != nil {
		return err
	}
	if controls(query) {
		return errControl
	}
	return nil
}

// untilEnd is the context of rows. Its end makes database/sql give back what it
// holds for rows that the closure forgot; Close would wait for them forever.
func (t *Tx) untilEnd() context.Context {
	if t.rows == nil {
		t.rows, t.cancel = context.WithCancel(context.Background())
	}
	return t.rows
}

// end makes the transaction unusable, once a statement that is running is done.
func (t *Tx) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	if t.cancel != nil {
		t.cancel()
	}
}

// controls reports whether a statement would act on the transaction of the
// whole batch, where other callers' changes are.
func controls(query string) bool {
	word, _, _ := strings.Cut(strings.TrimLeft(query, " \t\r\n;"), " ")
	switch strings.ToUpper(strings.TrimRight(word, "\t\r\n;")) {
	case "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE":
		return true
	}
	return false
}

// idSource makes ids. It is safe for concurrent use.
type idSource struct {
	mu        sync.Mutex
	generator *uuid.Gen
}

func newIDSource(random io.Reader) *idSource {
	return &idSource{generator: uuid.NewGenWithOptions(uuid.WithRandomReader(random))}
}

func (s *idSource) next(at time.Time) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id, err := s.generator.NewV7AtTime(at)
	if err != nil {
		return "", err
	}
	return id.String(), nil
}
