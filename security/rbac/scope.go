package rbac

import (
	"slices"
	"strings"

	"patronus.internal/dashboard/security/secerr"
)

// Scope is a permission given to an API key; "*" may stand for a whole part.
type Scope string

// AllScopes covers everything its owner may do.
const AllScopes Scope = "*:*"

// ParseScope refuses what is no scope: an unknown resource or action, or a
// star for a piece of a part.
func ParseScope(s string) (Scope, error) {
	resource, action, found := strings.Cut(s, ":")
	if !found ||
		resource != "*" && !slices.Contains(Resources, resource) ||
		action != "*" && !slices.Contains(Actions, action) {
		return "", secerr.Invalid("scopes", "A scope is a resource and an action, for example sites:read. "+
			"Resources: "+strings.Join(Resources, ", ")+". Actions: read, write. A * stands for all of one part.")
	}
	return Scope(s), nil
}

// CoverEveryChange reports whether scopes together may change as much as
// AllScopes.
func CoverEveryChange(scopes []Scope) bool {
	return !slices.ContainsFunc(all, func(p Permission) bool {
		return p.changes() && !slices.ContainsFunc(scopes, func(s Scope) bool { return s.Covers(p) })
	})
}

// Covers reports whether the scope names the permission.
func (s Scope) Covers(p Permission) bool {
	resource, action, _ := strings.Cut(string(s), ":")
	wantResource, wantAction, _ := strings.Cut(string(p), ":")
	return (resource == "*" || resource == wantResource) && (action == "*" || action == wantAction)
}

// Permissions lists what the scope covers of all that means something, in the
// order of the tables.
func (s Scope) Permissions() []Permission {
	var covered []Permission
	for _, p := range all {
		if s.Covers(p) {
			covered = append(covered, p)
		}
	}
	return covered
}

// Within reports whether scopes cover nothing that others do not, what means
// nothing today included.
func Within(scopes, others []Scope) bool {
	for _, resource := range Resources {
		for _, action := range Actions {
			p := Permission(resource + ":" + action)
			covers := func(s Scope) bool { return s.Covers(p) }
			if slices.ContainsFunc(scopes, covers) && !slices.ContainsFunc(others, covers) {
				return false
			}
		}
	}
	return true
}
