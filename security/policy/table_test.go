package policy

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"patronus.internal/dashboard/security/secerr"
)

// leaves are the paths of a struct by its JSON names, in its order.
func leaves(t reflect.Type, prefix string) []string {
	var names []string
	for i := range t.NumField() {
		f := t.Field(i)
		name := prefix + f.Tag.Get("json")
		if f.Type.Kind() == reflect.Struct {
			names = append(names, leaves(f.Type, name+".")...)
		} else {
			names = append(names, name)
		}
	}
	return names
}

// TestEveryLeafIsDescribed: who adds a setting to the document describes it, and
// each description finds the value that its name says.
func TestEveryLeafIsDescribed(t *testing.T) {
	var names []string
	for _, s := range Settings() {
		names = append(names, s.Name)
		if s.Label == "" || !strings.HasSuffix(s.Meaning, ".") || !strings.HasSuffix(s.Counts, ".") {
			t.Errorf("%s lacks a label, a meaning or from when on it counts: %+v", s.Name, s)
		}
		if !slices.ContainsFunc(Sections(), func(of Section) bool { return of.Name == s.Section() }) {
			t.Errorf("%s is in no section", s.Name)
		}
		finds := 0
		for _, found := range []bool{s.number != nil, s.flag != nil, s.roles != nil} {
			if found {
				finds++
			}
		}
		if finds != 1 || s.Kind() == Number && s.Min >= s.Max {
			t.Errorf("%s is %d kinds at once, from %d to %d", s.Name, finds, s.Min, s.Max)
		}
		p := Default()
		var other any
		switch value := s.Of(p).(type) {
		case int64:
			other = value + 1
			if value < s.Min || value > s.Max {
				t.Errorf("the default of %s is %d, outside of its range", s.Name, value)
			}
		case bool:
			other = !value
		case []string:
			other = []string{"viewer"}
		}
		if !s.set(&p, other) {
			t.Errorf("%s does not take %v", s.Name, other)
		}
		if diff := cmp.Diff([]Change{{s.Name, s.Of(Default()), other}}, Diff(Default(), p)); diff != "" {
			t.Error(diff)
		}
		document, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var at any
		if err := json.Unmarshal(document, &at); err != nil {
			t.Fatal(err)
		}
		for member := range strings.SplitSeq(s.Name, ".") {
			at = at.(map[string]any)[member]
		}
		if !same(at, other) {
			t.Errorf("in the document %s is %v and not %v", s.Name, at, other)
		}
	}
	if diff := cmp.Diff(leaves(reflect.TypeFor[Policy](), ""), names); diff != "" {
		t.Error(diff)
	}
}

func TestRulesNameSettingsThatExist(t *testing.T) {
	for _, r := range rules {
		for _, name := range r.settings {
			if _, found := Find(name); !found {
				t.Errorf("a rule names %s", name)
			}
		}
		if detail := r.broken(Default()); detail != "" {
			t.Errorf("the default breaks a rule: %s", detail)
		}
	}
}

