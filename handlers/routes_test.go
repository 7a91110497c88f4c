package handlers

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestRouteTableIsDocumented: docs/routes.md has one line for each route, with
// who may call it, the permission and the limit class of routes.go, and says
// which events it writes.
func TestRouteTableIsDocumented(t *testing.T) {
	document, err := os.ReadFile("../docs/routes.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(document)) {
		if strings.HasPrefix(line, "| GET ") || strings.HasPrefix(line, "| POST ") || strings.HasPrefix(line, "| PUT ") || strings.HasPrefix(line, "| PATCH ") || strings.HasPrefix(line, "| DELETE ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	s := &Server{}
	routes := slices.Concat(s.api(), s.streams(), s.pages())
	for i, r := range routes {
		permission := string(r.permission)
		if permission == "" {
			permission = "–"
		}
		want := fmt.Sprintf("| %s | `%s` | %s | %s | %s | ", r.method, r.path, r.access, permission, r.limit)
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			got := "nothing"
			if i < len(lines) {
				got = lines[i]
			}
			t.Errorf("line %d of the table is\n%s\nand should begin\n%s", i+1, got, want)
			continue
		}
		if events := strings.TrimSuffix(strings.TrimPrefix(lines[i], want), " |"); events == "" {
			t.Errorf("%s %s: no word on its events", r.method, r.path)
		}
	}
	if len(lines) != len(routes) {
		t.Errorf("%d lines for %d routes", len(lines), len(routes))
	}
}

// TestRoutesAreConsistent: a route that asks for a permission names it, and a
// change is always counted by some limit.
func TestRoutesAreConsistent(t *testing.T) {
	s := &Server{}
	for _, r := range slices.Concat(s.api(), s.streams(), s.pages()) {
		if needs := r.access == permitted || r.access == inPart || r.access == ownOr; needs != (r.permission != "") {
			t.Errorf("%s %s is %s with the permission %q", r.method, r.path, r.access, r.permission)
		}
		if r.method != "GET" && r.limit == unlimited {
			t.Errorf("%s %s changes something and is not limited", r.method, r.path)
		}
		if (r.access == public) == (r.limit == limitAuthenticated || r.limit == limitWebSocket) {
			t.Errorf("%s %s is %s and counted as %s", r.method, r.path, r.access, r.limit)
		}
		if r.handle == nil {
			t.Errorf("%s %s has no handler", r.method, r.path)
		}
	}
}
