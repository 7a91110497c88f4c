package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// applicationID marks a file as ours ("PATR"), https://sqlite.org/fileformat2.html#application_id.
const applicationID = 0x50415452

// fullCheck is the largest file that is checked page by page at each start, in
// bytes. That reads the whole file, some 10 ms for this many; a larger one
// would keep the first answer waiting.
const fullCheck = 16 << 20

// prepareFile makes or checks the file and migrates it.
func prepareFile(ctx context.Context, o Options) error {
	unlock, err := lockFile(ctx, o.Path+".lock")
	if err != nil {
		return err
	}
	defer unlock()
	size, err := touchFile(o)
	if err != nil {
		return err
	}
	if err := inspect(ctx, o, size); err != nil {
		return damagedOr(o.Path, err)
	}
	return damagedOr(o.Path, migrate(ctx, o))
}

// inspect looks at the file through a connection that has none of our settings:
// what is refused keeps even its journal mode.
func inspect(ctx context.Context, o Options, size int64) (err error) {
	handle, err := sql.Open("sqlite3", fmt.Sprintf("file:%s?mode=rw&_busy_timeout=%d", uriPath(o.Path), o.BusyTimeout.Milliseconds()))
	if err != nil {
		return fmt.Errorf("db: open: %w", err)
	}
	defer func() { err = errors.Join(err, handle.Close()) }()
	handle.SetMaxOpenConns(1)
	return checkFile(ctx, handle, o, size)
}

// touchFile makes the file, readable by its owner alone, when it is absent, and
// returns its size. SQLite gives its side files the same mode, so one that was
// restored with a wider mode is closed to others first.
//
// A file that is there is only looked at: opening and closing it would drop the
// locks of every other handle that this process has on it, and another program
// with an older SQLite could then delete the log under them
// (https://sqlite.org/howtocorrupt.html §2.2).
func touchFile(o Options) (size int64, err error) {
	path := o.Path
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	switch {
	case err == nil:
		return 0, file.Close()
	case errors.Is(err, fs.ErrPermission):
		return 0, notPermitted(path)
	case !errors.Is(err, fs.ErrExist):
		return 0, fmt.Errorf("the database cannot be opened: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("the database cannot be opened: %w", err)
	}
	if info.IsDir() {
		return 0, fmt.Errorf("the database %s is a directory, not a file", path)
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("the database %s is not a plain file", path)
	}
	if !accessible(path) {
		return 0, notPermitted(path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil {
			return 0, fmt.Errorf("the database %s can be read by other accounts of this host (mode %04o). Make it yours alone: chmod 600 (%w)", path, mode, err)
		}
		o.Log.Warn("the database could be read by other accounts of this host; it no longer can", "file", path, "mode", fmt.Sprintf("%04o", mode))
	}
	return info.Size(), nil
}

func notPermitted(path string) error {
	return fmt.Errorf("the database %s cannot be opened: this user may not read and write it. Run as its owner", path)
}

// checkFile refuses a database of another program and a damaged one.
func checkFile(ctx context.Context, handle *sql.DB, o Options, size int64) error {
	var tables, id int
	// The list of migrations is made before the first of them marks the file:
	// a start that was cut off in between left only that.
	if err := handle.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('goose_db_version', 'sqlite_sequence')").Scan(&tables); err != nil {
		return err
	}
	if err := handle.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if tables > 0 && id != applicationID {
		return fmt.Errorf("%s is a database of another program. Choose another folder with --data-dir", o.Path)
	}
	if size > fullCheck {
		return sampleTables(ctx, handle)
	}
	var verdict string
	if err := handle.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return damaged(o.Path, errors.New(verdict))
	}
	return nil
}

// sampleTables reads the first row of each table: that finds a file that was cut
// off or overwritten at its beginning, at the cost of a few pages.
func sampleTables(ctx context.Context, handle *sql.DB) error {
	rows, err := handle.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table'")
	if err != nil {
		return err
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return errors.Join(err, rows.Close())
		}
		names = append(names, name)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, name := range names {
		quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		var there bool
		if err := handle.QueryRowContext(ctx, "SELECT EXISTS (SELECT * FROM "+quoted+")").Scan(&there); err != nil {
			return err
		}
	}
	return nil
}

// damagedOr says in a sentence what the engine says in a code.
func damagedOr(path string, err error) error {
	if e, ok := errors.AsType[sqlite3.Error](err); ok {
		switch e.Code {
		case sqlite3.ErrNotADB, sqlite3.ErrCorrupt:
			return damaged(path, err)
		case sqlite3.ErrBusy, sqlite3.ErrLocked:
			return fmt.Errorf("another program holds the database %s; try again when it is done: %w", path, err)
		}
	}
	return err
}

func damaged(path string, cause error) error {
	return fmt.Errorf("the database %s is damaged or not a database. Nothing was changed. Move it away together with the files beside it that begin with the same name, and put a backup in its place (%w)",
		path, cause)
}

// backupFolder is where the copies from before a migration are.
func backupFolder(path string) string { return filepath.Join(filepath.Dir(path), "backups") }
