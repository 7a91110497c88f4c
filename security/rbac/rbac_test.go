package rbac

import (
	"slices"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/secerr"
)

// TestMatrix holds the product's permission table line by line.
func TestMatrix(t *testing.T) {
	for _, line := range []struct {
		permission                    Permission
		admin, operator, viewer, user Reach
	}{
		{"users:read", All, All, None, None},
		{"users:write", All, None, None, None},
		{"policies:read", All, All, All, None},
		{"policies:write", All, None, None, None},
		{"ip_blocks:read", All, All, All, None},
		{"ip_blocks:write", All, All, None, None},
		{"sites:read", All, All, All, None},
		{"sites:write", All, All, None, None},
		{"paths:read", All, All, All, None},
		{"paths:write", All, All, None, None},
		{"metrics:read", All, All, All, None},
		{"audit:read", All, All, All, Own},
		{"sessions:read", All, All, None, None},
		{"sessions:write", All, None, None, None},
		{"api_keys:read", All, All, None, None},
		{"api_keys:write", All, None, None, None},
	} {
		for role, want := range map[Role]Reach{Admin: line.admin, Operator: line.operator, Viewer: line.viewer, User: line.user} {
			if got := Of(role, line.permission); got != want {
				t.Errorf("%s reaches %d with %s, want %d", role, got, line.permission, want)
			}
		}
	}
}

func TestUpTo(t *testing.T) {
	for role, want := range map[Role][]Role{Admin: {Admin, Operator, Viewer, User}, Operator: {Operator, Viewer, User}, User: {User}, "emperor": nil, "": nil} {
		if got := UpTo(role); !slices.Equal(got, want) {
			t.Errorf("up to %q: %v", role, got)
		}
	}
}

func TestScopeSyntax(t *testing.T) {
	for _, good := range []string{"sites:read", "sites:*", "*:read", "*:*", "api_keys:write"} {
		if _, err := ParseScope(good); err != nil {
			t.Errorf("%q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{"", "sites", "sites:", ":read", "sites:*:x", "sites:read:write", "site*:read", "sites:re*", "SITES:read", "sites:read ", "unknown:read", "sites:delete", "*"} {
		if _, err := ParseScope(bad); !secerr.Is(err, secerr.ValidationFailed) {
			t.Errorf("%q is taken: %v", bad, err)
		}
	}
}

func FuzzParseScope(f *testing.F) {
	for _, seed := range []string{"sites:read", "*:*", "a:b:c", ":", "*:", "\x00:read", "sites:*:x", "*", "**:read", "sites:read ", "api_keys:write", "SITES:READ", "sites\uff1aread", "s\xffites:read"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		scope, err := ParseScope(raw)
		if err != nil {
			return
		}
		resource, action, _ := strings.Cut(raw, ":")
		if string(scope) != raw || resource == "" || action == "" || strings.Contains(action, ":") {
			t.Errorf("%q is a scope", raw)
		}
		// Neither part is anything but a star or one of the words.
		if resource != "*" && !slices.Contains(Resources, resource) || action != "*" && !slices.Contains(Actions, action) {
			t.Errorf("%q is a scope", raw)
		}
		for _, role := range Roles {
			for _, p := range (Held{Role: role, Scopes: []Scope{scope}}).Permissions() {
				if !scope.Covers(p) || Of(role, p) == None {
					t.Errorf("%s with the scope %q may do %s", role, raw, p)
				}
			}
		}
	})
}

// TestKeyIsIntersection: a key does what both its scopes and its owner may do,
// and never more.
func TestKeyIsIntersection(t *testing.T) {
	for _, c := range []struct {
		role   Role
		scopes []Scope
		ask    Permission
		want   Reach
	}{
		{Admin, []Scope{"sites:read"}, "sites:read", All},
		{Admin, []Scope{"sites:read"}, "sites:write", None},
		{Admin, []Scope{"sites:*"}, "sites:write", All},
		{Admin, []Scope{"*:read"}, "users:read", All},
		{Admin, []Scope{"*:read"}, "users:write", None},
		{Admin, []Scope{}, "sites:read", None},
		{Viewer, []Scope{"*:*"}, "sites:write", None},
		{Viewer, []Scope{"*:*"}, "sites:read", All},
		{User, []Scope{"audit:read"}, "audit:read", Own},
		{User, nil, "audit:read", Own},
		{User, nil, "users:read", None},
	} {
		if got := (Held{Role: c.role, Scopes: c.scopes}).Reach(c.ask); got != c.want {
			t.Errorf("%s with %v reaches %d with %s, want %d", c.role, c.scopes, got, c.ask, c.want)
		}
	}
}

func TestNobodyMakesAStrongerKey(t *testing.T) {
	for _, c := range []struct {
		role  Role
		scope Scope
		want  bool
	}{
		{Admin, "*:*", true}, {Operator, "*:*", false}, {Operator, "sites:*", true}, {Operator, "users:*", false},
		{Operator, "*:read", true}, {Viewer, "*:read", false}, {Viewer, "sites:read", true}, {User, "audit:read", true},
		{User, "audit:*", true}, {User, "sites:read", false},
	} {
		if got := (Held{Role: c.role}).MayScope(c.scope); got != c.want {
			t.Errorf("%s within %s: %t", c.scope, c.role, got)
		}
	}
	for _, role := range Roles {
		for _, scope := range (Held{Role: role}).Scopable() {
			if !(Held{Role: role}).MayScope(scope) {
				t.Errorf("%s is offered %s, which is above it", role, scope)
			}
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		scopes, others []Scope
		want           bool
	}{
		{[]Scope{"sites:read"}, []Scope{"sites:read"}, true},
		{[]Scope{"sites:read"}, []Scope{"sites:*"}, true},
		{[]Scope{"sites:read"}, []Scope{"*:read"}, true},
		{[]Scope{"sites:*"}, []Scope{"sites:read"}, false},
		{[]Scope{"sites:*"}, []Scope{"sites:read", "sites:write"}, true},
		{[]Scope{"*:read"}, []Scope{"sites:*", "paths:*"}, false},
		{[]Scope{"metrics:*"}, []Scope{"metrics:read"}, false}, // though nobody writes figures
		{[]Scope{"sites:read", "users:read"}, []Scope{"sites:*"}, false},
		{[]Scope{"*:*"}, []Scope{"*:*"}, true},
		{nil, []Scope{"sites:read"}, true},
	} {
		if got := Within(c.scopes, c.others); got != c.want {
			t.Errorf("%v within %v: %t", c.scopes, c.others, got)
		}
	}
}
