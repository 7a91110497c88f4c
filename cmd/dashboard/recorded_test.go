package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// example is a command line that succeeds where there is an admin and the user
// uma@example.org, who is signed in once.
type example struct {
	args   []string // behind the name of the command
	stdin  string
	events []audit.Type // what it must write, in this order
	// why there is no event, of a command that writes none
	why string
	// serves is set of one that goes on until it is stopped
	serves bool
	// beside is set of one that asks a running server
	beside bool
	// policy is put over the defaults before, as members of its JSON
	policy string
}

// examples has one at least for each command.
var examples = map[string][]example{
	"serve": {{serves: true, events: []audit.Type{audit.SystemStart}}},
	"user add": {
		{args: []string{"new@example.org", "--role", "viewer"}, events: []audit.Type{audit.UserCreate}},
		{args: []string{"new@example.org", "--role", "viewer", "--password-stdin"}, stdin: securitytest.GoodPassword, events: []audit.Type{audit.UserCreate}},
	},
	"user list":      {{events: []audit.Type{audit.DataExport}}},
	"user unlock":    {{args: []string{"uma@example.org"}, events: []audit.Type{audit.AccountUnlock}}},
	"user disable":   {{args: []string{"uma@example.org"}, events: []audit.Type{audit.UserUpdate, audit.SessionEnd}}},
	"user reset-mfa": {{args: []string{"uma@example.org"}, events: []audit.Type{audit.UserUpdate, audit.SessionEnd}}},
	"audit export":   {{args: []string{"--format", "csv"}, events: []audit.Type{audit.DataExport}}},
	"policy reset": {
		{policy: `"audit":{"retention_days":30}`, events: []audit.Type{audit.PolicyChange}},
		{policy: `"audit":{"retention_days":30}`, args: []string{"audit.retention_days"}, events: []audit.Type{audit.PolicyChange}},
		{policy: `"lockout":{"lock_after":0}`, events: []audit.Type{audit.PolicyChange}}, // with which no server starts
		{policy: `"lockout":nonsense`, args: []string{"audit"}, events: []audit.Type{audit.PolicyChange}},
		{policy: `"audit":{"retention_days":30}`, args: []string{"lockout"}, why: "it is the default already"},
	},
	"keys webhook":     {{why: "it prints a secret that is in the files already, to who can read them"}},
	"audit verify":     {{why: "it looks at the log, which anybody with the files can; nothing is changed or shown of it"}},
	"audit public-key": {{why: "it prints what everybody may know"}},
	"keys rotate": {
		{events: []audit.Type{audit.KeyRotate}},
		{args: []string{"--drop-old"}, events: []audit.Type{audit.KeyRotate}},
	},
	"healthcheck": {{beside: true, why: "it asks the server whether it is well, as anybody may"}},
	"version":     {{why: "it prints what the program is and opens nothing"}},
}

