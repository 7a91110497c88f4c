// Package db is the storage core: one SQLite file, one writer, many readers.
//
// Changes go through Write, which answers when they are on disk. Whatever waits
// at the same time is committed together, so that a hundred callers cost one
// fdatasync. Reads go through a pool of read-only connections and never wait.
//
// Nothing outside of this package knows the engine: SQL elsewhere keeps to what
// SQLite and PostgreSQL share.
package db

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"runtime"
	"sync"
	"time"

	"patronus.internal/dashboard/migrations"
)

// Defaults of Options.
const (
	// defaultBusyTimeout is how long a change waits for another process that
	// holds the database: longer than any command of this program writes, short
	// enough that a caller still gets an answer.
	defaultBusyTimeout = 5 * time.Second
	// defaultQueueSize bounds what waits: at some 5,000 changes a second it is
	// less than a second's worth.
	defaultQueueSize = 4096
)

// Options is what a database is opened with.
type Options struct {
	Path        string           // the file; its folder exists
	Now         func() time.Time // default time.Now
	Rand        io.Reader        // default crypto/rand
	Log         *slog.Logger     // default slog.Default()
	BusyTimeout time.Duration    // default 5 s
	QueueSize   int              // default 4096

	// BeforeCommit runs once for each batch in which a change staged something,
	// with what was staged, in order, inside the transaction. Its error undoes
	// the whole batch.
	BeforeCommit func(tx *Tx, staged []any) error

	migrations fs.FS // default the embedded ones; tests bring their own
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	path     string
	pool     *sql.DB
	writer   *writer
	close    sync.Once
	closeErr error
}

// Open opens the file, or makes it, with mode 0600. It checks that the file is
// a database of this program, is whole, and was not written by a newer version;
// it brings an older one up to date, after a backup. Each refusal is a sentence
// that says what to do.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = defaultBusyTimeout
	}
	if o.QueueSize == 0 {
		o.QueueSize = defaultQueueSize
	}
	if o.migrations == nil {
		o.migrations = migrations.SQLite()
	}
	if err := prepareFile(ctx, o); err != nil {
		return nil, err
	}
	w := &writer{
		handle: sql.OpenDB(connector{dsn: dsn(o), writer: true}),
		now:    o.Now, ids: newIDSource(o.Rand), log: o.Log, random: o.Rand, before: o.BeforeCommit,
		queue: make(chan *job, o.QueueSize), ended: make(chan struct{}),
	}
	// The writer comes first and goes last: the read-only connections need the
	// side files that it makes.
	if err := w.connect(); err != nil {
		return nil, errors.Join(fmt.Errorf("db: open the writer: %w", err), w.handle.Close())
	}
	pool := sql.OpenDB(connector{dsn: dsn(o, "mode=ro", "_query_only=1")})
	// Reads are short and run on the processor; twice the cores keeps them
	// busy while one waits for the disk. Idle ones stay open, since opening
	// one costs more than a read.
	readers := max(4, 2*runtime.NumCPU())
	pool.SetMaxOpenConns(readers)
	pool.SetMaxIdleConns(readers)
	go w.run()
	return &DB{path: o.Path, pool: pool, writer: w}, nil
}

// Close lets what was accepted finish and closes the file. It may be called
// more than once.
func (d *DB) Close() error {
	d.close.Do(func() {
		d.writer.stop()
		d.closeErr = errors.Join(d.pool.Close(), d.writer.disconnect(), d.writer.handle.Close())
	})
	return d.closeErr
}

// keptStatements is how many prepared statements each connection keeps, the
// most recently used ones. The texts are constants of the program, a few dozen,
// but for the filters of lists, of which a day sees a few.
const keptStatements = 128

// dsn is the file as a URI with the settings that every connection needs:
// given here they reach each connection that a pool opens.
func dsn(o Options, extra ...string) string {
	uri := fmt.Sprintf("file:%s?_journal_mode=WAL&_synchronous=FULL&_foreign_keys=1&_secure_delete=1&_busy_timeout=%d&_stmt_cache_size=%d",
		uriPath(o.Path), o.BusyTimeout.Milliseconds(), keptStatements)
	for _, setting := range extra {
		uri += "&" + setting
	}
	return uri
}

// uriPath escapes what has a meaning in a URI.
func uriPath(path string) string { return (&url.URL{Path: path}).EscapedPath() }
