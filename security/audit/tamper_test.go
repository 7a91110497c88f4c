package audit

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/merkle"
)

// rewrite changes the events from a number on, and computes every hash anew, as
// somebody would who knows the program and has no key.
func rewrite(t *testing.T, d *db.DB, from int64) {
	t.Helper()
	err := d.Write(context.Background(), func(tx *db.Tx) error {
		if _, err := tx.Exec("UPDATE audit_events SET user_id = 'somebody else' WHERE seq >= $1", from); err != nil {
			return err
		}
		rows, err := rowsAfter(tx, 0, 10_000)
		if err != nil {
			return err
		}
		edge := &merkle.Edge{}
		for _, r := range rows {
			edge.Append(r.leaf())
		}
		for _, tile := range edge.Changed() {
			if _, err := tx.Exec("UPDATE audit_tiles SET hashes = $1 WHERE level = $2 AND tile = $3", tile.Hashes, tile.Level, tile.N); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func keepHead(t *testing.T, d *db.DB) (kept Kept) {
	t.Helper()
	err := d.Write(context.Background(), func(tx *db.Tx) (err error) {
		kept, err = KeepHead(tx)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

// TestWhatWasAlteredIsFound: each by the first number that nothing vouches for.
func TestWhatWasAlteredIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*testing.T, *db.DB)
		seq   int64
	}{
		"a rewritten tail":      {func(t *testing.T, d *db.DB) { rewrite(t, d, 350) }, 301},
		"a rewritten middle":    {func(t *testing.T, d *db.DB) { rewrite(t, d, 120) }, 101},
		"a head of another key": {func(t *testing.T, d *db.DB) { rewrite(t, d, 350); sign(t, d, newTree(t)) }, 301},
		"no head":               {func(t *testing.T, d *db.DB) { do(t, d, "DELETE FROM audit_head") }, 301},
		"no head, no checkpoints": {func(t *testing.T, d *db.DB) {
			do(t, d, "DELETE FROM audit_head")
			do(t, d, "DELETE FROM audit_checkpoints")
		}, 1},
		"an altered checkpoint": {func(t *testing.T, d *db.DB) {
			do(t, d, "UPDATE audit_checkpoints SET checkpoint = replace(checkpoint, 'a', 'b') WHERE size = 300")
		}, 300},
		"a tile above": {func(t *testing.T, d *db.DB) {
			do(t, d, "UPDATE audit_tiles SET hashes = zeroblob(length(hashes)) WHERE level = 1")
		}, 1},
		"a missing tile": {func(t *testing.T, d *db.DB) { do(t, d, "DELETE FROM audit_tiles WHERE level = 0 AND tile = 1") }, 201},
		"a short tile": {func(t *testing.T, d *db.DB) {
			do(t, d, "UPDATE audit_tiles SET hashes = substr(hashes, 1, 320) WHERE level = 0 AND tile = 1")
		}, 201},
		"a time": {func(t *testing.T, d *db.DB) { do(t, d, "UPDATE audit_events SET time_us = time_us + 1 WHERE seq = 5") }, 5},
		"a salt": {func(t *testing.T, d *db.DB) {
			do(t, d, "UPDATE audit_events SET actor_seal = zeroblob(16) WHERE seq = 5")
		}, 5},
		"an address": {func(t *testing.T, d *db.DB) {
			do(t, d, "UPDATE audit_events SET ip_address = '192.0.2.9' WHERE seq = 5")
		}, 5},
		"an edit, and a false checkpoint": {func(t *testing.T, d *db.DB) {
			do(t, d, "UPDATE audit_events SET severity = 'critical' WHERE seq = 2")
			do(t, d, "INSERT INTO audit_checkpoints VALUES (1000000, 'x', 0)")
		}, 2},
		"a forged pruning": {func(t *testing.T, d *db.DB) {
			do(t, d, "DELETE FROM audit_events WHERE seq <= 4")
			do(t, d, `UPDATE audit_events SET event_type = 'audit_prune', details = '{"to":4}' WHERE seq = 9`)
		}, 1},
		"a forged erasure": {func(t *testing.T, d *db.DB) {
			do(t, d, "UPDATE audit_events SET email = NULL, ip_address = NULL, user_agent = NULL, actor_seal = zeroblob(96), actor_erased_by = 31 WHERE seq = 5")
			do(t, d, `UPDATE audit_events SET event_type = 'audit_erase', details = '{"acted":"5","about":""}' WHERE seq = 31`)
		}, 5},
		"a change with its hashes, and a crude one behind it": {func(t *testing.T, d *db.DB) {
			rewrite(t, d, 120)
			do(t, d, "UPDATE audit_events SET severity = 'critical' WHERE seq = 140")
		}, 101},
		"an event below all":              {func(t *testing.T, d *db.DB) { do(t, d, "UPDATE audit_events SET seq = 0 WHERE seq = 5") }, 0},
		"events that no retention pruned": {func(t *testing.T, d *db.DB) { do(t, d, "DELETE FROM audit_events WHERE seq < 50") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			d, tree := grown(t)
			for n := range 400 {
				if err := write(t, d, signIn(n)); err != nil {
					t.Fatal(err)
				}
				if n%100 == 99 && n < 399 {
					keepHead(t, d)
				}
			}
			if report, err := verify(t, d, tree); err != nil || report.Checkpoints != 3 {
				t.Fatalf("%+v, %v", report, err)
			}
			c.alter(t, d)
			_, err := verify(t, d, tree)
			if found, ok := errors.AsType[*Finding](err); !ok || found.Seq != c.seq {
				t.Errorf("found %v, want the first bad number to be %d", err, c.seq)
			}
		})
	}
}

func do(t *testing.T, d *db.DB, statement string) {
	t.Helper()
	if err := change(d, statement); err != nil {
		t.Fatal(err)
	}
}

// sign puts a head of another key over the tree as it is.
func sign(t *testing.T, d *db.DB, with *Tree) {
	t.Helper()
	err := d.Write(context.Background(), func(tx *db.Tx) error {
		head, err := Head(tx)
		if err != nil {
			return err
		}
		was, err := parseCheckpoint(head)
		if err != nil {
			return err
		}
		edge, err := merkle.LoadEdge(was.Size, func(level int, n int64, width int) ([]byte, error) { return readTile(tx, level, n, width) })
		if err != nil {
			return err
		}
		return with.store(tx, edge)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNothingIsWrittenOnAnAlteredTree: there is nothing to go on from.
func TestNothingIsWrittenOnAnAlteredTree(t *testing.T) {
	for name, alter := range map[string]func(*testing.T, *db.DB){
		"rewritten":         func(t *testing.T, d *db.DB) { rewrite(t, d, 3) },
		"signed by another": func(t *testing.T, d *db.DB) { sign(t, d, newTree(t)) },
		"an older head": func(t *testing.T, d *db.DB) {
			do(t, d, "UPDATE audit_head SET checkpoint = (SELECT checkpoint FROM audit_checkpoints)")
			do(t, d, "DELETE FROM audit_events WHERE seq > 5")
		},
		"no head":  func(t *testing.T, d *db.DB) { do(t, d, "DELETE FROM audit_head") },
		"no tiles": func(t *testing.T, d *db.DB) { do(t, d, "DELETE FROM audit_tiles") },
		"nonsense": func(t *testing.T, d *db.DB) { do(t, d, "UPDATE audit_head SET checkpoint = 'x'") },
	} {
		t.Run(name, func(t *testing.T) {
			d, _ := grown(t)
			for n := range 10 {
				if err := write(t, d, signIn(n)); err != nil {
					t.Fatal(err)
				}
				if n == 4 {
					keepHead(t, d)
				}
			}
			alter(t, d)
			before := len(all(t, d))
			err := write(t, d, signIn(1))
			if _, is := errors.AsType[*BrokenError](err); !is {
				t.Errorf("an event is written: %v", err)
			}
			if n := len(all(t, d)); n != before {
				t.Errorf("there are %d events, and were %d", n, before)
			}
		})
	}
}

// TestStrangersBehindTheHeadMakeWay, whatever their number, and an event tells of
// them.
func TestStrangersBehindTheHeadMakeWay(t *testing.T) {
	for _, seq := range []string{"11", "4000000000000", "9223372036854775807"} {
		d, tree := grown(t)
		for n := range 10 {
			if err := write(t, d, signIn(n)); err != nil {
				t.Fatal(err)
			}
		}
		do(t, d, `INSERT INTO audit_events (seq, time_us, event_type, severity, success, details) VALUES (`+seq+`, 0, 'logout', 'info', 1, '{}')`)
		if _, err := verify(t, d, tree); err == nil {
			t.Error("it is not found")
		}
		for n := range 2 {
			if err := write(t, d, signIn(n)); err != nil {
				t.Fatal(err)
			}
		}
		report, err := verify(t, d, tree)
		if err != nil || report.Events != 13 {
			t.Errorf("%+v, %v", report, err)
		}
		alarm := all(t, d)[2]
		if alarm.Seq != 11 || alarm.Severity != Critical || !strings.Contains(string(alarm.Details), "events_behind_the_head") {
			t.Errorf("the event about it: %+v", alarm)
		}
		var strays int
		if err := d.Read(context.Background()).QueryRow("SELECT COUNT(*) FROM audit_strays").Scan(&strays); err != nil || strays != 1 {
			t.Errorf("%d moved aside, %v", strays, err)
		}
	}
}

// exported is the log, or what a filter leaves of it, as lines.
func exported(t *testing.T, d *db.DB, f Filter) []string {
	t.Helper()
	r := d.Read(context.Background())
	sealer, err := NewSealer(r)
	if err != nil {
		t.Fatal(err)
	}
	f.Limit = 7
	var lines []string
	take := func(events []Record, err error) error {
		if err != nil {
			return err
		}
		for _, e := range events {
			line, err := encode(e.View())
			if err != nil {
				return err
			}
			lines = append(lines, string(line))
		}
		return nil
	}
	if err := AllLogs(r, f, func(events []Record) error { return take(sealer.Seal(r, events)) }); err != nil {
		t.Fatal(err)
	}
	if err := take(sealer.End(r)); err != nil {
		t.Fatal(err)
	}
	return lines
}

func verifyLines(tree *Tree, lines []string, witnesses ...Witness) (Report, error) {
	return VerifyExport(strings.NewReader(strings.Join(lines, "\n")), tree.Verifier(), witnesses...)
}

// TestExportsAreVerified: whole ones and parts, each altered in every way.
func TestExportsAreVerified(t *testing.T) {
	d, tree := grown(t)
	var older Kept
	for n := range 600 {
		if err := write(t, d, signIn(n)); err != nil {
			t.Fatal(err)
		}
		if n == 301 {
			older = keepHead(t, d)
		}
	}
	whole := exported(t, d, Filter{})
	report, err := verifyLines(tree, whole, Witness{Name: "older", Signed: older.Signed})
	if err != nil || report.Events != 600 || report.Head.Size != 600 || report.Checkpoints != 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	success := true
	part := exported(t, d, Filter{Success: &success})
	if report, err := verifyLines(tree, part); err != nil || report.Events != 200 || report.Absent != 400 {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, err := verifyLines(tree, part, Witness{Name: "older", Signed: older.Signed}); err == nil {
		t.Error("a part is compared with a head in the middle of what it leaves out")
	}
	if _, err := verifyLines(newTree(t), whole); err == nil {
		t.Error("another key verifies it")
	}
	for name, c := range map[string]struct {
		alter func([]string) []string
		seq   int64
	}{
		"a field":       {func(l []string) []string { l[9] = strings.Replace(l[9], `"info"`, `"critical"`, 1); return l }, 10},
		"a detail":      {func(l []string) []string { l[9] = strings.Replace(l[9], "<browser>", "<other>", 1); return l }, 10},
		"a line":        {func(l []string) []string { return append(l[:9], l[10:]...) }, 10},
		"the first":     {func(l []string) []string { return l[1:] }, 1},
		"the last":      {func(l []string) []string { return l[:599] }, 600},
		"two lines":     {func(l []string) []string { l[9], l[10] = l[10], l[9]; return l }, 10},
		"a line twice":  {func(l []string) []string { l[10] = l[9]; return l }, 10},
		"no JSON":       {func(l []string) []string { l[9] = "{"; return l }, 10},
		"one behind":    {func(l []string) []string { return append(l, l[9]) }, 10},
		"another field": {func(l []string) []string { l[9] = strings.Replace(l[9], `"id"`, `"evil":1,"id"`, 1); return l }, 10},
	} {
		_, err := verifyLines(tree, c.alter(append([]string(nil), whole...)))
		if found, ok := errors.AsType[*Finding](err); !ok || found.Seq != c.seq {
			t.Errorf("%s: found %v, want %d", name, err, c.seq)
		}
	}
	if _, err := verifyLines(tree, nil); err == nil {
		t.Error("an empty file is verified")
	}
}

func FuzzVerifyExport(f *testing.F) {
	tree := newTree(f)
	f.Add([]byte(`{"id":1,"time":"2026-01-02T03:04:05.000Z","event_type":"logout","severity":"info","success":true,"details":{},"integrity":{"leaf":"AA=="}}`))
	f.Add([]byte("{\"id\":5,\"integrity\":{\"skipped\":[\"AA==\"]}}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := VerifyExport(bytes.NewReader(file), tree.Verifier()); err == nil {
			t.Error("something that nobody signed is verified")
		}
	})
}
