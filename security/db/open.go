package db

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	sqlite3 "github.com/mattn/go-sqlite3"
)

// applicationID marks a file as ours ("PATR"), https://sqlite.org/fileformat2.html#application_id.
const applicationID = 0x50415452

// header begins every SQLite file, https://sqlite.org/fileformat2.html#the_database_header.
const header = "SQLite format 3\x00"

// fullCheck is the largest file that is checked page by page at each start, in
// bytes. That reads the whole file, some 10 ms for this many; a larger one
// would keep the first answer waiting.
const fullCheck = 16 << 20

// prepareFile makes or checks the file, migrates it and returns the handle of
// the writer, which has one connection.
func prepareFile(ctx context.Context, o Options) (*sql.DB, error) {
	unlock, err := lockFile(ctx, o.Path+".lock")
	if err != nil {
		return nil, err
	}
	defer unlock()
	size, err := touchFile(o.Path)
	if err != nil {
		return nil, err
	}
	handle, err := sql.Open("sqlite3", dsn(o))
	if err != nil {
		return nil, fmt.Errorf("db: open: %w", err)
	}
	handle.SetMaxOpenConns(1)
	if err = checkFile(ctx, handle, o, size); err == nil {
		err = migrate(ctx, handle, o)
	}
	if err != nil {
		return nil, errors.Join(damagedOr(o.Path, err), handle.Close())
	}
	return handle, nil
}

// touchFile makes the file, readable by its owner alone, when it is absent, and
// returns its size. SQLite gives its side files the same mode.
func touchFile(path string) (size int64, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return 0, fmt.Errorf("the database %s cannot be opened: this user may not read and write it. Run as its owner", path)
	case err != nil:
		return 0, fmt.Errorf("the database cannot be opened: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("the database %s is not a plain file", path)
	}
	start := make([]byte, len(header))
	n, err := io.ReadFull(file, start)
	if err == io.EOF { // empty: new
		return 0, nil
	}
	if err != nil && err != io.ErrUnexpectedEOF || !bytes.Equal(start[:n], []byte(header)) {
		return 0, damaged(path, err)
	}
	return info.Size(), nil
}

// checkFile refuses a database of another program and a damaged one.
func checkFile(ctx context.Context, handle *sql.DB, o Options, size int64) error {
	var tables, id int
	if err := handle.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if err := handle.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return err
	}
	if tables > 0 && id != applicationID {
		return fmt.Errorf("%s is a database of another program. Choose another folder with --data-dir", o.Path)
	}
	if size > fullCheck {
		return nil
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
		path, cmpOr(cause, errors.New("the file does not begin as one")))
}

func cmpOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// backupFolder is where the copies from before a migration are.
func backupFolder(path string) string { return filepath.Join(filepath.Dir(path), "backups") }
