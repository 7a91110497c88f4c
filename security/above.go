package security

import (
	"context"
	"errors"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/user"
)

// above is why nobody acts on somebody who may do more than they: who could set
// an admin's password, or end their sessions, would soon be one.
type above struct{ targetID string }

func (a above) Error() string { return "the target may do more than the caller: " + a.targetID }

func errAbove(targetID string) error {
	return secerr.Wrap(secerr.Forbidden, "You cannot act on somebody who may do more than you.", above{targetID})
}

// everybody is the target of what concerns all users, admins too.
const everybody = ""

// subject is the user whom a change concerns. It returns secerr.NotFound, and
// secerr.Forbidden for somebody above the caller, which change records.
func subject(tx *db.Tx, c Caller, id string) (user.User, error) {
	u, err := user.ByID(tx, id)
	if err != nil {
		return user.User{}, err
	}
	return u, notAbove(tx, c, u)
}

// notAbove returns secerr.Forbidden when a user may do what the caller may not.
func notAbove(r db.Reader, c Caller, u user.User) error {
	if u.ID == c.User.ID {
		return nil
	}
	held, err := heldBy(r, u)
	if err != nil {
		return err
	}
	if c.owner().Covers(held) {
		return nil
	}
	return errAbove(u.ID)
}

// owner is what the person may do, or the owner of the key: the scopes of a key
// say what it may do and not to whom.
func (c Caller) owner() rbac.Held {
	held := c.Held()
	held.Scopes = nil
	return held
}

// nobodyAbove is notAbove for what concerns everybody.
func nobodyAbove(c Caller) error {
	if c.owner().Covers(rbac.Held{Role: rbac.Admin}) {
		return nil
	}
	return errAbove(everybody)
}

// deniedAbove records a change that was refused since its target is above the
// caller, and passes any error on.
func (s *Service) deniedAbove(ctx context.Context, c Caller, err error) error {
	var over above
	var refusal *secerr.Error
	if !errors.As(err, &over) || !errors.As(err, &refusal) {
		return err
	}
	details := audit.Details{"everyone": true}
	if over.targetID != everybody {
		details = audit.Details{"target_user_id": over.targetID}
	}
	return s.deny(ctx, c, refusal, details)
}

// maker is the caller as who made a link.
func (c Caller) maker() user.Maker {
	m := user.Maker{UserID: c.User.ID}
	if c.Key != nil {
		m.APIKeyID = c.Key.ID
	}
	return m
}

// madeByEnough returns the user of a link, or secerr.NotFound when whoever made it
// could not make it for them now: somebody who was invited as a user and is an admin
// by now is above the one who kept the invitation. One that was made with an API key
// is bound by its scopes, as the key was, and ends with it.
func madeByEnough(r db.Reader, now time.Time, u user.User, made func(db.Reader) (user.Maker, error)) (user.User, error) {
	by, err := made(r)
	if err != nil || by == (user.Maker{}) {
		return u, err
	}
	c := Caller{}
	if c.User, err = user.ByID(r, by.UserID); err != nil || !c.User.Enabled {
		return user.User{}, absent(err, user.ErrLink(nil))
	}
	if c.grants, err = grantsOf(r, by.UserID); err != nil {
		return user.User{}, err
	}
	if by.APIKeyID != "" {
		key, err := apikey.ByID(r, by.APIKeyID)
		if err != nil || !key.Usable(now) {
			return user.User{}, absent(err, user.ErrLink(nil))
		}
		c.Key, c.scopes = &key, scopesOf(key.Scopes)
	}
	held, err := heldBy(r, u)
	if err != nil {
		return user.User{}, err
	}
	enough := c.owner().Covers(held) && c.Held().Allow(rbac.UsersWrite, u.ID)
	if c.Key != nil {
		enough = enough && c.Held().MayAppoint(held.Role) && c.Held().Covers(rbac.Held{Grants: held.Grants})
	}
	if u.ID != c.User.ID && !enough {
		return user.User{}, user.ErrLink(errAbove(u.ID))
	}
	return u, nil
}

// heldBy is what a user may do.
func heldBy(r db.Reader, u user.User) (rbac.Held, error) {
	grants, err := grantsOf(r, u.ID)
	return rbac.Held{Role: rbac.Role(u.Role), Grants: grants}, err
}

// MayActOn reports whether the caller has a permission for a user, and the user
// may do nothing that the caller may not, so that pages offer only what can be.
func (s *Service) MayActOn(ctx context.Context, c Caller, p rbac.Permission, u user.User) (bool, error) {
	return mayActOn(s.db.Read(ctx), c, p, u)
}

// MayActOnEveryone is MayActOn for what concerns everybody, admins too.
func (c Caller) MayActOnEveryone(p rbac.Permission) bool {
	return c.Reach(p) == rbac.All && nobodyAbove(c) == nil
}

// mayActOn is MayActOn for a user, or for something of theirs that has one of ids.
func mayActOn(r db.Reader, c Caller, p rbac.Permission, u user.User, ids ...string) (bool, error) {
	if !c.Held().Allow(p, append(ids, u.ID)...) {
		return false, nil
	}
	err := notAbove(r, c, u)
	if secerr.Is(err, secerr.Forbidden) {
		return false, nil
	}
	return err == nil, err
}
