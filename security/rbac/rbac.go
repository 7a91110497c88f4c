// Package rbac decides what a role or an API key may do. Its tables are data
// and its decisions are pure functions.
package rbac

import (
	"slices"
	"strings"

	"patronus.internal/dashboard/security/secerr"
)

// Role is the part a user plays.
type Role string

// The roles of the product.
const (
	Admin    Role = "admin"
	Operator Role = "operator"
	Viewer   Role = "viewer"
	User     Role = "user"
)

// Roles lists them from the most to the least powerful.
var Roles = []Role{Admin, Operator, Viewer, User}

// UpTo lists the roles that are not above one, from the most to the least
// powerful; none for what is no role.
func UpTo(role Role) []Role {
	if i := slices.Index(Roles, role); i >= 0 {
		return Roles[i:]
	}
	return nil
}

// ParseRole refuses a role that does not exist, naming the field "role".
func ParseRole(s string) (Role, error) {
	if slices.Contains(Roles, Role(s)) {
		return Role(s), nil
	}
	return "", secerr.Invalid("role", "Choose admin, operator, viewer or user.")
}

// Permission is "resource:action".
type Permission string

// The permissions that routes ask for.
const (
	AuditRead     Permission = "audit:read"
	MetricsRead   Permission = "metrics:read"
	UsersRead     Permission = "users:read"
	UsersWrite    Permission = "users:write"
	PoliciesRead  Permission = "policies:read"
	PoliciesWrite Permission = "policies:write"
	APIKeysRead   Permission = "api_keys:read"
	APIKeysWrite  Permission = "api_keys:write"
	IPBlocksRead  Permission = "ip_blocks:read"
	IPBlocksWrite Permission = "ip_blocks:write"
	SessionsRead  Permission = "sessions:read"
	SessionsWrite Permission = "sessions:write"
)

// Resources and Actions span every permission there is.
var (
	Resources = []string{"sites", "paths", "metrics", "policies", "users", "audit", "api_keys", "sessions", "ip_blocks"}
	Actions   = []string{"read", "write"}
)

// Reach says how far a permission goes.
type Reach int

// Own is what concerns the caller alone; Some is single resources that were
// granted; All is everybody's.
const (
	None Reach = iota
	Own
	Some
	All
)

// matrix is the product's permission table. Admin needs no row: it may do
// everything. What a person may do to their own account needs no permission.
var matrix = map[Role]map[Permission]Reach{
	Operator: {
		"users:read": All, "policies:read": All,
		"ip_blocks:read": All, "ip_blocks:write": All,
		"sites:read": All, "sites:write": All, "paths:read": All, "paths:write": All,
		"metrics:read": All, "audit:read": All, "sessions:read": All, "api_keys:read": All,
	},
	Viewer: {
		"policies:read": All, "ip_blocks:read": All, "sites:read": All, "paths:read": All,
		"metrics:read": All, "audit:read": All,
	},
	User: {"audit:read": Own},
}

// Of is what a role reaches with a permission.
func Of(role Role, p Permission) Reach {
	if role == Admin {
		return All
	}
	return matrix[role][p]
}

// changes reports whether it is about more than reading.
func (p Permission) changes() bool { return strings.HasSuffix(string(p), ":write") }

// all is every permission that means something. Nobody writes figures, and the
// log writes itself.
var all = func() []Permission {
	var list []Permission
	for _, resource := range Resources {
		for _, action := range Actions {
			if p := Permission(resource + ":" + action); p != "metrics:write" && p != "audit:write" {
				list = append(list, p)
			}
		}
	}
	return list
}()
