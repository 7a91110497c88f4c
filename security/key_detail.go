package security

import (
	"context"
	"slices"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/user"
)

// UsesShown is how many days back a use of a scope counts: a script that runs once
// a month has run.
const UsesShown = 30

// KeyDetail is a key, and what it did with its scopes.
type KeyDetail struct {
	Key    apikey.Key
	Owner  user.User
	Own    bool         // it is the caller's
	MayEnd bool         // the caller may revoke and delete it
	Uses   []apikey.Use // the permissions that ever let it in, by their names
	Scopes []ScopeDetail
	// Taken are the permissions that NarrowKey would take, and Kept what it would
	// leave; Taken is nil where there is nothing to take, or the key does not work.
	Kept  []string
	Taken []rbac.Permission
	// UsedSince is the day of the first use that is known; nil without one. Of keys
	// from before uses were kept it is later than their first.
	UsedSince *time.Time
}

// ScopeDetail is a scope of a key.
type ScopeDetail struct {
	Scope  string
	Used   []PermissionUse
	Covers []rbac.Permission // all that the scope stands for
	Lost   []rbac.Permission // of these, what the owner may not do any more
}

// PermissionUse is a permission that let a key in.
type PermissionUse struct {
	Permission rbac.Permission
	On         time.Time // the day of the last time
	Recent     bool      // it counts for what the key needs
}

// InspectKey returns one key with its uses: the caller's own, or another's with
// api_keys:read. Otherwise it is secerr.NotFound, as a missing one.
func (s *Service) InspectKey(ctx context.Context, c Caller, id string) (KeyDetail, error) {
	key, err := s.reachableKey(ctx, c, id, rbac.APIKeysRead)
	if err != nil {
		return KeyDetail{}, err
	}
	r := s.db.Read(ctx)
	owner, err := user.ByID(r, key.UserID)
	if err != nil {
		return KeyDetail{}, err
	}
	grants, err := grantsOf(r, owner.ID)
	if err != nil {
		return KeyDetail{}, err
	}
	uses, err := s.usesOf(r, id)
	if err != nil {
		return KeyDetail{}, err
	}
	mayEnd, err := mayActOn(r, c, rbac.APIKeysWrite, owner, key.ID)
	if err != nil {
		return KeyDetail{}, err
	}
	now, own := s.now(), key.UserID == c.User.ID
	d := KeyDetail{Key: key, Owner: owner.WithoutPassword(), Own: own, MayEnd: own || mayEnd, Uses: uses,
		Scopes: scopeDetails(key, uses, rbac.Held{Role: rbac.Role(owner.Role), Grants: grants}, now)}
	if key.Usable(now) {
		d.Kept, d.Taken = narrowed(key, uses, now)
	}
	for _, u := range uses {
		if day := u.First.Time(); d.UsedSince == nil || day.Before(*d.UsedSince) {
			d.UsedSince = &day
		}
	}
	return d, nil
}

// recent reports whether a use counts for what a key needs.
func recent(u apikey.Use, now time.Time) bool { return apikey.DayOf(now)-u.Last <= UsesShown }

// scopeDetails holds the scopes of a key against its uses and against what its
// owner may do.
func scopeDetails(key apikey.Key, uses []apikey.Use, owner rbac.Held, now time.Time) []ScopeDetail {
	details := make([]ScopeDetail, 0, len(key.Scopes))
	for _, text := range key.Scopes {
		scope := rbac.Scope(text)
		d := ScopeDetail{Scope: text, Covers: scope.Permissions()}
		for _, u := range uses {
			if p := rbac.Permission(u.Permission); scope.Covers(p) {
				d.Used = append(d.Used, PermissionUse{Permission: p, On: u.Last.Time(), Recent: recent(u, now)})
			}
		}
		for _, p := range d.Covers {
			if owner.Reach(p) == rbac.None {
				d.Lost = append(d.Lost, p)
			}
		}
		details = append(details, d)
	}
	return details
}

// narrowed is what a key used of its scopes lately, as scopes without stars, and
// what else they cover. When it used nothing, or all, there is nothing to take: a
// key without scopes would be none, and who made one for later knows better.
func narrowed(key apikey.Key, uses []apikey.Use, now time.Time) (kept []string, taken []rbac.Permission) {
	scopes := scopesOf(key.Scopes)
	for _, p := range rbac.AllScopes.Permissions() {
		if !slices.ContainsFunc(scopes, func(s rbac.Scope) bool { return s.Covers(p) }) {
			continue
		}
		if slices.ContainsFunc(uses, func(u apikey.Use) bool { return u.Permission == string(p) && recent(u, now) }) {
			kept = append(kept, string(p))
		} else {
			taken = append(taken, p)
		}
	}
	if len(kept) == 0 || len(taken) == 0 {
		return nil, nil
	}
	return kept, taken
}
