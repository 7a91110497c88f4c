package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// connector opens connections of one kind to one file. It stands between
// database/sql and SQLite because some errors arrive only while rows are read,
// where Tx would not see them, and because one of them must never go unseen.
type connector struct {
	dsn    string
	writer bool
}

// Connect implements driver.Connector.
func (c connector) Connect(context.Context) (driver.Conn, error) {
	raw, err := c.Driver().Open(c.dsn)
	if err != nil {
		return nil, storageFailure(err)
	}
	return &engine{SQLiteConn: raw.(*sqlite3.SQLiteConn), writer: c.writer}, nil
}

// Driver implements driver.Connector.
func (connector) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }

// engine is one SQLite connection. What passes and is nobody's fault comes out
// of it as secerr.Unavailable. The writer's also remembers the first error of a
// closure that leaves its transaction in doubt, and which rows are open.
type engine struct {
	*sqlite3.SQLiteConn
	writer bool

	mu      sync.Mutex
	failure error
	open    map[*engineRows]struct{}
}

// ExecContext implements driver.ExecerContext.
func (e *engine) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := e.SQLiteConn.ExecContext(e.lasting(ctx), query, args)
	return result, e.saw(err)
}

// QueryContext implements driver.QueryerContext.
func (e *engine) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	found, err := e.SQLiteConn.QueryContext(e.lasting(ctx), query, args)
	if err != nil {
		return nil, e.saw(err)
	}
	rows := &engineRows{Rows: found, engine: e}
	if e.writer {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.open == nil {
			e.open = make(map[*engineRows]struct{})
		}
		e.open[rows] = struct{}{}
	}
	return rows, nil
}

// lasting keeps contexts from the writer's statements: an interrupted write
// rolls the transaction back, and with it the changes of other callers
// (https://sqlite.org/c3ref/interrupt.html).
func (e *engine) lasting(ctx context.Context) context.Context {
	if e.writer {
		return context.WithoutCancel(ctx)
	}
	return ctx
}

// saw translates an error of SQLite and remembers it when it leaves the
// transaction in doubt. A broken constraint does not: it undoes its own
// statement and is for the closure to handle. After any other the transaction
// may be gone, and the next statement would commit by itself
// (https://sqlite.org/c3ref/get_autocommit.html).
func (e *engine) saw(err error) error {
	code, ok := errors.AsType[sqlite3.Error](err)
	if !ok {
		return err
	}
	err = storageFailure(err)
	if !e.writer {
		return err
	}
	doubt := err
	if code.Code == sqlite3.ErrConstraint {
		if !e.AutoCommit() {
			return err
		}
		doubt = errGone // INSERT OR ROLLBACK
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failure == nil {
		e.failure = doubt
	}
	return err
}

// failed is the error that left the transaction in doubt, if there was one.
func (e *engine) failed() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failure
}

// settle ends the statements that a closure left open, which would keep the
// transaction from committing, and returns and forgets what failed returns.
func (e *engine) settle() error {
	e.mu.Lock()
	left := make([]*engineRows, 0, len(e.open))
	for rows := range e.open {
		left = append(left, rows)
	}
	e.mu.Unlock()
	for _, rows := range left {
		_ = rows.Close() // saw has it
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	failure := e.failure
	e.failure = nil
	return failure
}

// engineRows are the rows of one statement. They are safe to close while
// another goroutine reads them: one that a closure left behind may.
type engineRows struct {
	driver.Rows
	engine *engine

	mu     sync.Mutex
	closed bool
}

// Next implements driver.Rows.
func (r *engineRows) Next(dest []driver.Value) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errOver
	}
	err := r.Rows.Next(dest)
	if err == nil || err == io.EOF { // compared, not searched: this runs once a row
		return err
	}
	return r.engine.saw(err)
}

// Close implements driver.Rows. It may be called more than once.
func (r *engineRows) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	if r.engine.writer {
		r.engine.mu.Lock()
		delete(r.engine.open, r)
		r.engine.mu.Unlock()
	}
	return r.engine.saw(r.Rows.Close())
}

// refusedRow is a row whose Scan returns err. Only a handle whose connections
// fail can make one.
func refusedRow(err error) *sql.Row {
	handle := sql.OpenDB(refusal{err})
	defer func() { _ = handle.Close() }() // it never had a connection
	return handle.QueryRow("")
}

type refusal struct{ err error }

// Connect implements driver.Connector.
func (r refusal) Connect(context.Context) (driver.Conn, error) { return nil, r.err }

// Driver implements driver.Connector.
func (refusal) Driver() driver.Driver { return &sqlite3.SQLiteDriver{} }
