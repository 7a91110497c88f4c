//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// TestInvitation adds a user on the command line while the server runs. They
// set their password by the link and see their own account, not the admin's.
func TestInvitation(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServer(t, data)
		link := addUser(t, s, data, "grace@example.org", "user")
		p := &person{visitor: newVisitor(t, s, scripts), email: "grace@example.org", password: "copper meadow wristwatch 61"}
		s.keepsSecret("password", p.password)

		p.visit(link, 200)
		p.inspect("set-password")
		p.fill("password", "passwordpassword")
		p.fill("password_confirm", "passwordpassword")
		p.submit("/reset-password", 422)
		p.refuses("password")
		p.fill("password", p.password)
		p.fill("password_confirm", p.password)
		p.submit("/reset-password", 200)
		p.at("/login")
		p.inspect("login-after-password")

		p.fill("email", p.email)
		p.fill("password", p.password)
		p.submit("/login", 200)
		p.at("/")
		p.visit("/audit", 200)
		for _, row := range p.texts("main tbody tr") {
			if !strings.Contains(row, p.email) {
				t.Errorf("a user sees the event of another: %s", row)
			}
		}
		p.visit("/audit/1", 404) // the start of the system is nobody's own
		p.signOut()

		p.visit(link, 404)
		p.inspect("set-password-used-link")
	})
}

// addUser runs `dashboard user add` and returns the link that it prints.
func addUser(t *testing.T, s *server, data, email, role string) string {
	t.Helper()
	add := exec.CommandContext(t.Context(), binary, "user", "add", email, "--role", role, "--data-dir", data, "--public-url", s.url)
	var stderr bytes.Buffer
	add.Stderr = &stderr
	out, err := add.Output()
	if err != nil {
		t.Fatalf("user add: %v\n%s", err, &stderr)
	}
	lines := strings.Fields(string(out))
	if len(lines) != 2 || !strings.HasPrefix(lines[1], s.url+"/reset-password?token=") {
		t.Fatalf("user add printed %q, want an id and a link", out)
	}
	_, token, _ := strings.Cut(lines[1], "token=")
	s.keepsSecret("token of the password link", token)
	return lines[1]
}