// TestCheck: what would lock everybody out is refused by the name of a setting
// that the change touches, and what is merely strict is not.
func TestCheck(t *testing.T) {
	for _, c := range []struct{ patch, field string }{
		{`{"rate_limits":{"login":{"max_requests":1}}}`, ""},
		{`{"rate_limits":{"login":{"max_requests":1000000,"window_secs":1}}}`, ""},
		{`{"rate_limits":{"login":{"max_requests":1,"window_secs":360}}}`, ""},
		{`{"rate_limits":{"login":{"max_requests":1,"window_secs":3600}}}`, ""},
		{`{"rate_limits":{"login":{"max_requests":1,"window_secs":3601}}}`, "rate_limits.login.max_requests"},
		{`{"rate_limits":{"login":{"max_requests":2,"window_secs":86400}}}`, ""},
		{`{"rate_limits":{"login":{"window_secs":86400}}}`, ""},
		{`{"rate_limits":{"login":{"window_secs":86401}}}`, "rate_limits.login.window_secs"},
		{`{"rate_limits":{"api_authenticated":{"max_requests":1}}}`, ""},
		{`{"rate_limits":{"api_authenticated":{"max_requests":1,"window_secs":150,"burst":0}}}`, ""},
		{`{"rate_limits":{"api_authenticated":{"max_requests":1,"window_secs":151,"burst":0}}}`, "rate_limits.api_authenticated.max_requests"},
		{`{"rate_limits":{"api_authenticated":{"max_requests":2,"window_secs":86400,"burst":0}}}`, ""},
		{`{"rate_limits":{"api_authenticated":{"max_requests":1,"window_secs":86400,"burst":1}}}`, ""},
		{`{"rate_limits":{"api_authenticated":{"max_requests":1,"burst":0}},"sessions":{"idle_secs":120}}`, ""},
		{`{"rate_limits":{"api_authenticated":{"max_requests":1,"burst":0}},"sessions":{"idle_secs":119}}`, "sessions.idle_secs"},
		{`{"rate_limits":{"api_authenticated":{"max_requests":1,"burst":0}},"sessions":{"absolute_secs":600,"idle_secs":600}}`, ""},
		{`{"rate_limits":{"api_authenticated":{"max_requests":1,"burst":0}},"sessions":{"absolute_secs":599,"idle_secs":300}}`, "sessions.absolute_secs"},
		{`{"rate_limits":{"api_unauthenticated":{"max_requests":1,"window_secs":151,"burst":0}}}`, "rate_limits.api_unauthenticated.max_requests"},
		{`{"rate_limits":{"api_unauthenticated":{"window_secs":86400}}}`, ""},
		{`{"rate_limits":{"websocket":{"max_requests":1,"window_secs":86400}}}`, ""}, // nobody needs it to change it back
		{`{"rate_limits":{"api_key":{"max_requests":1,"window_secs":86400}}}`, ""},   // likewise
		{`{"rate_limits":{"api_key":{"burst":-1}}}`, "rate_limits.api_key.burst"},
		{`{"sessions":{"idle_secs":43201}}`, "sessions.idle_secs"},
		{`{"sessions":{"absolute_secs":1799}}`, "sessions.absolute_secs"},
		{`{"sessions":{"absolute_secs":300,"idle_secs":300}}`, ""},
		{`{"sessions":{"refresh_token_secs":300}}`, "sessions.refresh_token_secs"},
		{`{"sessions":{"access_token_secs":59}}`, "sessions.access_token_secs"},
		{`{"sessions":{"max_per_user":0}}`, "sessions.max_per_user"},
		{`{"sessions":{"max_per_user":1}}`, ""},
		{`{"passwords":{"min_length":65}}`, "passwords.min_length"},
		{`{"mfa":{"required_roles":["admin","operator","viewer","user"],"grace_secs":0}}`, ""},
		{`{"mfa":{"required_roles":[]}}`, ""},
		{`{"lockout":{"lock_after":0}}`, "lockout.lock_after"},
		{`{"lockout":{"lock_after":1}}`, "lockout.lock_after"},
		{`{"lockout":{"lock_after":2}}`, ""},
		{`{"lockout":{"captcha_after":1000,"delay_after":1000,"lock_after":1000}}`, ""},
		{`{"lockout":{"lock_after":1000,"lock_secs":1}}`, ""}, // the limit of sign-ins holds
		{`{"lockout":{"lock_after":1000,"lock_secs":1},"rate_limits":{"login":{"max_requests":1000000,"window_secs":1}}}`, "lockout.lock_secs"},
		{`{"lockout":{"code_attempts":1000,"code_window_secs":1}}`, "lockout.code_attempts"},
		{`{"lockout":{"code_window_secs":1}}`, ""},
		{`{"lockout":{"code_attempts":12,"code_window_secs":1}}`, "lockout.code_attempts"},
		{`{"lockout":{"code_attempts":1000}}`, ""},
		{`{"anomaly":{"address_failures":2}}`, "anomaly.address_failures"},
		{`{"anomaly":{"address_failures":3,"block_secs":31536000}}`, ""},
		{`{"anomaly":{"spray_accounts":1}}`, "anomaly.spray_accounts"},
		{`{"audit":{"retention_days":3651}}`, "audit.retention_days"},
	} {
		_, err := Merge(Default(), []byte(c.patch), roles)
		fields := secerr.FieldsOf(err)
		switch {
		case c.field == "" && err != nil:
			t.Errorf("%s: %v", c.patch, err)
		case c.field != "" && (len(fields) != 1 || fields[0].Field != c.field || !secerr.Is(err, secerr.ValidationFailed)):
			t.Errorf("%s: %v, want %s", c.patch, err, c.field)
		}
	}
}