// commands are the names of all there are.
func commands(t *testing.T) []string {
	t.Helper()
	parser, err := newParser(new(cli), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, leaf := range parser.Model.Leaves(false) {
		name := leaf.Name
		for above := leaf.Parent; above != nil && above.Type == kong.CommandNode; above = above.Parent {
			name = above.Name + " " + name
		}
		names = append(names, name)
	}
	return names
}

// TestEveryCommandHasAnExample: who adds a command says which events it writes, or
// why there are none.
func TestEveryCommandHasAnExample(t *testing.T) {
	names := commands(t)
	for _, name := range names {
		if len(examples[name]) == 0 {
			t.Errorf("dashboard %s has no example", name)
		}
		for _, e := range examples[name] {
			if (len(e.events) == 0) == (e.why == "") {
				t.Errorf("dashboard %s: name the events that it writes, or say why it writes none", name)
			}
		}
	}
	for name := range examples {
		if !slices.Contains(names, name) {
			t.Errorf("there is no command %s any more", name)
		}
	}
}

// TestEveryCommandIsRecorded runs each example of each command and compares the
// whole database before and after: what it did is in the log, as done by a command
// of the host. And where the log refuses, the command fails and did nothing.
func TestEveryCommandIsRecorded(t *testing.T) {
	for _, name := range commands(t) {
		for _, e := range examples[name] {
			line := strings.Join(append(strings.Fields(name), e.args...), " ")
			t.Run(line, func(t *testing.T) {
				h := newHost(t)
				if e.beside {
					e.args = append(slices.Clone(e.args), "--listen", h.serve())
				}
				h.prepare(e)
				before, newest := h.dump(), h.newest()
				if e.serves {
					h.serve()
				} else if out, err := h.run(name, e); err != nil {
					t.Errorf("%v: %s", err, out)
				}
				h.compare(before, h.events(newest), e)
			})
			if len(e.events) == 0 {
				continue
			}
			t.Run(line+" unrecorded", func(t *testing.T) {
				h := newHost(t)
				h.prepare(e)
				if err := securitytest.RefuseEvents(h.dir); err != nil {
					t.Fatal(err)
				}
				before := h.dump()
				if e.serves {
					e.args = []string{"--listen", "127.0.0.1:0"}
				}
				out, err := h.run(name, e)
				if err == nil || !strings.Contains(out, securitytest.NoRoom) {
					t.Errorf("%v: %s", err, out)
				}
				for _, change := range h.dump().Changes(before) {
					t.Errorf("it happened all the same: %s", change)
				}
			})
		}
	}
}

// TestTheFirstAdminOfTheSettingsIsRecorded: an unattended install is no command of
// its own, and its admin no surprise in the log.
func TestTheFirstAdminOfTheSettingsIsRecorded(t *testing.T) {
	h := &host{t: t, dir: filepath.Join(t.TempDir(), "data")}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(securitytest.GoodPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	h.serve("--admin-email", "ada@example.org", "--admin-password-file", file)
	h.service = securitytest.Beside(t, securitytest.NewClock(), h.dir)
	events := h.events(0)
	if len(events) != 2 || events[0].Type != audit.UserCreate || events[1].Type != audit.SystemStart || actorOf(t, events[0]) != "settings" {
		t.Errorf("%+v", events)
	}
}

// host is a data folder of its own.
type host struct {
	t       *testing.T
	dir     string
	service *security.Service // looks at it from beside
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, dir: filepath.Join(t.TempDir(), "data")}
	// The program has its own clock, and a session is alive by it.
	clock := securitytest.NewClock()
	clock.Advance(time.Since(clock.Now()))
	h.service = securitytest.Beside(t, clock, h.dir)
	ctx, password := context.Background(), secret.NewText(securitytest.GoodPassword)
	for email, role := range map[string]string{"ada@example.org": "admin", "uma@example.org": "user"} {
		if _, _, err := h.service.AddUser(ctx, email, role, password); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.service.Login(ctx, security.Request{}, session.API, "uma@example.org", password); err != nil {
		t.Fatal(err)
	}
	return h
}

// prepare sets the policy of an example.
func (h *host) prepare(e example) {
	h.t.Helper()
	if e.policy == "" {
		return
	}
	if err := securitytest.SetPolicy(h.dir, e.policy); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) command(args ...string) *exec.Cmd {
	h.t.Helper()
	path, err := exec.LookPath("dashboard")
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a limit for a failure, not a wait
	h.t.Cleanup(cancel)
	c := exec.CommandContext(ctx, path, args...)
	c.Dir = h.t.TempDir()
	c.Env = append(os.Environ(), "PATRONUS_DATA_DIR="+h.dir)
	return c
}

// run carries an example out and returns all that it printed.
func (h *host) run(name string, e example) (string, error) {
	h.t.Helper()
	c := h.command(append(strings.Fields(name), e.args...)...)
	c.Stdin = strings.NewReader(e.stdin)
	out, err := c.CombinedOutput()
	return string(out), err
}

// serve starts the server, waits until it serves, has it stopped with the test,
// and returns its address.
func (h *host) serve(flags ...string) string {
	h.t.Helper()
	c := h.command(append([]string{"serve", "--listen", "127.0.0.1:0"}, flags...)...)
	log := new(bytes.Buffer)
	c.Stderr = log
	out, err := c.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			h.t.Error(err)
		}
		if err := c.Wait(); err != nil {
			h.t.Errorf("%v: %s", err, log)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			return strings.TrimPrefix(found[1], "http://")
		}
	}
	h.t.Fatal("the server ended before it served")
	return ""
}

func (h *host) dump() securitytest.Dump {
	h.t.Helper()
	d, err := securitytest.DumpOf(h.dir, securitytest.LogTables...)
	if err != nil || len(d) < 12 {
		h.t.Fatalf("%d tables, %v", len(d), err)
	}
	keys, err := os.ReadFile(filepath.Join(h.dir, "keys.json"))
	if err != nil {
		h.t.Fatal(err)
	}
	d["keys.json"] = []string{string(keys)}
	return d
}

// events are those behind a number, read without a trace.
func (h *host) events(after int64) []audit.Record {
	h.t.Helper()
	everything := security.Caller{User: user.User{Role: string(rbac.Admin)}}
	events, _, err := h.service.Events(context.Background(), everything, audit.Filter{After: after, OldestFirst: true, Limit: 500})
	if err != nil {
		h.t.Fatal(err)
	}
	return events
}

func (h *host) newest() int64 {
	h.t.Helper()
	events := h.events(0)
	return events[len(events)-1].Seq
}

// compare holds what changed against what was written.
func (h *host) compare(before securitytest.Dump, events []audit.Record, e example) {
	h.t.Helper()
	var got []audit.Type
	for _, event := range events {
		got = append(got, event.Type)
		if actor := actorOf(h.t, event); !e.serves && actor != "cli" {
			h.t.Errorf("%s is by %q", event.Type, actor)
		}
	}
	if !slices.Equal(got, e.events) {
		h.t.Errorf("the events are %v, not %v", got, e.events)
	}
	if changes := h.dump().Changes(before); len(got) == 0 && len(changes) > 0 {
		h.t.Errorf("this changed and no event tells of it:\n%s", strings.Join(changes, "\n"))
	}
}

func actorOf(t *testing.T, event audit.Record) string {
	t.Helper()
	var details struct{ Actor string }
	if err := json.Unmarshal(event.Details, &details); err != nil {
		t.Fatal(err)
	}
	return details.Actor
}
