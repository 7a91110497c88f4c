package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	pool := sql.OpenDB(connector{dsn: dsn(Options{Path: path, BusyTimeout: defaultBusyTimeout}, "mode=ro", "_query_only=1")})
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

// Close closes the file.
func (r *ReadOnly) Close() error { return r.db.pool.Close() }
