package db

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"patronus.internal/dashboard/security/secerr"
)

// Some tests need another process. It is this same program, told by a variable
// what to be.
const childEnv = "PATRONUS_DB_TEST_CHILD"

var children = map[string]func(){"writer": childWriter, "holder": childHolder, "visitor": childVisitor}

// child starts this program anew as one of children.
func child(t *testing.T, role, path string) (command *exec.Cmd, in io.WriteCloser, out *bufio.Scanner) {
	t.Helper()
	command = exec.Command(os.Args[0], path)
	command.Env = append(os.Environ(), childEnv+"="+role)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command, in, bufio.NewScanner(stdout)
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// childWriter writes from 16 goroutines without end and prints each id after
// its write was acknowledged. A row fills about half a page, so that the log is
// also copied back into the file (each 1000 pages) while the load runs.
func childWriter() {
	d, err := Open(context.Background(), Options{Path: os.Args[1], Log: quiet})
	if err != nil {
		fatal(err)
	}
	var next, printing sync.Mutex
	id := os.Getpid() * 1_000_000
	for range 16 {
		go func() {
			for {
				next.Lock()
				id++
				mine := id
				next.Unlock()
				err := d.Write(context.Background(), func(tx *Tx) error {
					_, err := tx.Exec("INSERT INTO jobs (id, body) VALUES ($1, hex(zeroblob(1000)))", mine)
					return err
				})
				if err != nil {
					fatal(err)
				}
				printing.Lock()
				fmt.Println(mine)
				printing.Unlock()
			}
		}()
	}
	select {}
}

// TestKilled: a process is killed under write load, twenty times. Every write
// that it acknowledged is there, and the file is whole.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	if err := openAt(t, Options{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	var all []int
	for round := range 20 {
		command, _, out := child(t, "writer", path)
		var ids []int
		for out.Scan() {
			id, err := strconv.Atoi(out.Text())
			if err != nil {
				break // the last line was cut off by the kill
			}
			// A moment that differs from round to round, counted in writes.
			if ids = append(ids, id); len(ids) == 50+137*round {
				if err := command.Process.Signal(syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		end, _ := errors.AsType[*exec.ExitError](command.Wait())
		if end == nil || end.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the process was not killed: %v", end)
		}
		all = append(all, ids...)
		verify(t, path, all) // those of earlier rounds as well
	}
	t.Logf("%d acknowledged writes", len(all))
}

func verify(t *testing.T, path string, ids []int) {
	t.Helper()
	d, err := Open(context.Background(), Options{Path: path, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	var verdict string
	if err := d.Read(context.Background()).QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the file is not whole: %s, %v", verdict, err)
	}
	rows, err := d.Read(context.Background()).Query("SELECT id FROM jobs")
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[int]bool)
	for rows.Next() {
		var id int
		if err := rows.Scan(&id); err != nil {
			t.Error(err)
		}
		there[id] = true
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if !there[id] {
			t.Fatalf("the acknowledged write %d is lost", id)
		}
	}
}

// childHolder takes the write lock, says so, and holds it until its input ends.
func childHolder() {
	handle, err := sql.Open("sqlite3", dsn(Options{Path: os.Args[1], BusyTimeout: 10 * time.Second}, "_txlock=immediate"))
	if err != nil {
		fatal(err)
	}
	tx, err := handle.Begin()
	if err != nil {
		fatal(err)
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := errors.Join(tx.Rollback(), handle.Close()); err != nil {
		fatal(err)
	}
}

// holder starts a process that holds the write lock.
func holder(t *testing.T, path string) (command *exec.Cmd, in io.WriteCloser) {
	t.Helper()
	command, in, out := child(t, "holder", path)
	if !out.Scan() || out.Text() != "held" {
		t.Fatal("the lock is not held")
	}
	return command, in
}

// TestForeignLock: while another process holds the database, callers are told
// that it is not available; once it lets go, they succeed.
func TestForeignLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	d := openAt(t, Options{Path: path, BusyTimeout: 50 * time.Millisecond})
	command, in := holder(t, path)
	err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 1) })
	if refusal, ok := errors.AsType[*secerr.Error](err); !ok || refusal.Code != secerr.Unavailable || refusal.RetryAfter < time.Second {
		t.Errorf("the caller got %v", err)
	}
	if n := count(t, d); n != 0 { // a reader does not wait
		t.Errorf("%d rows", n)
	}
	if err := errors.Join(in.Close(), command.Wait()); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 2) }); err != nil {
		t.Errorf("after the lock: %v", err)
	}
}

