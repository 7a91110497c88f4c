package handlers

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/rbac"
)

// TestPermissionsAreDocumented asks for each route as nobody, as each role and by
// an admin's key with and without the scope, and holds who was let in against
// docs/permissions.md.
func TestPermissionsAreDocumented(t *testing.T) {
	document, err := os.ReadFile("../docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(document)) {
		if cells := strings.SplitN(line, " | ", 3); len(cells) == 3 && strings.HasPrefix(cells[1], "`/") {
			documented[strings.TrimPrefix(cells[0], "| ")+" "+strings.Trim(cells[1], "`")] = strings.TrimSpace(line)
		}
	}
	from, of := rehearse(t)
	s := setStage(t, from, of, false)
	target := s.enter("target@example.org", "user")
	keys := map[rbac.Permission]*part{"": s.keyOf("sites:read")}
	for _, r := range table() {
		if keys[r.permission] == nil {
			keys[r.permission] = s.keyOf(string(r.permission))
		}
	}
	people := map[rbac.Role]*part{rbac.User: &s.uma, rbac.Admin: &s.ada}
	for _, role := range []rbac.Role{rbac.Viewer, rbac.Operator} {
		p := s.enter(string(role)+"@example.org", string(role))
		people[role] = &p
	}
	var want []string
	for _, r := range table() {
		cells := []string{"| " + r.method, "`" + r.path + "`", s.allowance(r, &part{}, "", target.ID)}
		for _, role := range []rbac.Role{rbac.User, rbac.Viewer, rbac.Operator, rbac.Admin} {
			who := *people[role]
			if strings.HasSuffix(r.path, "/logout") { // which nobody comes back from
				who = s.enter(string(role)+"-once"+strings.ReplaceAll(r.path, "/", "-")+"@example.org", string(role))
			}
			cells = append(cells, s.allowance(r, &who, role, target.ID))
		}
		if isMachinePath(r.path) {
			cells = append(cells, s.allowance(r, keys[r.permission], "", target.ID), s.allowance(r, keys[""], "", target.ID))
		} else {
			cells = append(cells, "–", "–")
		}
		line := strings.Join(cells, " | ") + " |"
		want = append(want, line)
		if got := documented[r.name()]; got != line {
			t.Errorf("docs/permissions.md has\n%s\nand should have\n%s", got, line)
		}
		delete(documented, r.name())
	}
	for name := range documented {
		t.Errorf("docs/permissions.md has %s, which is no route", name)
	}
	if t.Failed() {
		t.Logf("the table is\n%s", strings.Join(want, "\n"))
	}
}

// keyOf is an API key of the admin's.
func (s *stage) keyOf(scope string) *part {
	s.t.Helper()
	_, token := s.key(s.ada, scope)
	return &part{ID: s.ada.ID, Token: token}
}

// allowance says whether somebody is let in: yes, no, or own for what is theirs
// alone.
func (s *stage) allowance(r route, who *part, role rbac.Role, id string) string {
	s.t.Helper()
	c := call{as: who, id: id, header: examples[r.name()].header()}
	page := !isMachinePath(r.path)
	switch {
	case r.changes() && page:
		c.form = fields{}
	case r.changes():
		c.json = fields{}
	}
	answer := s.send(r, c)
	switch {
	case r.access == public:
		return "yes"
	case who.ID == "" && (page && strings.HasPrefix(answer.header.Get("Location"), "/login") || !page && answer.status == http.StatusUnauthorized):
		return "no"
	case answer.status == http.StatusForbidden:
		return "no"
	case role != "" && (r.access == ownOr || r.permission == rbac.AuditRead) && rbac.Of(role, r.permission) != rbac.All:
		return "own"
	}
	return "yes"
}
