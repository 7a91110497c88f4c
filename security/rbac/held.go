package rbac

import "slices"

// Held is what somebody may do now: their role, what was granted to them beyond
// it, and for an API key the scopes that bound both. Its decisions are pure.
type Held struct {
	Role   Role
	Grants []Grant
	Scopes []Scope // nil for a person
}

// Reach is how far a permission goes: what the role and the grants reach and,
// for an API key, only where a scope covers it.
func (h Held) Reach(p Permission) Reach {
	if h.Scopes != nil && !slices.ContainsFunc(h.Scopes, func(s Scope) bool { return s.Covers(p) }) {
		return None
	}
	reach := Of(h.Role, p)
	for _, g := range h.Grants {
		switch {
		case !g.Permission.Covers(p):
		case g.ResourceID == "":
			return All
		default:
			reach = max(reach, Some)
		}
	}
	return reach
}

// Allow reports whether a permission reaches something that is named by any of
// these ids: its own, and that of the user whom it belongs to.
func (h Held) Allow(p Permission, ids ...string) bool {
	reach := h.Reach(p)
	return reach == All || reach == Some && slices.ContainsFunc(h.Grants, func(g Grant) bool {
		return g.Permission.Covers(p) && slices.Contains(ids, g.ResourceID)
	})
}

// Resources lists what a permission that reaches Some reaches.
func (h Held) Resources(p Permission) []string {
	ids := []string{}
	if h.Reach(p) != Some {
		return ids
	}
	for _, g := range h.Grants {
		if g.Permission.Covers(p) && !slices.Contains(ids, g.ResourceID) {
			ids = append(ids, g.ResourceID)
		}
	}
	return ids
}

// Permissions lists what is reached at all, in the order of the tables.
func (h Held) Permissions() []Permission {
	allowed := make([]Permission, 0, len(all))
	for _, p := range all {
		if h.Reach(p) != None {
			allowed = append(allowed, p)
		}
	}
	return allowed
}

// Covers reports whether somebody may do all that another may.
func (h Held) Covers(other Held) bool {
	return !slices.ContainsFunc(all, func(p Permission) bool {
		switch reach := other.Reach(p); reach {
		case None:
			return false
		case Some:
			return slices.ContainsFunc(other.Resources(p), func(id string) bool { return !h.Allow(p, id) })
		default:
			return h.Reach(p) < reach
		}
	})
}

// Appointing lists what a role may do for everybody.
func Appointing(role Role) []Permission {
	var list []Permission
	for _, p := range all {
		if Of(role, p) == All {
			list = append(list, p)
		}
	}
	return list
}

// MayAppoint reports whether somebody reaches all that a role does for everybody:
// a key, by its scopes too. What a role has of its own alone gives nobody else
// anything.
func (h Held) MayAppoint(role Role) bool {
	return !slices.ContainsFunc(Appointing(role), func(p Permission) bool { return h.Reach(p) != All })
}

// MayChangeEverything reports whether every change is reached, as by an admin.
func (h Held) MayChangeEverything() bool {
	return !slices.ContainsFunc(all, func(p Permission) bool { return p.changes() && h.Reach(p) != All })
}

// MayScope reports whether somebody holds, at least in part, every permission
// that a scope covers, so that nobody makes a key that is stronger than they are.
// A scope that means nothing is for who may do everything.
func (h Held) MayScope(s Scope) bool {
	if !slices.ContainsFunc(all, s.Covers) {
		return h.Role == Admin
	}
	return !slices.ContainsFunc(all, func(p Permission) bool { return s.Covers(p) && h.Reach(p) == None })
}

// Scopable lists the plain scopes that somebody may give to a key.
func (h Held) Scopable() []Scope {
	var list []Scope
	for _, p := range h.Permissions() {
		list = append(list, Scope(p))
	}
	return list
}

// MayGrant reports whether somebody holds all of what a grant gives: a key, by
// its scopes too.
func (h Held) MayGrant(g Grant) bool { return h.Covers(Held{Grants: []Grant{g}}) }
