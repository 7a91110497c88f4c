package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/pressly/goose/v3"

	"patronus.internal/dashboard/migrations"
)

// ReadOnly is a database that is only looked at. It is safe for concurrent use.
type ReadOnly struct{ db DB }

// OpenReadOnly opens a file, or a copy of one, to look at it: a server may be
// running on it, and nothing is made, migrated or repaired. It refuses a file of
// another program and one with another schema than this program's.
func OpenReadOnly(ctx context.Context, path string) (r *ReadOnly, err error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no database %s. Name its folder with --data-dir", path)
	}
	// Without the settings of dsn: a copy may have another journal, and keeps it.
	pool := sql.OpenDB(connector{dsn: fmt.Sprintf("file:%s?mode=ro&_query_only=1&_busy_timeout=%d", uriPath(path), defaultBusyTimeout.Milliseconds())})
	r = &ReadOnly{DB{pool: pool}}
	defer func() {
		if err != nil {
			err = errors.Join(err, pool.Close())
		}
	}()
	var id int
	if err := pool.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return nil, damagedOr(path, err)
	}
	if id != applicationID {
		return nil, fmt.Errorf("%s is no database of this program. Name its folder with --data-dir", path)
	}
	version, err := r.db.SchemaVersion(ctx)
	if err != nil {
		return nil, damagedOr(path, err)
	}
	if known := LatestSchema(); version != known {
		return nil, fmt.Errorf("the database %s has schema %d, and this program works with %d. Use the program of the version that wrote it, or start this one on it once", path, version, known)
	}
	return r, nil
}

// Snapshot is DB.Snapshot.
func (r *ReadOnly) Snapshot(ctx context.Context, read func(Reader) error) error {
	return r.db.Snapshot(ctx, read)
}

// CheckTables returns an error that says which tables, indexes or triggers are not
// those of this program, or that an index does not have what its table has. It reads
// the whole file.
func (r *ReadOnly) CheckTables(ctx context.Context) (err error) {
	fresh, err := sql.Open("sqlite3", "file:patronus-schema?mode=memory&cache=private")
	if err != nil {
		return fmt.Errorf("db: a database to compare with: %w", err)
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	fresh.SetMaxOpenConns(1) // each connection has a memory of its own
	provider, err := goose.NewProvider(goose.DialectSQLite3, fresh, migrations.SQLite(),
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("db: a database to compare with: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("db: a database to compare with: %w", err)
	}
	want, err := schemaOf(ctx, fresh)
	if err != nil {
		return err
	}
	got, err := schemaOf(ctx, r.db.pool)
	if err != nil {
		return err
	}
	for name, definition := range got {
		if want[name] != definition {
			return fmt.Errorf("the database has a %s that this program did not make so", name)
		}
		delete(want, name)
	}
	for name := range want {
		return fmt.Errorf("the database lacks the %s", name)
	}
	var verdict string
	if err := r.db.pool.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return fmt.Errorf("db: check the file: %w", err)
	}
	if verdict != "ok" {
		return fmt.Errorf("the database is damaged: %s", verdict)
	}
	return nil
}

// schemaOf is the definition of each table, index and trigger by kind and name.
func schemaOf(ctx context.Context, from *sql.DB) (map[string]string, error) {
	rows, err := from.QueryContext(ctx, "SELECT type || ' ' || name, COALESCE(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
	if err != nil {
		return nil, fmt.Errorf("db: read the schema: %w", err)
	}
	defer rows.Close()
	schema := map[string]string{}
	for rows.Next() {
		var name, definition string
		if err := rows.Scan(&name, &definition); err != nil {
			return nil, fmt.Errorf("db: read the schema: %w", err)
		}
		schema[name] = definition
	}
	return schema, rows.Err()
}

// Close closes the file.
func (r *ReadOnly) Close() error { return r.db.pool.Close() }
