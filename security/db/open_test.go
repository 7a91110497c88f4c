package db

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
)

func refused(t *testing.T, o Options, sentence string) {
	t.Helper()
	o.Log = quiet
	d, err := Open(context.Background(), o)
	if err == nil {
		t.Fatal(errors.Join(errors.New("it was opened"), d.Close()))
	}
	if !strings.Contains(err.Error(), sentence) || !strings.Contains(err.Error(), filepath.Base(o.Path)) {
		t.Errorf("the refusal is %q, want %q and the file", err, sentence)
	}
}

// fresh makes a database with some rows and closes it.
func fresh(t *testing.T, path string) []byte {
	t.Helper()
	d := openAt(t, Options{Path: path})
	err := d.Write(context.Background(), func(tx *Tx) error {
		_, err := tx.Exec(big)
		return err
	})
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestDamagedFilesAreRefused(t *testing.T) {
	whole := fresh(t, filepath.Join(t.TempDir(), "whole.db"))
	middle := bytes.Clone(whole)
	for i := len(middle) / 2; i < len(middle)/2+8192; i++ {
		middle[i] ^= 0x5a
	}
	for name, content := range map[string][]byte{
		"garbage":        []byte(strings.Repeat("garbage ", 1000)),
		"a short file":   []byte("SQLite"),
		"garbled header": append([]byte("SQLite format 4\x00"), whole[16:]...),
		"a cut file":     whole[:len(whole)/2],
		"garbled pages":  middle,
		"only a header":  whole[:50],
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "patronus.db")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			refused(t, Options{Path: path}, "is damaged or not a database")
			if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
				t.Errorf("the file was changed, %v", err)
			}
		})
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "other.db")
	other, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Exec("CREATE TABLE recipes (id)")
	if err := errors.Join(err, other.Close()); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, Options{Path: path}, "database of another program")
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file was changed, %v", err)
	}
	refused(t, Options{Path: t.TempDir()}, "directory")
}

func migrationFiles(names ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for _, name := range names {
		sql := "-- +goose Up\nCREATE TABLE " + strings.TrimSuffix(name[5:], ".sql") + " (id INTEGER PRIMARY KEY) STRICT;\n"
		if name[:4] == "0001" {
			sql += "PRAGMA application_id = 1346458706;\n"
		}
		files[name] = &fstest.MapFile{Data: []byte(sql)}
	}
	return files
}

