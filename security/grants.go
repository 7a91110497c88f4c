package security

import (
	"context"
	"slices"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/grant"
	"patronus.internal/dashboard/security/ipblock"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// grantsOf is what is granted to a user, for decisions.
func grantsOf(r db.Reader, userID string) ([]rbac.Grant, error) {
	stored, err := grant.Of(r, userID)
	if err != nil || len(stored) == 0 {
		return nil, err
	}
	grants := make([]rbac.Grant, len(stored))
	for i, g := range stored {
		grants[i] = ruleOf(g)
	}
	return grants, nil
}

func ruleOf(g grant.Grant) rbac.Grant {
	return rbac.Grant{Permission: rbac.Scope(g.Permission), ResourceID: g.ResourceID}
}

// Grants lists what is granted to a user beyond their role, oldest first, limit
// at most, and the cursor of the ones that follow. It returns secerr.NotFound for
// an unknown user.
func (s *Service) Grants(ctx context.Context, userID, after string, limit int) ([]grant.Grant, string, error) {
	r := s.db.Read(ctx)
	if _, err := user.ByID(r, userID); err != nil {
		return nil, "", err
	}
	return grant.List(r, userID, after, limit)
}

// Grant gives a user one permission beyond their role, everywhere or for one
// resource. It counts from the moment in which it returns. It returns
// secerr.ValidationFailed for what cannot be granted, secerr.NotFound for an
// unknown user, secerr.Forbidden for a permission that the caller's role does
// not hold, for themselves and for somebody above them, and secerr.Conflict for one
// that is there already.
func (s *Service) Grant(ctx context.Context, c Caller, userID, permission, resourceID string) (grant.Grant, error) {
	rule, err := rbac.ParseGrant(permission, resourceID)
	if err != nil {
		return grant.Grant{}, err
	}
	details := audit.Details{"target_user_id": userID, "permission": permission}
	if resourceID != "" {
		details["resource_id"] = resourceID
	}
	if userID == c.User.ID {
		return grant.Grant{}, s.deny(ctx, c, secerr.New(secerr.Forbidden, "Nobody grants anything to themselves: it would outlive their role. Ask another admin."), details)
	}
	if !c.grantor().MayGrant(rule) {
		return grant.Grant{}, s.deny(ctx, c, secerr.New(secerr.Forbidden, "You cannot grant what your role does not allow you yourself."), details)
	}
	s.noteScope(ctx, c, rule.Permission.Permissions()...)
	var added grant.Grant
	err = s.change(ctx, c, func(tx *db.Tx) error {
		u, err := subject(tx, c, userID)
		if err != nil {
			return err
		}
		if err := checkResource(tx, rule); err != nil {
			return err
		}
		if err := checkSum(tx, u, rule); err != nil {
			return err
		}
		added, err = grant.Add(tx, grant.Grant{UserID: u.ID, Permission: permission, ResourceID: resourceID, GrantedBy: c.User.ID})
		if err != nil {
			return err
		}
		details["target_email"], details["grant_id"] = u.Email, added.ID
		return recordGrant(tx, c, audit.PermissionGrant, details)
	})
	return added, err
}

// grantor is what the caller may grant from: a grant is not passed on, since when it
// ends, it must not live on elsewhere.
func (c Caller) grantor() rbac.Held {
	held := c.Held()
	held.Grants = nil
	return held
}

// Grantable lists the permissions that the caller may grant to a user: to themselves,
// none.
func (c Caller) Grantable(userID string) []rbac.Permission {
	if userID == c.User.ID {
		return nil
	}
	return slices.DeleteFunc(c.grantor().Permissions(), func(p rbac.Permission) bool {
		return !c.grantor().MayGrant(rbac.Grant{Permission: rbac.Scope(p)})
	})
}

// Revoke ends a grant of a user at once. It returns secerr.NotFound for an unknown
// user or grant, and secerr.Forbidden for somebody above the caller.
func (s *Service) Revoke(ctx context.Context, c Caller, userID, id string) error {
	return s.change(ctx, c, func(tx *db.Tx) error {
		u, err := subject(tx, c, userID)
		if err != nil {
			return err
		}
		g, err := grant.ByID(tx, u.ID, id)
		if err != nil {
			return err
		}
		if _, err := grant.Remove(tx, u.ID, id); err != nil {
			return err
		}
		details := audit.Details{"target_user_id": u.ID, "target_email": u.Email, "grant_id": g.ID, "permission": g.Permission}
		if g.ResourceID != "" {
			details["resource_id"] = g.ResourceID
		}
		return recordGrant(tx, c, audit.PermissionRevoke, details)
	})
}

// checkSum refuses a grant that comes to everything, with the role and what was granted
// before.
func checkSum(r db.Reader, u user.User, g rbac.Grant) error {
	held, err := heldBy(r, u)
	if err != nil || held.Role == rbac.Admin {
		return err
	}
	held.Grants = append(held.Grants, g)
	if held.MayChangeEverything() {
		return secerr.Invalid("permission", "With what they may do already they could change everything. That is what the role admin is for: change the role instead.")
	}
	return nil
}

// recordGrant records a change of permissions and makes it count in every server.
func recordGrant(tx *db.Tx, c Caller, t audit.Type, details audit.Details) error {
	if _, err := revocation.Advance(tx); err != nil {
		return err
	}
	return record(tx, c, t, details)
}

// checkResource refuses a grant for something that there is not: most likely its
// id was mistyped, and the permission would be somebody else's surprise. Sites
// and paths are not kept here, so any name of theirs is taken.
func checkResource(r db.Reader, g rbac.Grant) error {
	if g.ResourceID == "" {
		return nil
	}
	unknown := secerr.Invalid("resource_id", "There is nothing with this id.")
	var err error
	switch g.Resource() {
	case "users":
		_, err = user.ByID(r, g.ResourceID)
	case "api_keys":
		if _, err = apikey.ByID(r, g.ResourceID); secerr.Is(err, secerr.NotFound) {
			_, err = user.ByID(r, g.ResourceID) // all keys of theirs
		}
	case "sessions":
		if _, err = session.ByID(r, g.ResourceID); secerr.Is(err, secerr.NotFound) {
			_, err = user.ByID(r, g.ResourceID)
		}
	case "ip_blocks":
		_, err = ipblock.ByID(r, g.ResourceID)
	default:
		if cleaned, err := cleanName("resource_id", g.ResourceID); err != nil || cleaned != g.ResourceID {
			return secerr.Invalid("resource_id", "Use an id without spaces around it, of what can be seen.")
		}
	}
	if secerr.Is(err, secerr.NotFound) {
		return unknown
	}
	return err
}
