package audit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"patronus.internal/dashboard/security/db"
)

// A test needs processes that it can kill. They are this same program, told by
// variables what to be.
const (
	writerEnv = "PATRONUS_AUDIT_TEST_WRITER" // the database
	keyEnv    = "PATRONUS_AUDIT_TEST_KEY"    // signer and verifier key
)

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		if err := writeWithoutEnd(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeWithoutEnd writes from 16 goroutines, every third change undone, and prints
// a line for each that was acknowledged.
func writeWithoutEnd(path string) error {
	private, public, _ := strings.Cut(os.Getenv(keyEnv), "\n")
	signer, err := note.NewSigner(private)
	if err != nil {
		return err
	}
	tree, err := NewTree(signer, public)
	if err != nil {
		return err
	}
	d, err := db.Open(context.Background(), db.Options{Path: path, Log: slog.New(slog.DiscardHandler), BeforeCommit: tree.Grow})
	if err != nil {
		return err
	}
	failed := make(chan error)
	undone := errors.New("undone")
	for writer := range 16 {
		go func() {
			for i := 0; ; i++ {
				err := d.Write(context.Background(), func(tx *db.Tx) error {
					if err := Append(tx, signIn(i)); err != nil || (writer+i)%3 > 0 {
						return err
					}
					return undone
				})
				switch {
				case err == nil:
					fmt.Println("done")
				case !errors.Is(err, undone):
					failed <- err
				}
			}
		}()
	}
	return <-failed
}

// TestKilledProcessesLeaveAWholeLog: two processes write to one log at once, and are
// killed, several times over. What was acknowledged is there, numbers have no gaps,
// and the signed head covers every event.
func TestKilledProcessesLeaveAWholeLog(t *testing.T) {
	private, public, err := note.GenerateKey(nil, "dashboard.example.org/audit")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := NewTree(signer, public)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "patronus.db")
	d := openWith(t, path, tree)
	acknowledged := 0
	for range 3 {
		var outs []*bufio.Scanner
		var processes []*exec.Cmd
		for range 2 {
			process := exec.Command(os.Args[0])
			process.Env = append(os.Environ(), writerEnv+"="+path, keyEnv+"="+private+"\n"+public)
			process.Stderr = os.Stderr
			out, err := process.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := process.Start(); err != nil {
				t.Fatal(err)
			}
			processes, outs = append(processes, process), append(outs, bufio.NewScanner(out))
		}
		for _, out := range outs {
			for n := 0; n < 300 && out.Scan(); n++ {
				acknowledged++
			}
		}
		for i, process := range processes {
			if err := process.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			for outs[i].Scan() { // what it had said before
				acknowledged++
			}
			_ = process.Wait() // it was killed
		}
		report, err := verify(t, d, tree)
		if err != nil || report.Events < int64(acknowledged) || report.Events != report.Head.Size {
			t.Fatalf("%d were acknowledged; %+v, %v", acknowledged, report, err)
		}
	}
	if acknowledged < 1800 {
		t.Errorf("only %d events were acknowledged", acknowledged)
	}
}
