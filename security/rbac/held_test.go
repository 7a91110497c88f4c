package rbac

import (
	"slices"
	"testing"

	"patronus.internal/dashboard/security/secerr"
)

func grants(list ...string) (parsed []Grant) {
	for i := 0; i < len(list); i += 2 {
		parsed = append(parsed, Grant{Permission: Scope(list[i]), ResourceID: list[i+1]})
	}
	return parsed
}

func TestReachWithGrants(t *testing.T) {
	for _, c := range []struct {
		held Held
		ask  Permission
		want Reach
		on   []string // among "a", "b" and "c"
	}{
		{Held{Role: User}, "users:read", None, nil},
		{Held{Role: User, Grants: grants("users:read", "")}, "users:read", All, []string{"a", "b", "c"}},
		{Held{Role: User, Grants: grants("users:read", "a")}, "users:read", Some, []string{"a"}},
		{Held{Role: User, Grants: grants("users:read", "a")}, "users:write", None, nil},
		{Held{Role: User, Grants: grants("users:*", "a", "users:read", "b")}, "users:read", Some, []string{"a", "b"}},
		{Held{Role: User, Grants: grants("users:*", "a", "users:read", "b")}, "users:write", Some, []string{"a"}},
		{Held{Role: User, Grants: grants("users:read", "a", "users:read", "")}, "users:read", All, []string{"a", "b", "c"}},
		{Held{Role: User, Grants: grants("*:read", "")}, "policies:read", All, []string{"a", "b", "c"}},
		{Held{Role: User, Grants: grants("audit:read", "")}, "audit:read", All, []string{"a", "b", "c"}},
		{Held{Role: Operator, Grants: grants("users:read", "a")}, "users:read", All, []string{"a", "b", "c"}},
		{Held{Role: User, Grants: grants("users:read", "a"), Scopes: []Scope{"sites:read"}}, "users:read", None, nil},
		{Held{Role: User, Grants: grants("users:read", "a"), Scopes: []Scope{"users:read"}}, "users:read", Some, []string{"a"}},
		{Held{Role: User, Grants: grants("users:*", ""), Scopes: []Scope{"users:read"}}, "users:write", None, nil},
	} {
		if got := c.held.Reach(c.ask); got != c.want {
			t.Errorf("%+v reaches %d with %s, want %d", c.held, got, c.ask, c.want)
		}
		var on []string
		for _, id := range []string{"a", "b", "c"} {
			if c.held.Allow(c.ask, id) {
				on = append(on, id)
			}
		}
		if !slices.Equal(on, c.on) {
			t.Errorf("%+v reaches %v with %s, want %v", c.held, on, c.ask, c.on)
		}
		if c.held.Allow(c.ask) != (c.want == All) {
			t.Errorf("%+v reaches nothing in particular with %s", c.held, c.ask)
		}
		if got := c.held.Resources(c.ask); (c.want == Some) != (len(got) > 0) {
			t.Errorf("%+v has the resources %v with %s", c.held, got, c.ask)
		}
	}
}

func TestCovers(t *testing.T) {
	for _, c := range []struct {
		one, other Held
		want       bool
	}{
		{Held{Role: Admin}, Held{Role: Admin, Grants: grants("users:write", "")}, true},
		{Held{Role: Operator}, Held{Role: Viewer}, true},
		{Held{Role: Viewer}, Held{Role: Operator}, false},
		{Held{Role: User}, Held{Role: User}, true},
		{Held{Role: Operator, Grants: grants("users:write", "")}, Held{Role: Admin}, false},
		{Held{Role: Operator, Grants: grants("users:write", "")}, Held{Role: Operator}, true},
		{Held{Role: Operator}, Held{Role: User, Grants: grants("users:write", "")}, false},
		{Held{Role: Operator}, Held{Role: User, Grants: grants("users:write", "a")}, false},
		{Held{Role: Operator, Grants: grants("users:write", "a")}, Held{Role: User, Grants: grants("users:write", "a")}, true},
		{Held{Role: Operator, Grants: grants("users:write", "b")}, Held{Role: User, Grants: grants("users:write", "a")}, false},
		{Held{Role: User, Grants: grants("audit:read", "")}, Held{Role: User}, true},
		{Held{Role: User}, Held{Role: User, Grants: grants("audit:read", "")}, false},
	} {
		if got := c.one.Covers(c.other); got != c.want {
			t.Errorf("%+v covers %+v: %t", c.one, c.other, got)
		}
	}
}