// TestForeignLockIsWaitedFor: callers that came while another process held the
// database succeed without being told anything, when it lets go in time.
func TestForeignLockIsWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	d := openAt(t, Options{Path: path, BusyTimeout: time.Minute})
	command, in := holder(t, path)
	jobs := make([]*job, 20)
	for i := range jobs {
		jobs[i] = &job{change: func(tx *Tx) error { return insert(tx, i) }, done: make(chan error, 1)}
		if err := d.writer.enqueue(jobs[i]); err != nil {
			t.Fatal(err)
		}
	}
	for len(d.writer.queue) == len(jobs) {
		runtime.Gosched() // The writer is on its way to the lock.
	}
	for i, j := range jobs {
		if len(j.done) > 0 {
			t.Errorf("caller %d was answered while the lock was held", i)
		}
	}
	if err := errors.Join(in.Close(), command.Wait()); err != nil {
		t.Fatal(err)
	}
	for i, j := range jobs {
		if err := <-j.done; err != nil {
			t.Errorf("caller %d: %v", i, err)
		}
	}
	if n := count(t, d); n != len(jobs) {
		t.Errorf("%d rows, want %d", n, len(jobs))
	}
}

// TestTenSecondLock: with the settings of the program, ten seconds of a foreign
// lock make callers wait or come back later, and nothing else.
func TestTenSecondLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "patronus.db")
	d := openAt(t, Options{Path: path})
	command, in := holder(t, path)
	released := make(chan error, 1)
	time.AfterFunc(10*time.Second, func() { released <- errors.Join(in.Close(), command.Wait()) })
	var wg sync.WaitGroup
	var mu sync.Mutex
	done, told := 0, 0
	for i := range 20 {
		wg.Go(func() {
			for {
				err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, i) })
				mu.Lock()
				switch {
				case err == nil:
					done++
				case secerr.Is(err, secerr.Unavailable):
					told++
				default:
					t.Errorf("a caller got %v", err)
				}
				mu.Unlock()
				if err == nil || !secerr.Is(err, secerr.Unavailable) {
					return
				}
			}
		})
	}
	wg.Wait()
	if err := <-released; err != nil {
		t.Fatal(err)
	}
	if n := count(t, d); n != 20 || done != 20 {
		t.Errorf("%d rows, %d acknowledged, %d refusals", n, done, told)
	}
}

// TestTwoHandlesWriteByTurns: two processes write by turns; neither's rows are
// lost, since nothing is remembered outside of the file.
func TestTwoHandlesWriteByTurns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	a, b := openAt(t, Options{Path: path}), openAt(t, Options{Path: path})
	var wg sync.WaitGroup
	for n, d := range []*DB{a, b} {
		for i := range 100 {
			wg.Go(func() {
				if err := d.Write(context.Background(), func(tx *Tx) error { return insert(tx, 1000*n+i) }); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := count(t, a); n != 200 {
		t.Errorf("%d rows, want 200", n)
	}
}

// childVisitor asks, as an SQLite that leaves does, whether anybody else has the
// file open: by a lock on the bytes that each open handle holds
// (https://sqlite.org/fileformat2.html#the_lock_byte_page).
func childVisitor() {
	file, err := os.OpenFile(os.Args[1], os.O_RDWR, 0)
	if err != nil {
		fatal(err)
	}
	shared := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: 1<<30 + 2, Len: 510}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &shared); err != nil {
		fatal(err)
	}
	if shared.Type == syscall.F_UNLCK {
		fmt.Println("nobody")
		return
	}
	fmt.Println(shared.Pid)
}

// TestSecondHandleKeepsLocks: when a process opens the file once more and closes
// it, its first handle keeps its lock. Without it another program that looks at
// the file (sqlite3 3.40.1 does) takes itself for the last one when it leaves
// and deletes the log that the first handle still writes to.
func TestSecondHandleKeepsLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	openAt(t, Options{Path: path})
	if err := openAt(t, Options{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	command, _, out := child(t, "visitor", path)
	if !out.Scan() || out.Text() != strconv.Itoa(os.Getpid()) {
		t.Errorf("the file is open in process %q, want %d", out.Text(), os.Getpid())
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
}
