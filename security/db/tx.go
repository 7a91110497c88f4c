package db

import (
	"context"
	"database/sql"
	"errors"
	"io"
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
// to, on that goroutine, and dead when the closure returns.
type Tx struct {
	writer *writer
	now    time.Time
	over   bool
}

var (
	errOver = errors.New("db: the transaction is over")
	errGone = errors.New("db: the engine rolled the transaction back")
)

// Now is the time of the transaction in UTC, to the microsecond: the same for
// everything that happens in it.
func (t *Tx) Now() time.Time { return t.now }

// NewID is a UUIDv7 (RFC 9562 §5.7) of the transaction's time. Ids made by one
// process sort in the order in which they were made.
func (t *Tx) NewID() (string, error) { return t.writer.ids.next(t.now) }

// Exec runs a statement that returns no rows.
func (t *Tx) Exec(query string, args ...any) (sql.Result, error) {
	statement, err := t.statement(query)
	if err != nil {
		return nil, err
	}
	return statement.ExecContext(context.Background(), args...)
}

// Query runs a statement that returns rows. The closure closes them before it
// returns.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	statement, err := t.statement(query)
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(context.Background(), args...)
}

// QueryRow runs a statement that returns at most one row; its error comes with
// Scan.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	statement, err := t.statement(query)
	if err != nil {
		// Only a context that has ended makes a row out of an error.
		ended, cancel := context.WithCancel(context.Background())
		cancel()
		return t.writer.conn.QueryRowContext(ended, query, args...)
	}
	return statement.QueryRowContext(context.Background(), args...)
}

// statement refuses to run anything when the transaction is not there any
// more: it would commit by itself.
func (t *Tx) statement(query string) (*sql.Stmt, error) {
	switch {
	case t.over:
		return nil, errOver
	case t.writer.raw.AutoCommit():
		return nil, errGone
	}
	return t.writer.prepare(query)
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
	return id.String(), err
}
