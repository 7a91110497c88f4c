//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"strings"
	"testing"
)

// TestLostPhone: the host makes a link, which after the password stands in for the
// second factor, once, and leads to a new one.
func TestLostPhone(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServer(t, data)
		admin := newAdmin(t, s, scripts)
		lost := admin.app
		link := resetMFA(t, s, data, admin.email)
		admin.isSignedOut()

		admin.visit(link, 200)
		admin.at("/login")
		admin.fill("email", admin.email)
		admin.fill("password", admin.password+"x")
		admin.submit("/login", 401)
		admin.typesPassword()
		admin.at("/login/enroll")
		admin.sees("stands in for the second factor of " + admin.email)
		admin.inspect("enrolment-link")
		admin.submit("/login/enroll", 200)
		admin.at("/account/mfa")
		admin.visit("/users", 200)
		admin.at("/account/mfa")
		admin.sees("set up your second factor anew")
		admin.enrols(s)
		if admin.app.secret == lost.secret {
			t.Error("the new second factor has the secret of the old one")
		}
		admin.clicks("/users")
		admin.at("/users")

		admin.visit(link, 404)
		admin.sees("not good any more")
		admin.inspect("enrolment-link-used")
	})
}

// resetMFA runs `dashboard user reset-mfa` and returns the link that it prints.
func resetMFA(t *testing.T, s *server, data, email string) string {
	t.Helper()
	reset := exec.CommandContext(t.Context(), binary, "user", "reset-mfa", email, "--data-dir", data, "--public-url", s.url)
	var stderr bytes.Buffer
	reset.Stderr = &stderr
	out, err := reset.Output()
	if err != nil {
		t.Fatalf("user reset-mfa: %v\n%s", err, &stderr)
	}
	link := strings.TrimSpace(string(out))
	_, token, found := strings.Cut(link, s.url+"/login/enroll?token=")
	if !found {
		t.Fatalf("user reset-mfa printed %q, want a link", out)
	}
	s.keepsSecret("token of the enrolment link", token)
	return link
}
