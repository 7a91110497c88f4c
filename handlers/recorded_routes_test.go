package handlers

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/securitytest"
)

// table is every route there is.
func table() []route {
	s := &Server{}
	return slices.Concat(s.api(), s.streams(), s.pages())
}

func (r route) name() string { return r.method + " " + r.path }

// exampleOf is the example of a route, or what is asked for without one.
func exampleOf(r route) (e example, found bool) {
	e, found = examples[r.name()]
	if e.status == 0 {
		e.status = http.StatusOK
	}
	if e.call == nil {
		e.call = ask(call{})
	}
	return e, found
}

// changes reports whether a route may do more than read.
func (r route) changes() bool { return r.method != http.MethodGet }

// TestEveryRouteHasAnExample: who adds a route that may change something says
// which events it writes, or why there are none.
func TestEveryRouteHasAnExample(t *testing.T) {
	known := map[string]bool{}
	for _, r := range table() {
		known[r.name()] = true
		e, found := exampleOf(r)
		if !found && (r.changes() || strings.Contains(r.path, ":")) {
			t.Errorf("%s has no example in recorded_examples_test.go", r.name())
		}
		if r.changes() && (len(e.events) == 0) == (e.why == "") {
			t.Errorf("%s: name the events that it writes, or say why it writes none", r.name())
		}
	}
	for name := range examples {
		if !known[name] {
			t.Errorf("there is no route %s any more", name)
		}
	}
}

// TestEveryRouteIsRecorded takes each route by its example and compares the whole
// database before and after: what changes something wrote the events that the
// example names, of this request; what only reads changed and wrote nothing.
func TestEveryRouteIsRecorded(t *testing.T) {
	from, of := rehearse(t)
	for _, r := range table() {
		e, _ := exampleOf(r)
		t.Run(r.name(), func(t *testing.T) {
			s := setStage(t, from, of, e.empty)
			s.perform(r, e, e.events, "")
		})
	}
}

// TestEveryChangeByAKeyIsRecorded does the same with an API key that has the one
// permission of the route: its use is an event beside that of the change.
func TestEveryChangeByAKeyIsRecorded(t *testing.T) {
	from, of := rehearse(t)
	for _, r := range table() {
		e, _ := exampleOf(r)
		if len(e.events) == 0 || !isMachinePath(r.path) || r.access == public || r.access == person {
			continue
		}
		t.Run(r.name(), func(t *testing.T) {
			s := setStage(t, from, of, false)
			scope := string(r.permission)
			if scope == "" {
				scope = "users:write" // for the nonce of the example
			}
			id, token := s.key(s.ada, scope)
			s.bearer = token
			want := append(slices.Clone(e.events), audit.APIKeyUsage)
			if r.path == "/api/v1/auth/nonce" { // a key has nothing to prove
				want = []audit.Type{audit.APIKeyUsage}
				e.call = ask(call{json: fields{"action": "users.delete"}})
			}
			s.perform(r, e, want, id)
		})
	}
}

// perform sends an example and holds what it did against the log.
func (s *stage) perform(r route, e example, want []audit.Type, keyID string) {
	s.t.Helper()
	c := e.call(s)
	before, newest := s.dump(), s.newest()
	answer := s.send(r, c)
	if answer.status != e.status {
		s.t.Errorf("the answer is %d, not %d: %s", answer.status, e.status, answer.text)
	}
	events, changes := s.events(newest), s.dump().Changes(before)
	var got []audit.Type
	for _, event := range events {
		got = append(got, event.Type)
		if !event.Success {
			s.t.Errorf("%s failed: %s", event.Type, event.Details)
		}
		if event.Type == audit.AuditErase {
			continue // the work of the server, which goes on when the request is over
		}
		if id := answer.header.Get("X-Request-Id"); event.Actor.RequestID != id || id == "" {
			s.t.Errorf("%s is of the request %q and not of %q", event.Type, event.Actor.RequestID, id)
		}
		if event.Actor.APIKeyID != keyID {
			s.t.Errorf("%s is of the key %q and not of %q", event.Type, event.Actor.APIKeyID, keyID)
		}
	}
	if keyID != "" { // its own event stands somewhere among them
		slices.Sort(got)
		slices.Sort(want)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("the events are %v, not %v", got, want)
	}
	if len(got) == 0 && len(changes) > 0 {
		s.t.Errorf("this changed and no event tells of it:\n%s", strings.Join(changes, "\n"))
	}
}

// dump is every table but the log itself.
func (s *stage) dump() securitytest.Dump {
	s.t.Helper()
	d, err := securitytest.DumpOf(s.dir, slices.Concat(bookkeeping, securitytest.LogTables)...)
	s.check(err)
	if len(d) < 12 {
		s.t.Fatalf("only %d tables are looked at", len(d))
	}
	return d
}

// TestNothingHappensUnrecorded sends every example that is recorded to a server
// whose log refuses each event: none succeeds, and none leaves a trace.
func TestNothingHappensUnrecorded(t *testing.T) {
	from, of := rehearse(t)
	for _, r := range table() {
		e, _ := exampleOf(r)
		if len(e.events) == 0 {
			continue
		}
		t.Run(r.name(), func(t *testing.T) {
			s := setStage(t, from, of, e.empty)
			c := e.call(s)
			s.check(securitytest.RefuseEvents(s.dir))
			before := s.dump()
			if answer := s.send(r, c); answer.status < http.StatusInternalServerError {
				t.Errorf("the answer is %d: %s", answer.status, answer.text)
			}
			for _, change := range s.dump().Changes(before) {
				t.Errorf("it happened all the same: %s", change)
			}
		})
	}
}

// TestEventsAreDocumented: the column of events in docs/routes.md names just the
// types that the example of each route writes.
func TestEventsAreDocumented(t *testing.T) {
	document, err := os.ReadFile("../docs/routes.md")
	if err != nil {
		t.Fatal(err)
	}
	known := regexp.MustCompile("`([a-z_]+)`")
	for _, r := range table() {
		e, _ := exampleOf(r)
		_, line, found := strings.Cut(string(document), fmt.Sprintf("\n| %s | `%s` |", r.method, r.path))
		if !found {
			continue // another test says so
		}
		line, _, _ = strings.Cut(line, "\n")
		line = line[strings.LastIndex(strings.TrimSuffix(line, " |"), "|"):]
		var documented []audit.Type
		for _, match := range known.FindAllStringSubmatch(line, -1) {
			if one := audit.Type(match[1]); slices.Contains(audit.Types, one) && one != audit.APIKeyUsage {
				documented = append(documented, one)
			}
		}
		written := slices.Clone(e.events)
		slices.Sort(written)
		slices.Sort(documented)
		if written = slices.Compact(written); !slices.Equal(documented, written) {
			t.Errorf("%s is documented with %v and writes %v", r.name(), documented, written)
		}
	}
}
