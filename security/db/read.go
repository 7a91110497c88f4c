package db

import (
	"context"
	"database/sql"
	"fmt"
)

// Read is the read-only pool for as long as ctx lasts. It never waits for the
// writer: a read sees everything that was committed when it began. An error is
// sql.ErrNoRows, ctx.Err(), secerr.Unavailable when the storage fails, or one
// of the statement.
func (d *DB) Read(ctx context.Context) Reader { return contextReader{ctx, d.pool} }

// contextReader reads for as long as ctx lasts.
type contextReader struct {
	ctx  context.Context
	from interface {
		QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
}

func (r contextReader) QueryRow(query string, args ...any) *sql.Row {
	return r.from.QueryRowContext(r.ctx, query, args...)
}

func (r contextReader) Query(query string, args ...any) (*sql.Rows, error) {
	return r.from.QueryContext(r.ctx, query, args...)
}

// Snapshot runs several reads over one state of the database: that of the
// first of them. read uses no other Reader meanwhile, since it holds one of the
// few connections.
func (d *DB) Snapshot(ctx context.Context, read func(Reader) error) error {
	tx, err := d.pool.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("db: snapshot: %w", err)
	}
	// Nothing was written, so there is nothing that a failure could lose.
	defer func() { _ = tx.Rollback() }()
	return read(contextReader{ctx, tx})
}