// TestWhatWasSoIsNoReason: a policy of an older version may be beyond what a change
// may come to. It loads, and something else of it can be changed.
func TestWhatWasSoIsNoReason(t *testing.T) {
	old := Default()
	old.Lockout.LockAfter = 1
	old.Anomaly.AddressFailures = 1
	old.Sessions.IdleSecs = old.Sessions.AbsoluteSecs + 1
	if err := old.Validate(roles); err != nil {
		t.Errorf("it does not load: %v", err)
	}
	if _, err := Merge(old, []byte(`{"audit":{"retention_days":30}}`), roles); err != nil {
		t.Errorf("something else cannot be changed: %v", err)
	}
	if _, err := Merge(old, []byte(`{"sessions":{"idle_secs":90000}}`), roles); !secerr.Is(err, secerr.ValidationFailed) {
		t.Errorf("it can be changed to another such value: %v", err)
	}
	if _, err := Merge(old, []byte(`{"sessions":{"idle_secs":600},"lockout":{"lock_after":2}}`), roles); err != nil {
		t.Errorf("it cannot be mended: %v", err)
	}
	old.Lockout.LockAfter = 0
	if err := old.Validate(roles); !secerr.Is(err, secerr.ValidationFailed) {
		t.Errorf("what never was so loads: %v", err)
	}
}

func TestWords(t *testing.T) {
	for seconds, want := range map[int64][2]string{0: {"0 seconds", "0s"}, 1: {"1 second", "1s"}, 90: {"1 minute 30 seconds", "90s"}, 900: {"15 minutes", "15m"},
		5400: {"1 hour 30 minutes", "90m"}, 43200: {"12 hours", "12h"}, day: {"1 day", "1d"}, 604800: {"7 days", "7d"}, year: {"365 days", "365d"}} {
		if words, short := Words(seconds), Short(seconds); words != want[0] || short != want[1] {
			t.Errorf("%d: %q, %q", seconds, words, short)
		}
	}
	for _, c := range []struct {
		name  string
		value any
		want  string
	}{
		{"sessions.idle_secs", int64(1800), "30 minutes"}, {"sessions.idle_secs", 1800.0, "30 minutes"},
		{"audit.retention_days", int64(1), "1 day"}, {"audit.retention_days", int64(3650), "3,650 days"},
		{"rate_limits.login.max_requests", int64(1000000), "1,000,000"}, {"rate_limits.login.max_requests", int64(100), "100"},
		{"passwords.require_classes", true, "on"}, {"passwords.require_classes", false, "off"},
		{"mfa.required_roles", []string{"admin", "user"}, "admin, user"}, {"mfa.required_roles", []any{"admin"}, "admin"},
		{"mfa.required_roles", nil, "nobody"}, {"mfa.required_roles", []string{}, "nobody"},
	} {
		s, _ := Find(c.name)
		if got := s.Say(c.value); got != c.want {
			t.Errorf("%s of %v is %q", c.name, c.value, got)
		}
	}
}

func TestRestored(t *testing.T) {
	now := Default()
	now.Audit.RetentionDays, now.MFA.RequiredRoles = 30, []string{"admin", "user"}
	// As an event has them.
	var changes []Change
	if err := json.Unmarshal([]byte(`[{"setting":"audit.retention_days","old":90,"new":30},{"setting":"mfa.required_roles","old":null,"new":["admin","user"]}]`), &changes); err != nil {
		t.Fatal(err)
	}
	got, err := Restored(now, changes, roles)
	want := Default()
	want.MFA.RequiredRoles = []string{}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v: %s", err, diff)
	}
	for _, c := range []struct {
		change Change
		code   secerr.Code
	}{
		{Change{"audit.gone", 1.0, 2.0}, secerr.Conflict}, {Change{"audit.retention_days", "90", 30.0}, secerr.Conflict},
		{Change{"audit.retention_days", 1.5, 30.0}, secerr.Conflict}, {Change{"audit.retention_days", nil, 30.0}, secerr.Conflict},
		{Change{"lockout.lock_after", 1.0, 10.0}, secerr.ValidationFailed},
	} {
		if _, err := Restored(now, []Change{c.change}, roles); !secerr.Is(err, c.code) {
			t.Errorf("%v: %v", c.change, err)
		}
	}
}

