//go:build e2e

package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// TestPolicies has an admin change the policy, be refused, meet another admin's
// change, look at the history, and undo. A user may not even look.
func TestPolicies(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServer(t, data)
		admin := newAdmin(t, s, scripts)
		user := newUser(t, s, data, scripts)
		user.visit("/policies", 403)
		user.seesNot(`href="/policies"`)

		admin.visit("/policies/history", 200)
		admin.sees("Nobody has changed the policy yet")
		admin.inspectOnce("policy-history-empty")
		admin.clicks("/policies")
		admin.sees("Rate limits")
		if row := admin.row("sessions.idle_secs"); !strings.Contains(row, "30 minutes") || !strings.Contains(row, "1 minute to 30 days") {
			t.Errorf("the row of the idle time is %q", row)
		}
		admin.inspectOnce("policies")
		admin.isRefusedPolicy()
		admin.changesPolicy(s)
		admin.meetsAnotherChange(s, data)
		admin.undoesPolicy(s)
		for _, section := range []string{"rate_limits", "passwords", "mfa", "lockout", "anomaly"} {
			admin.visit("/policies", 200)
			admin.asksFor("/policies/" + section)
			admin.inspectOnce("policy-form-" + section)
		}
	})
}

// sendsPolicy sends the form of a section.
func (p *person) sendsPolicy(section string, status int64) {
	p.t.Helper()
	p.submit("/policies/"+section, status)
}

// isRefusedPolicy types what cannot be, and what would lock everybody out.
func (p *person) isRefusedPolicy() {
	p.t.Helper()
	p.asksFor("/policies/sessions")
	p.sendsPolicy("sessions", 422)
	p.sees("You have changed nothing yet.")
	p.fill("sessions.idle_secs", "soon")
	p.fill("sessions.max_per_user", "0")
	p.sendsPolicy("sessions", 422)
	p.refuses("sessions.idle_secs")
	p.fill("sessions.idle_secs", "30m")
	p.sendsPolicy("sessions", 422)
	p.refuses("sessions.max_per_user")
	p.visit("/policies/rate_limits", 200)
	p.fill("rate_limits.api_authenticated.max_requests", "1")
	p.fill("rate_limits.api_authenticated.window_secs", "1d")
	p.sendsPolicy("rate_limits", 422)
	p.refuses("rate_limits.api_authenticated.max_requests")
	p.sees("nobody could sign in and change it back")
	p.inspect("policy-form-refused")
	p.visit("/policies", 200)
}

// changesPolicy takes the three steps.
func (p *person) changesPolicy(s *server) {
	p.t.Helper()
	p.asksFor("/policies/sessions")
	p.inspect("policy-form")
	p.fill("sessions.idle_secs", "10m")
	p.fill("sessions.max_per_user", "3")
	p.sendsPolicy("sessions", 200)
	p.sees("is signed out at once")
	if row := p.row("sessions.idle_secs"); !strings.Contains(row, "30 minutes") || !strings.Contains(row, "10 minutes") {
		p.t.Errorf("the question is %q", row)
	}
	p.inspect("policy-confirm")
	p.proves("/policies", p.password+"x", p.spends(), 401)
	p.refuses("password")
	p.sees("10 minutes")
	p.confirms(s, "/policies")
	p.at("/policies")
	p.sees("The policy is changed.")
	if row := p.row("sessions.idle_secs"); !strings.Contains(row, "10 minutes") || !strings.Contains(row, "not the default") {
		p.t.Errorf("the row of the idle time is %q", row)
	}
	p.inspect("policies-changed")
}

// meetsAnotherChange has the form of one section open while the policy is changed
// from elsewhere.
func (p *person) meetsAnotherChange(s *server, data string) {
	p.t.Helper()
	p.asksFor("/policies/audit")
	p.fill("audit.retention_days", "30")
	p.sendsPolicy("audit", 200)
	p.sees("are removed for good")
	p.inspect("policy-confirm-audit")
	resetPolicy(p.t, data, "sessions.max_per_user")
	p.proves("/policies", p.password, p.spends(), 412)
	p.sees("What others changed in the meantime")
	p.sees("a command of the host")
	p.inspect("policy-stale")
	p.sendsPolicy("audit", 200)
	p.confirms(s, "/policies")
	p.sees("The policy is changed.")
}

// undoesPolicy takes back the change of the sessions, of which a part was changed
// since.
func (p *person) undoesPolicy(s *server) {
	p.t.Helper()
	p.follow(`main a[href="/policies/history"]`, 200)
	rows := p.texts("main tbody tr")
	if len(rows) != 3 || !strings.Contains(rows[0], "30 days") || !strings.Contains(rows[1], "a command of the host") || !strings.Contains(rows[2], p.email) {
		p.t.Errorf("the history is %q", rows)
	}
	p.inspect("policy-history")
	p.follow(`main tbody tr:last-child a[href$="/undo"]`, 200)
	undo := p.path()
	p.sees("10 minutes")
	p.inspect("policy-undo")
	p.confirms(s, undo)
	p.at("/policies")
	p.sees("The change is undone.")
	p.follow(`main a[href="/policies/history"]`, 200)
	p.sees("Undoes the change of event")
	p.visit(undo, 409)
	p.sees("nothing to undo")
}

// resetPolicy is the command of the host.
func resetPolicy(t *testing.T, data string, settings ...string) {
	t.Helper()
	args := append([]string{"policy", "reset", "--data-dir", data}, settings...)
	if out, err := exec.CommandContext(t.Context(), binary, args...).CombinedOutput(); err != nil {
		t.Fatalf("policy reset: %v\n%s", err, out)
	}
}
