package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// Read is the read-only pool for as long as ctx lasts. It never waits for the
// writer: a read sees everything that was committed when it began.
func (d *DB) Read(ctx context.Context) Reader { return poolReader{ctx, d} }

type poolReader struct {
	ctx context.Context
	db  *DB
}

// A statement that cannot be kept is prepared for this one use; whatever is
// wrong with it is told then.
func (p poolReader) QueryRow(query string, args ...any) *sql.Row {
	statement, err := p.db.prepared(query)
	if err != nil {
		return p.db.pool.QueryRowContext(p.ctx, query, args...)
	}
	return statement.QueryRowContext(p.ctx, args...)
}

func (p poolReader) Query(query string, args ...any) (*sql.Rows, error) {
	statement, err := p.db.prepared(query)
	if err != nil {
		return p.db.pool.QueryContext(p.ctx, query, args...)
	}
	return statement.QueryContext(p.ctx, args...)
}

// Snapshot runs several reads over one state of the database.
func (d *DB) Snapshot(ctx context.Context, read func(Reader) error) error {
	tx, err := d.pool.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("db: snapshot: %w", storageFailure(err))
	}
	// Nothing was written, so there is nothing that a failure could lose.
	defer func() { _ = tx.Rollback() }()
	return read(snapshotReader{ctx, tx})
}

type snapshotReader struct {
	ctx context.Context
	tx  *sql.Tx
}

func (s snapshotReader) QueryRow(query string, args ...any) *sql.Row {
	return s.tx.QueryRowContext(s.ctx, query, args...)
}

func (s snapshotReader) Query(query string, args ...any) (*sql.Rows, error) {
	return s.tx.QueryContext(s.ctx, query, args...)
}

// maxStatements bounds what the pool keeps prepared. Texts are constants of
// the program but for the filters of a list, of which there are hundreds of
// combinations; beyond the bound they are prepared anew each time.
const maxStatements = 256

var errManyStatements = errors.New("db: enough statements are kept")

// statementCache keeps the pool's prepared statements. It is safe for
// concurrent use.
type statementCache struct {
	mu sync.RWMutex
	by map[string]*sql.Stmt
}

func (d *DB) prepared(query string) (*sql.Stmt, error) {
	d.statements.mu.RLock()
	statement, ok := d.statements.by[query]
	full := len(d.statements.by) >= maxStatements
	d.statements.mu.RUnlock()
	if ok {
		return statement, nil
	}
	if full {
		return nil, errManyStatements
	}
	statement, err := d.pool.Prepare(query)
	if err != nil {
		return nil, err
	}
	d.statements.mu.Lock()
	defer d.statements.mu.Unlock()
	if kept, ok := d.statements.by[query]; ok {
		return kept, statement.Close()
	}
	d.statements.by[query] = statement
	return statement, nil
}
