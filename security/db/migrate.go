package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"

	"patronus.internal/dashboard/migrations"
)

// LatestSchema is the newest schema that this program knows.
func LatestSchema() int64 {
	latest, err := latest(migrations.SQLite())
	if err != nil {
		panic(err) // the files are embedded: only a broken build gets here
	}
	return latest
}

// SchemaVersion is the schema of the open database.
func (d *DB) SchemaVersion(ctx context.Context) (int64, error) {
	var version int64
	if err := d.Read(ctx).QueryRow(selectVersion).Scan(&version); err != nil {
		return 0, fmt.Errorf("db: schema version: %w", err)
	}
	return version, nil
}

const selectVersion = "SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied"

func latest(files fs.FS) (int64, error) {
	names, err := fs.Glob(files, "*.sql")
	if err != nil || len(names) == 0 {
		return 0, errors.Join(err, errors.New("db: there are no migrations"))
	}
	return goose.NumericComponent(names[len(names)-1]) // Glob sorts
}

// migrate brings the schema up to date, after a backup of what was there.
func migrate(ctx context.Context, o Options) (err error) {
	handle, err := sql.Open("sqlite3", dsn(o))
	if err != nil {
		return fmt.Errorf("db: open: %w", err)
	}
	defer func() { err = errors.Join(err, handle.Close()) }()
	handle.SetMaxOpenConns(1)
	known, err := latest(o.migrations)
	if err != nil {
		return err
	}
	current, err := currentVersion(ctx, handle)
	if err != nil {
		return err
	}
	switch {
	case current == known:
		return nil
	case current > known:
		return fmt.Errorf("the database %s was written by a newer version of this program (schema %d; this one knows up to %d). Start the newer program, or put a backup from before the upgrade in its place",
			o.Path, current, known)
	case current > 0:
		if err := backup(ctx, handle, o, current); err != nil {
			return err
		}
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, handle, o.migrations,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("db: read the migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("db: migrate from schema %d: %w", current, err)
	}
	if current > 0 { // a new file is nothing to tell of
		o.Log.InfoContext(ctx, "the database was migrated", "from", current, "to", known)
	}
	return nil
}

// currentVersion is 0 for a file without tables.
func currentVersion(ctx context.Context, handle *sql.DB) (version int64, err error) {
	var migrated bool
	err = handle.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version')").Scan(&migrated)
	if err != nil || !migrated {
		return 0, err
	}
	err = handle.QueryRowContext(ctx, selectVersion).Scan(&version)
	return version, err
}

// backup copies the database before a migration changes it, and checks the
// copy. It has its name only once it is whole and on disk.
func backup(ctx context.Context, handle *sql.DB, o Options, version int64) (err error) {
	folder := backupFolder(o.Path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("db: make the folder for the backup: %w", err)
	}
	name := filepath.Join(folder, fmt.Sprintf("patronus-schema%d-%s.db", version, o.Now().UTC().Format("20060102T150405.000000Z")))
	partial := name + ".partial"
	// SQLite fills an empty file; made here it is readable by its owner alone.
	file, err := os.OpenFile(partial, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("db: make the backup: %w", err)
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	if _, err := handle.ExecContext(ctx, "VACUUM INTO $1", partial); err != nil {
		return fmt.Errorf("db: back up before the migration; nothing was changed: %w", err)
	}
	if err := verifyBackup(ctx, partial); err != nil {
		return fmt.Errorf("db: the backup before the migration is not good; nothing was changed: %w", err)
	}
	if err := errors.Join(file.Sync(), os.Rename(partial, name), syncFolder(folder)); err != nil {
		return fmt.Errorf("db: keep the backup before the migration; nothing was changed: %w", err)
	}
	o.Log.InfoContext(ctx, "the database was backed up before its migration", "file", name)
	return nil
}

// syncFolder makes the names in a folder survive a loss of power.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func verifyBackup(ctx context.Context, name string) (err error) {
	copied, err := sql.Open("sqlite3", "file:"+uriPath(name)+"?mode=ro")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	var verdict string
	if err := copied.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	return nil
}
