package rbac

import (
	"slices"
	"strings"

	"patronus.internal/dashboard/security/secerr"
)

// Grant is a permission that somebody has beyond their role, everywhere or for
// one resource.
type Grant struct {
	Permission Scope  // "*" may stand for a whole part
	ResourceID string // empty: everywhere
}

// maxResourceID is longer than any id here, and as long as a site or a path may
// have, in bytes.
const maxResourceID = 100

// divisible are the resources of which one may be granted by its id.
var divisible = []string{"sites", "paths", "users", "api_keys", "sessions", "ip_blocks"}

// ParseGrant refuses what is no permission, what comes to everything, which is
// the role admin, and one resource where there are none. It names the fields
// "permission" and "resource_id".
func ParseGrant(permission, resourceID string) (Grant, error) {
	scope, err := ParseScope(permission)
	switch {
	case err != nil:
		return Grant{}, secerr.Invalid("permission", "A permission is a resource and an action, for example sites:read. "+
			"Resources: "+strings.Join(Resources, ", ")+". Actions: read, write. A * stands for all of one part.")
	case !slices.ContainsFunc(all, scope.Covers):
		return Grant{}, secerr.Invalid("permission", "Nobody may do this: the log writes itself, and so do the figures.")
	case CoverEveryChange([]Scope{scope}):
		return Grant{}, secerr.Invalid("permission", "To change everything is what the role admin is for. Change the role instead.")
	}
	if len(resourceID) > maxResourceID {
		return Grant{}, secerr.Invalid("resource_id", "Use an id of 100 bytes at most.")
	}
	if resource, _, _ := strings.Cut(permission, ":"); resourceID != "" && !slices.Contains(divisible, resource) {
		return Grant{}, secerr.Invalid("resource_id", "Only one of "+strings.Join(divisible, ", ")+" can be named. Leave it out to grant the permission as a whole.")
	}
	return Grant{Permission: scope, ResourceID: resourceID}, nil
}

// Resource is the part of the permission before the colon.
func (g Grant) Resource() string {
	resource, _, _ := strings.Cut(string(g.Permission), ":")
	return resource
}
