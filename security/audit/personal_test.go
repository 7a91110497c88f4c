package audit

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// TestWhatTellsOfAPersonCanBeErased, and what only a program writes stays.
func TestWhatTellsOfAPersonCanBeErased(t *testing.T) {
	for _, c := range []struct {
		name     string
		value    any
		personal bool
	}{
		{"reason", "wrong_password", false}, {"count", 7, false}, {"erased", true, false}, {"scope", "audit:read", false},
		{"scopes", []string{"audit:read", "*:*"}, false}, {"target_user_id", "019b7cc2-474e-7464-8693-20ca4b4ac6b0", false},
		{"since", "2026-01-02T03:04:05.678Z", false}, {"route", "GET /api/v1/audit", false}, {"action", "users.delete", false},
		{"acted", "5-9,12", false},
		{"changes", []map[string]any{{"setting": "mfa.required_roles", "old": []string{"admin"}, "new": nil}}, false},
		{"target_email", "a@example.org", true}, {"filter_ip", "none", true}, {"name", "backup", true}, {"old_name", "backup", true}, {"old_networks", []string{}, true}, {"q", "zelda", true},
		{"target_network", "192.0.2.7/32", true}, {"ip_address", "192.0.2.7", true}, {"address", "2001:db8::1", true},
		{"reason", "Zelda was here", true}, {"reason", FreeText("zelda-quintessence"), true}, {"new", map[string]any{"old": "A b"}, true},
		{"at", "Tuesday", true}, {"note", "a@b.example", true},
	} {
		public, erasable, err := split(Details{c.name: c.value})
		if err != nil || (erasable != "") != c.personal || (public == "{}") != c.personal {
			t.Errorf("%s %v: public %s, erasable %s (%v)", c.name, c.value, public, erasable, err)
		}
	}
}

// TestPartUndoesJoin for any details.
func TestPartUndoesJoin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		details := Details{}
		for name, value := range rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "details") {
			details[name] = value
		}
		public, erasable, err := split(details)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]json.RawMessage
		if erasable != "" {
			if err := json.Unmarshal([]byte(erasable), &members); err != nil {
				t.Fatal(err)
			}
		}
		var names []string
		for name := range members {
			names = append(names, name)
		}
		others, named, err := part(join(public, erasable), names)
		if err != nil || others != public || named != erasable {
			t.Fatalf("%s and %s became %s and %s (%v)", public, erasable, others, named, err)
		}
	})
}

// TestOneAddressIsNoPartOfAnother.
func TestOneAddressIsNoPartOfAnother(t *testing.T) {
	for text, want := range map[string]bool{
		`{"q":"a@b.co"}`: true, `{"q":"find A@B.CO, please"}`: true, `{"q":"it was a@b.co."}`: true, `{"q":"<a@b.co>"}`: true, `{"q":"a@b.co? no"}`: true,
		`{"q":"ba@b.co"}`: false, `{"q":"a@b.com"}`: false, `{"q":"x.a@b.co"}`: false, `{"q":"a@b.co.uk"}`: false, `{"q":"éa@b.co"}`: false, `{"q":"a@b.co-op.example"}`: false,
		`{"q":"ba@b.co and a@b.co"}`: true, `{"q":""}`: false,
	} {
		if got := names(text, "a@b.co"); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}
