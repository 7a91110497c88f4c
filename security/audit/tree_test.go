package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

func newTree(t testing.TB) *Tree {
	t.Helper()
	private, public, err := note.GenerateKey(rand.Reader, "dashboard.example.org/audit")
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
	return tree
}

// openWith opens a database whose log the tree grows with.
func openWith(t testing.TB, path string, tree *Tree) *db.DB {
	t.Helper()
	d, err := db.Open(context.Background(), db.Options{Path: path, Log: slog.New(slog.DiscardHandler), BeforeCommit: tree.Grow,
		Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.Write(context.Background(), tree.Begin); err != nil {
		t.Fatal(err)
	}
	return d
}

func grown(t testing.TB) (*db.DB, *Tree) {
	t.Helper()
	tree := newTree(t)
	return openWith(t, filepath.Join(t.TempDir(), "patronus.db"), tree), tree
}

func signIn(n int) Event {
	return Event{Type: LoginAttempt, Success: n%3 == 0, Details: Details{"reason": "wrong_password", "device": "A <browser> & more", "n": n},
		Actor: Actor{UserID: "u", Email: fmt.Sprintf("user%d@example.org", n%7), IPAddress: "192.0.2.1", UserAgent: "Firefox\u2028x"}}
}

func verify(t testing.TB, d *db.DB, tree *Tree, witnesses ...Witness) (report Report, err error) {
	t.Helper()
	_ = d.Snapshot(context.Background(), func(r db.Reader) error {
		report, err = Verify(r, tree.Verifier(), witnesses...)
		return nil
	})
	return report, err
}

// TestGrowsWithEveryBatch: the tree is whole after each batch, whatever was rolled
// back in it, and is that of the library over the same leaves.
func TestGrowsWithEveryBatch(t *testing.T) {
	d, tree := grown(t)
	undone := errors.New("undone")
	var wg sync.WaitGroup
	for caller := range 20 {
		wg.Go(func() {
			for i := range 40 {
				err := d.Write(context.Background(), func(tx *db.Tx) error {
					if err := Append(tx, signIn(i)); err != nil {
						return err
					}
					if (caller+i)%5 == 0 {
						return undone
					}
					return Append(tx, signIn(i+1))
				})
				if err != nil && !errors.Is(err, undone) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	report, err := verify(t, d, tree)
	if err != nil || report.Events != 1280 || report.Head.Size != 1280 {
		t.Fatalf("%+v, %v", report, err)
	}
	rows, err := rowsAfter(d.Read(context.Background()), 0, 2000)
	if err != nil {
		t.Fatal(err)
	}
	var plain merkle.Range
	for i, r := range rows {
		if r.seq != int64(i+1) {
			t.Fatalf("number %d stands where %d should", r.seq, i+1)
		}
		plain.Append(r.leaf())
	}
	if plain.Root() != report.Head.Root {
		t.Error("the head is not the root over the leaves")
	}
}

// TestTwoProcessesGrowOneTree: a command and the server write at once.
func TestTwoProcessesGrowOneTree(t *testing.T) {
	path, tree := filepath.Join(t.TempDir(), "patronus.db"), newTree(t)
	server, command := openWith(t, path, tree), openWith(t, path, &Tree{signer: tree.signer, verifier: tree.verifier})
	var wg sync.WaitGroup
	for i := range 8 {
		d := server
		if i%2 == 0 {
			d = command
		}
		wg.Go(func() {
			for range 30 {
				if err := write(t, d, signIn(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if report, err := verify(t, server, tree); err != nil || report.Events != 240 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestOldEventsJoinTheTree: a log from before there was a tree.
func TestOldEventsJoinTheTree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "patronus.db")
	old, err := db.Open(context.Background(), db.Options{Path: path, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	err = old.Write(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec(`INSERT INTO audit_events (seq, time_us, event_type, severity, success, email, details)
			WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1500)
			SELECT n, n * 1000000, 'logout', 'info', 1, 'u@example.org', '{"target_email":"v@example.org","count":' || n || '}' FROM n`)
		for _, counted := range []string{ // by the migration
			"INSERT INTO audit_counts SELECT time_us / 3600000000 * 3600000000, event_type, severity, success, COUNT(*) FROM audit_events GROUP BY 1, 2, 3, 4",
			"INSERT INTO audit_hours SELECT time_us / 3600000000 * 3600000000, MIN(seq), MAX(seq) FROM audit_events GROUP BY 1",
		} {
			if err == nil {
				_, err = tx.Exec(counted)
			}
		}
		return err
	})
	if err := errors.Join(err, old.Close()); err != nil {
		t.Fatal(err)
	}
	tree := newTree(t)
	d := openWith(t, path, tree)
	if err := write(t, d, signIn(1)); err != nil {
		t.Fatal(err)
	}
	if report, err := verify(t, d, tree); err != nil || report.Events != 1501 {
		t.Errorf("%+v, %v", report, err)
	}
	event, err := Get(d.Read(context.Background()), 1500)
	if err != nil || string(event.Details) != `{"count":1500,"target_email":"v@example.org"}` {
		t.Errorf("%s, %v", event.Details, err)
	}
}

// TestProofsAreTheLibrarys checks each proof as an outsider would: with the event,
// the proof and the signed head.
func TestProofsAreTheLibrarys(t *testing.T) {
	d, tree := grown(t)
	for n := range 300 {
		if err := write(t, d, signIn(n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, seq := range []int64{1, 2, 255, 256, 257, 300} {
		p, err := Prove(d.Read(context.Background()), tree.Verifier(), seq)
		if err != nil || p.Problem != "" {
			t.Fatalf("event %d: %q, %v", seq, p.Problem, err)
		}
		head, err := openCheckpoint(p.Checkpoint, tree.Verifier())
		if err != nil || head.Size != 300 {
			t.Fatal(head, err)
		}
		if err := tlog.CheckRecord(p.Path, head.Size, head.Root, seq-1, p.Leaf); err != nil {
			t.Errorf("event %d: %v", seq, err)
		}
	}
	if _, err := Prove(d.Read(context.Background()), tree.Verifier(), 301); err == nil {
		t.Error("an event that is not there is proven")
	}
	if err := change(d, "UPDATE audit_events SET success = 1 - success WHERE seq = 7"); err != nil {
		t.Fatal(err)
	}
	if p, err := Prove(d.Read(context.Background()), tree.Verifier(), 7); err != nil || p.Problem == "" {
		t.Errorf("an altered event is proven: %v", err)
	}
}

// change is what somebody does to the database outside of this program.
func change(d *db.DB, statement string, args ...any) error {
	return d.Write(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Exec(statement, args...)
		return err
	})
}

// TestAFailedCommitIsNoAlteration: what was signed and not committed is forgotten,
// and the next event goes on from what is on disk.
func TestAFailedCommitIsNoAlteration(t *testing.T) {
	tree, fail := newTree(t), errors.New("no room")
	failing := false
	d, err := db.Open(context.Background(), db.Options{Path: filepath.Join(t.TempDir(), "patronus.db"), Log: slog.New(slog.DiscardHandler),
		BeforeCommit: func(tx *db.Tx, staged []any) error {
			if err := tree.Grow(tx, staged); err != nil || !failing {
				return err
			}
			return fail
		}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Write(context.Background(), tree.Begin); err != nil {
		t.Fatal(err)
	}
	for n := range 6 {
		failing = n%2 == 1
		if err := write(t, d, signIn(n)); (err != nil) != failing {
			t.Fatalf("event %d: %v", n, err)
		}
		if err := tree.Check(d.Read(context.Background())); err != nil {
			t.Fatal(err)
		}
	}
	if report, err := verify(t, d, tree); err != nil || report.Events != 3 {
		t.Errorf("%+v, %v", report, err)
	}
}
