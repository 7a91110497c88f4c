package policy

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"patronus.internal/dashboard/security/secerr"
)

var roles = []string{"admin", "operator", "viewer", "user"}

// TestDefaultIsTheContract compares with the document of the contract, byte
// for byte but for white space.
func TestDefaultIsTheContract(t *testing.T) {
	const contract = `{
  "rate_limits": {
    "login":               {"max_requests": 5,   "window_secs": 300, "burst": 0},
    "api_authenticated":   {"max_requests": 100, "window_secs": 60,  "burst": 10},
    "api_key":             {"max_requests": 100, "window_secs": 60,  "burst": 10},
    "api_unauthenticated": {"max_requests": 20,  "window_secs": 60,  "burst": 5},
    "websocket":           {"max_requests": 10,  "window_secs": 60,  "burst": 2}
  },
  "sessions": {"access_token_secs": 900, "refresh_token_secs": 604800, "idle_secs": 1800, "absolute_secs": 43200, "max_per_user": 10},
  "passwords": {"min_length": 12, "min_length_without_mfa": 15, "min_score": 3, "history": 5, "require_classes": false},
  "mfa": {"required_roles": ["admin"], "grace_secs": 0},
  "lockout": {"captcha_after": 3, "delay_after": 5, "lock_after": 10, "lock_secs": 900, "code_attempts": 10, "code_window_secs": 900},
  "anomaly": {"spray_accounts": 20, "spray_window_secs": 600, "address_failures": 50, "block_secs": 900},
  "audit": {"retention_days": 90}
}`
	ours, err := json.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	var want, got any
	if err := json.Unmarshal([]byte(contract), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(ours, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := Default().Validate(roles); err != nil {
		t.Errorf("the default is refused: %v", err)
	}
}

func TestMerge(t *testing.T) {
	current := Default()
	current.Sessions.IdleSecs = 600
	for _, c := range []struct {
		name, patch string
		want        func(*Policy)
	}{
		{"nothing", `{}`, func(*Policy) {}},
		{"one number", `{"audit":{"retention_days":30}}`, func(p *Policy) { p.Audit.RetentionDays = 30 }},
		{"null goes back to the default", `{"sessions":{"idle_secs":null}}`, func(p *Policy) { p.Sessions.IdleSecs = 1800 }},
		{"null for a part", `{"sessions":null}`, func(p *Policy) { p.Sessions.IdleSecs = 1800 }},
		{"a list is replaced", `{"mfa":{"required_roles":["admin","operator"]}}`, func(p *Policy) { p.MFA.RequiredRoles = []string{"admin", "operator"} }},
		{"an empty list stays empty", `{"mfa":{"required_roles":[]}}`, func(p *Policy) { p.MFA.RequiredRoles = []string{} }},
	} {
		want := current
		c.want(&want)
		got, err := Merge(current, []byte(c.patch), roles)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	for _, c := range []struct {
		patch string
		code  secerr.Code
		field string
	}{
		{`[]`, secerr.BadRequest, ""},
		{`null`, secerr.BadRequest, ""},
		{`{"audit":{"retention_days":30,"retention_days":31}}`, secerr.BadRequest, ""},
		{`{"unknown":1}`, secerr.BadRequest, ""},
		{`{"unknown":null}`, secerr.BadRequest, ""},
		{`{"audit":{"unknown":null}}`, secerr.BadRequest, ""},
		{`{"audit":{"retention_days":"30"}}`, secerr.BadRequest, ""},
		{`{"audit":{"retention_days":1.5}}`, secerr.BadRequest, ""},
		{`{"audit":{"retention_days":1e99}}`, secerr.BadRequest, ""},
		{`{"audit":[]}`, secerr.BadRequest, ""},
		{`{"audit":{"retention_days":0}}`, secerr.ValidationFailed, "audit.retention_days"},
		{`{"rate_limits":{"login":{"max_requests":0}}}`, secerr.ValidationFailed, "rate_limits.login.max_requests"},
		{`{"rate_limits":{"login":{"max_requests":1000001}}}`, secerr.ValidationFailed, "rate_limits.login.max_requests"},
		{`{"sessions":{"idle_secs":50000}}`, secerr.ValidationFailed, "sessions.idle_secs"},
		{`{"mfa":{"required_roles":["root"]}}`, secerr.ValidationFailed, "mfa.required_roles"},
		{`{"mfa":{"required_roles":["admin","admin"]}}`, secerr.ValidationFailed, "mfa.required_roles"},
		{`{"passwords":{"min_score":5}}`, secerr.ValidationFailed, "passwords.min_score"},
	} {
		_, err := Merge(Default(), []byte(c.patch), roles)
		if !secerr.Is(err, c.code) {
			t.Errorf("%s: %v, want %s", c.patch, err, c.code)
			continue
		}
		if fields := err.(*secerr.Error).Fields; c.field != "" && (len(fields) != 1 || fields[0].Field != c.field) {
			t.Errorf("%s: the fields are %v, want %s", c.patch, fields, c.field)
		}
	}
}

func TestDiffNamesOldAndNew(t *testing.T) {
	after := Default()
	after.Audit.RetentionDays = 30
	after.Passwords.RequireClasses = true
	after.MFA.RequiredRoles = nil
	want := []Change{{"passwords.require_classes", false, true}, {"mfa.required_roles", []string{"admin"}, []string(nil)},
		{"audit.retention_days", int64(90), int64(30)}}
	if diff := cmp.Diff(want, Diff(Default(), after)); diff != "" {
		t.Error(diff)
	}
	if changes := Diff(Default(), Default()); changes != nil {
		t.Errorf("nothing changed, and yet %v", changes)
	}
}

func TestMFAGrace(t *testing.T) {
	born := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := MFA{RequiredRoles: []string{"admin"}, GraceSecs: 60}
	for _, c := range []struct {
		role string
		age  time.Duration
		want bool
	}{{"admin", 59 * time.Second, false}, {"admin", 60 * time.Second, true}, {"user", time.Hour, false}} {
		if got := m.Requires(c.role, born, born.Add(c.age)); got != c.want {
			t.Errorf("%s after %s: %t", c.role, c.age, got)
		}
	}
}
