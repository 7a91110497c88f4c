package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// EmptyLog brings everything that was committed from the write-ahead log into the
// file and cuts the log to nothing, so that no page from before is left in it. It
// reports false when somebody reads an older state meanwhile: then it has to be
// tried again. Writers wait for it, 100 ms at most while it cannot.
func (d *DB) EmptyLog(ctx context.Context) (emptied bool, err error) {
	handle := sql.OpenDB(connector{dsn: dsn(Options{Path: d.path, BusyTimeout: 100 * time.Millisecond})})
	defer func() { err = errors.Join(err, handle.Close()) }()
	var busy, pages, moved int
	if err := handle.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &pages, &moved); err != nil {
		return false, fmt.Errorf("db: empty the log: %w", err)
	}
	return busy == 0, nil
}