func TestToDefault(t *testing.T) {
	other := Default()
	other.Audit.RetentionDays, other.Sessions.IdleSecs, other.RateLimits.Login.Burst, other.RateLimits.APIKey.Burst = 30, 600, 7, 8
	for _, c := range []struct {
		names []string
		left  []string
	}{
		{nil, nil},
		{[]string{"sessions", "audit.retention_days"}, []string{"rate_limits.login.burst", "rate_limits.api_key.burst"}},
		{[]string{"rate_limits.login", "rate_limits.login.burst", "rate_limits.api_key.burst"}, []string{"sessions.idle_secs", "audit.retention_days"}},
	} {
		patch, err := ToDefault(c.names...)
		if err != nil {
			t.Fatal(err)
		}
		next, err := Merge(other, patch, roles)
		if err != nil {
			t.Fatal(err)
		}
		var left []string
		for _, change := range Diff(Default(), next) {
			left = append(left, change.Setting)
		}
		if diff := cmp.Diff(c.left, left); diff != "" {
			t.Errorf("%v: %s", c.names, diff)
		}
	}
	for _, name := range []string{"", "audit.", "nothing", "audit.retention", "mfa.required_roles.admin"} {
		if _, err := ToDefault(name); !secerr.Is(err, secerr.ValidationFailed) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPatch(t *testing.T) {
	patch, err := Patch(map[string]any{"rate_limits.login.burst": int64(2), "rate_limits.login.max_requests": int64(9), "mfa.required_roles": []string(nil), "passwords.require_classes": true})
	if err != nil || string(patch) != `{"mfa":{"required_roles":[]},"passwords":{"require_classes":true},"rate_limits":{"login":{"burst":2,"max_requests":9}}}` {
		t.Errorf("%s, %v", patch, err)
	}
}

func TestEffects(t *testing.T) {
	for _, c := range []struct{ patch, want string }{
		{`{"sessions":{"idle_secs":600}}`, "has not used their browser for 10 minutes"},
		{`{"sessions":{"idle_secs":3600}}`, ""},
		{`{"mfa":{"required_roles":["admin","user"]}}`, "Everybody with the role user"},
		{`{"mfa":{"required_roles":["admin","user"],"grace_secs":86400}}`, "accounts younger than 1 day"},
		{`{"mfa":{"required_roles":[]}}`, "a password alone signs in"},
		{`{"audit":{"retention_days":30}}`, "older than 30 days are removed for good"},
		{`{"audit":{"retention_days":100}}`, ""},
		{`{"lockout":{"lock_after":4}}`, "the wait never comes"},
		{`{"lockout":{"lock_after":3}}`, "the CAPTCHA never comes"},
		{`{"lockout":{"lock_after":101}}`, "NIST SP 800-63B-4"},
		{`{"lockout":{"lock_secs":1}}`, "hardly slows down"},
		{`{"lockout":{"code_attempts":1}}`, "cannot give another one for up to 15 minutes"},
		{`{"lockout":{"code_attempts":1000}}`, "96,000 codes a day"},
		{`{"anomaly":{"address_failures":3}}`, "behind the same router"},
		{`{"anomaly":{"block_secs":172800}}`, "for 2 days"},
		{`{"passwords":{"min_score":0}}`, "easy to guess"},
		{`{"passwords":{"require_classes":true}}`, "patterns"},
		{`{"rate_limits":{"login":{"max_requests":1}}}`, "Sign-in: who has used the limit up waits 5 minutes"},
		{`{"rate_limits":{"login":{"burst":1}}}`, ""},
		{`{}`, ""},
	} {
		next, err := Merge(Default(), []byte(c.patch), roles)
		if err != nil {
			t.Fatalf("%s: %v", c.patch, err)
		}
		effects := Effects(Default(), next)
		if said := strings.Join(effects, "\n"); c.want == "" && said != "" || !strings.Contains(said, c.want) {
			t.Errorf("%s: %q", c.patch, said)
		}
	}
}