func TestMigrationKeepsACopy(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "patronus.db")
	older := openAt(t, Options{Path: path, migrations: migrationFiles("0001_one.sql")})
	err := older.Write(context.Background(), func(tx *Tx) error { return insert(tx, 1) })
	if err := errors.Join(err, older.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "backups")); err == nil {
		t.Error("a new file was backed up")
	}
	newer := openAt(t, Options{Path: path, migrations: migrationFiles("0001_one.sql", "0002_two.sql", "0010_ten.sql")})
	if version, err := newer.SchemaVersion(context.Background()); err != nil || version != 10 {
		t.Errorf("schema %d, %v", version, err)
	}
	if n := count(t, newer); n != 1 {
		t.Errorf("%d rows after the migration", n)
	}
	copies, err := filepath.Glob(filepath.Join(folder, "backups", "patronus-schema1-*.db"))
	if err != nil || len(copies) != 1 {
		t.Fatalf("the copies are %v, %v", copies, err)
	}
	if info, err := os.Stat(copies[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the mode of the copy is %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Join(folder, "backups")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the mode of their folder is %v, %v", info, err)
	}
	restored := filepath.Join(folder, "restored.db")
	content, err := os.ReadFile(copies[0])
	if err := errors.Join(err, os.WriteFile(restored, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	back := openAt(t, Options{Path: restored, migrations: migrationFiles("0001_one.sql")})
	if n := count(t, back); n != 1 {
		t.Errorf("%d rows in the copy", n)
	}
	if err := newer.Close(); err != nil {
		t.Fatal(err)
	}
	refused(t, Options{Path: path, migrations: migrationFiles("0001_one.sql", "0002_two.sql")}, "newer version of this program (schema 10; this one knows up to 2)")
}

// TestFailedMigrationChangesNothing: the step is undone, the copy is there, and
// the older program still works.
func TestFailedMigrationChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	if err := openAt(t, Options{Path: path, migrations: migrationFiles("0001_one.sql")}).Close(); err != nil {
		t.Fatal(err)
	}
	files := migrationFiles("0001_one.sql")
	files["0002_bad.sql"] = &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE two (id INTEGER) STRICT;\nCREATE TABLE two (id INTEGER) STRICT;\n")}
	if d, err := Open(context.Background(), Options{Path: path, Log: quiet, migrations: files}); err == nil {
		t.Fatal(errors.Join(errors.New("it was opened"), d.Close()))
	}
	d := openAt(t, Options{Path: path, migrations: migrationFiles("0001_one.sql")})
	var left bool
	if err := d.Read(context.Background()).QueryRow("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'two')").Scan(&left); err != nil || left {
		t.Errorf("a table of the failed step is there: %t, %v", left, err)
	}
}

func TestManyOpenAnEmptyFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			d, err := Open(context.Background(), Options{Path: path, Log: quiet})
			if err != nil {
				t.Error(err)
				return
			}
			if version, err := d.SchemaVersion(context.Background()); err != nil || version != LatestSchema() {
				t.Errorf("schema %d, %v", version, err)
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestOddPathsAndModes(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "a ?b#c%20d é")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "patronus.db")
	d := openAt(t, Options{Path: path})
	if n := count(t, d); n != 0 {
		t.Errorf("%d rows", n)
	}
	for _, name := range []string{"patronus.db", "patronus.db-wal", "patronus.db-shm"} {
		info, err := os.Stat(filepath.Join(folder, name))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
}

// TestSettingsReachEveryConnection: durability and the rest are not left to
// the first connection of a pool.
func TestSettingsReachEveryConnection(t *testing.T) {
	d := open(t)
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1"}
	err := d.Write(context.Background(), func(tx *Tx) error {
		for name, value := range want {
			var got string
			if err := tx.QueryRow("PRAGMA " + name).Scan(&got); err != nil || got != value {
				t.Errorf("the writer has %s = %s, %v", name, got, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Several snapshots at once need several connections.
	var nest func(depth int) error
	nest = func(depth int) error {
		if depth == 0 {
			return nil
		}
		return d.Snapshot(context.Background(), func(r Reader) error {
			var only string
			if err := r.QueryRow("PRAGMA query_only").Scan(&only); err != nil || only != "1" {
				t.Errorf("a reader has query_only = %s, %v", only, err)
			}
			return nest(depth - 1)
		})
	}
	if err := nest(4); err != nil {
		t.Error(err)
	}
}

// TestStartCutOffEarly: a start that was killed between the list of migrations
// and the first of them is made good by the next.
func TestStartCutOffEarly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	if err := openAt(t, Options{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	handle, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	var statements string
	err = handle.QueryRow("SELECT sql FROM sqlite_schema WHERE name = 'goose_db_version'").Scan(&statements)
	if err := errors.Join(err, handle.Close()); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "patronus.db")
	if handle, err = sql.Open("sqlite3", path); err != nil {
		t.Fatal(err)
	}
	_, err = handle.Exec(statements + "; INSERT INTO goose_db_version (version_id, is_applied) VALUES (0, 1)")
	if err := errors.Join(err, handle.Close()); err != nil {
		t.Fatal(err)
	}
	version, err := openAt(t, Options{Path: path}).SchemaVersion(context.Background())
	if err != nil || version != LatestSchema() {
		t.Errorf("schema %d, %v", version, err)
	}
}

// TestWideModeIsNarrowed: a restored file that others may read is closed to
// them before anything new is written beside it.
func TestWideModeIsNarrowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	if err := errors.Join(openAt(t, Options{Path: path}).Close(), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	openAt(t, Options{Path: path})
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// enlarge fills jobs until the file is too large to be checked page by page.
func enlarge(t *testing.T, d *DB) {
	t.Helper()
	for i := range 24 {
		err := d.Write(context.Background(), func(tx *Tx) error {
			_, err := tx.Exec("INSERT INTO jobs (id, body) VALUES ($1, hex(zeroblob(500000)))", i)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestBackupIsVerified: when the copy is not good, the migration does not begin,
// and the bad copy is not left behind for somebody to trust.
func TestBackupIsVerified(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "patronus.db")
	one := migrationFiles("0001_one.sql")
	older := openAt(t, Options{Path: path, migrations: one})
	enlarge(t, older) // or the start itself would find it
	err := older.Write(context.Background(), func(tx *Tx) error {
		_, err := tx.Exec("CREATE TABLE full (n INTEGER) STRICT")
		if err == nil {
			_, err = tx.Exec("INSERT INTO full VALUES (NULL)")
		}
		return err
	})
	if err := errors.Join(err, older.Close()); err != nil {
		t.Fatal(err)
	}
	handle, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	handle.SetMaxOpenConns(1)
	_, err = handle.Exec("PRAGMA writable_schema = 1; UPDATE sqlite_schema SET sql = 'CREATE TABLE full (n INTEGER NOT NULL) STRICT' WHERE name = 'full'")
	if err := errors.Join(err, handle.Close()); err != nil {
		t.Fatal(err)
	}
	d, err := Open(context.Background(), Options{Path: path, Log: quiet, migrations: migrationFiles("0001_one.sql", "0002_two.sql")})
	if err == nil {
		t.Fatal(errors.Join(errors.New("it was migrated over a bad copy"), d.Close()))
	}
	if !strings.Contains(err.Error(), "the backup before the migration is not good") {
		t.Errorf("the refusal is %q", err)
	}
	if left, err := os.ReadDir(filepath.Join(folder, "backups")); err != nil || len(left) != 0 {
		t.Errorf("the bad copy is still there: %v, %v", left, err)
	}
	if version, err := openAt(t, Options{Path: path, migrations: one}).SchemaVersion(context.Background()); err != nil || version != 1 {
		t.Errorf("schema %d, %v", version, err)
	}
}

// TestLargeFileIsSampled: in a file that is too large to be checked page by
// page each start still looks into every table.
func TestLargeFileIsSampled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	d := openAt(t, Options{Path: path})
	enlarge(t, d)
	var root, page int64
	err := errors.Join(d.Read(context.Background()).QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'").Scan(&root),
		d.Read(context.Background()).QueryRow("PRAGMA page_size").Scan(&page), d.Close())
	if err != nil {
		t.Fatal(err)
	}
	if err := openAt(t, Options{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil || info.Size() <= fullCheck {
		t.Fatalf("%d bytes are not large, %v", info.Size(), err)
	}
	_, err = file.WriteAt(bytes.Repeat([]byte{0x5a}, int(page)), (root-1)*page)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	refused(t, Options{Path: path}, "is damaged or not a database")
}