func TestNobodyGrantsMoreThanTheyHold(t *testing.T) {
	admin, key := Held{Role: Admin}, Held{Role: Admin, Scopes: []Scope{"users:write"}}
	operator := Held{Role: Operator, Grants: grants("users:write", "")}
	for _, c := range []struct {
		held Held
		g    Grant
		want bool
	}{
		{admin, Grant{"policies:write", ""}, true},
		{key, Grant{"policies:write", ""}, false},
		{key, Grant{"users:write", "a"}, true},
		{operator, Grant{"users:write", ""}, true},
		{operator, Grant{"sites:*", ""}, true},
		{operator, Grant{"policies:write", ""}, false},
		{operator, Grant{"api_keys:write", "a"}, false},
		{operator, Grant{"*:write", ""}, false},
		{Held{Role: User, Grants: grants("users:write", "a")}, Grant{"users:write", "a"}, true},
		{Held{Role: User, Grants: grants("users:write", "a")}, Grant{"users:write", "b"}, false},
		{Held{Role: User, Grants: grants("users:write", "a")}, Grant{"users:write", ""}, false},
		{Held{Role: User}, Grant{"audit:read", ""}, false},
	} {
		if got := c.held.MayGrant(c.g); got != c.want {
			t.Errorf("%+v may grant %+v: %t", c.held, c.g, got)
		}
	}
}

func TestMayChangeEverything(t *testing.T) {
	for _, c := range []struct {
		held Held
		want bool
	}{
		{Held{Role: Admin}, true},
		{Held{Role: Operator, Grants: grants("users:*", "", "policies:*", "", "sessions:*", "", "api_keys:*", "")}, true},
		{Held{Role: Viewer, Grants: grants("users:*", "", "policies:*", "", "sessions:*", "", "api_keys:*", "")}, false},
		{Held{Role: Operator, Grants: grants("users:*", "a", "policies:*", "", "sessions:*", "", "api_keys:*", "")}, false},
		{Held{Role: Operator}, false},
	} {
		if got := c.held.MayChangeEverything(); got != c.want {
			t.Errorf("%+v may change everything: %t", c.held, got)
		}
	}
}

func TestGrantSyntax(t *testing.T) {
	for _, good := range [][2]string{{"sites:read", ""}, {"sites:read", "a"}, {"users:*", "a"}, {"*:read", ""}, {"audit:read", ""}, {"sessions:write", "a"}, {"audit:*", ""}} {
		if g, err := ParseGrant(good[0], good[1]); err != nil || string(g.Permission) != good[0] || g.ResourceID != good[1] {
			t.Errorf("%q: %v, %v", good, g, err)
		}
	}
	for _, bad := range [][3]string{
		{"", "", "permission"}, {"sites", "", "permission"}, {"sites:*:x", "", "permission"}, {"*:*", "", "permission"}, {"*:write", "", "permission"}, {"audit:write", "", "permission"},
		{"metrics:write", "", "permission"}, {"audit:read", "a", "resource_id"}, {"*:read", "a", "resource_id"}, {"policies:read", "a", "resource_id"}, {"metrics:read", "a", "resource_id"},
	} {
		_, err := ParseGrant(bad[0], bad[1])
		if fields := secerr.FieldsOf(err); len(fields) != 1 || fields[0].Field != bad[2] {
			t.Errorf("%q is taken, or another field refused: %v", bad, err)
		}
	}
}

// FuzzCovers: whoever covers another reaches at least as far with everything.
func FuzzCovers(f *testing.F) {
	f.Add(uint8(1), uint8(2), "users:read", "a", "users:*", "")
	f.Add(uint8(3), uint8(3), "audit:read", "", "*:read", "")
	f.Fuzz(func(t *testing.T, one, other uint8, p, id, q, otherID string) {
		a := Held{Role: Roles[int(one)%len(Roles)]}
		b := Held{Role: Roles[int(other)%len(Roles)]}
		if g, err := ParseGrant(p, id); err == nil {
			a.Grants = append(a.Grants, g)
		}
		if g, err := ParseGrant(q, otherID); err == nil {
			b.Grants = append(b.Grants, g)
		}
		if !a.Covers(b) {
			return
		}
		for _, p := range all {
			for _, on := range []string{id, otherID, "another"} {
				if b.Allow(p, on) && !a.Allow(p, on) {
					t.Errorf("%+v covers %+v and does not reach %q with %s", a, b, on, p)
				}
			}
			if b.Reach(p) == Own && a.Reach(p) == None {
				t.Errorf("%+v covers %+v and does not reach its own with %s", a, b, p)
			}
		}
	})
}
