package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/password"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// invitationLifetime is how long the link to a first password is good: a
// working day in any time zone.
const invitationLifetime = 24 * time.Hour

// product is what a password is not to be made of, beside one's own address.
const product = "patronus"

// Users lists the users, oldest first, limit at most, and the cursor of the
// ones that follow. email narrows the list to one address.
func (s *Service) Users(ctx context.Context, email, after string, limit int) ([]user.User, string, error) {
	f := user.Filter{After: after, Limit: limit}
	if email != "" {
		canonical, err := user.CanonicalEmail(email)
		if err != nil {
			return nil, "", err
		}
		f.Email = canonical
	}
	return user.List(s.db.Read(ctx), f)
}

// AddUser is the command of the host that creates a user. An empty password
// makes a one-time link to set it, which is returned. It returns
// secerr.Conflict for an address that is taken and secerr.ValidationFailed
// for a field that is refused.
func (s *Service) AddUser(ctx context.Context, email, role string, pw secret.Text) (u user.User, link string, err error) {
	parsed, err := rbac.ParseRole(role)
	if err != nil {
		return user.User{}, "", err
	}
	var hash secret.Text
	if pw.Empty() {
		email, err = user.CanonicalEmail(email)
	} else {
		email, hash, err = s.newAccount(ctx, email, pw)
	}
	if err != nil {
		return user.User{}, "", err
	}
	err = s.db.Write(ctx, func(tx *db.Tx) error {
		u, err = s.createUser(tx, audit.Actor{}, email, parsed, hash, audit.Details{"actor": "cli"})
		if err != nil || !hash.Empty() {
			return err
		}
		token, err := user.IssueLink(tx, s.rand, u.ID, user.Invite, invitationLifetime)
		if err != nil {
			return err
		}
		link = s.link("/reset-password", token)
		return nil
	})
	return u, link, err
}

// createUser inserts a user and records it.
func (s *Service) createUser(tx *db.Tx, actor audit.Actor, email string, role rbac.Role, hash secret.Text, details audit.Details) (user.User, error) {
	u, err := user.Create(tx, email, string(role), hash)
	if err != nil {
		return user.User{}, err
	}
	details["target_user_id"], details["target_email"], details["role"] = u.ID, u.Email, u.Role
	return u, audit.Append(tx, audit.Event{Type: audit.UserCreate, Success: true, Actor: actor, Details: details})
}

// newAccount checks the address and the password of an account that is to be,
// and hashes the password.
func (s *Service) newAccount(ctx context.Context, email string, pw secret.Text) (string, secret.Text, error) {
	email, err := user.CanonicalEmail(email)
	if err != nil {
		return "", secret.Text{}, err
	}
	hash, err := s.newPassword(ctx, user.User{Email: email}, pw)
	return email, hash, err
}

// newPassword holds a new password against the policy and hashes it.
func (s *Service) newPassword(ctx context.Context, u user.User, pw secret.Text) (secret.Text, error) {
	pw, err := password.Normalize(pw)
	if err != nil {
		return secret.Text{}, err
	}
	if reasons := password.Check(pw, s.passwordRules(u)); len(reasons) > 0 {
		fields := make([]secerr.Field, 0, len(reasons))
		for _, r := range reasons {
			fields = append(fields, secerr.Field{Field: "password", Detail: r.Detail})
		}
		return secret.Text{}, secerr.InvalidFields(fields...)
	}
	hash, err := s.hasher.Hash(ctx, pw)
	return secret.NewText(hash), err
}

func (s *Service) passwordRules(u user.User) password.Rules {
	return password.Rules{MinLength: s.MinPasswordLength(u.MFAEnabled), MinScore: int(s.Policy().Passwords.MinScore),
		RequireClasses: s.Policy().Passwords.RequireClasses, Email: u.Email, Product: product}
}

// MinPasswordLength is the least number of characters of a new password: an
// account without a second factor needs a longer one.
func (s *Service) MinPasswordLength(mfaEnabled bool) int {
	rules := s.Policy().Passwords
	if mfaEnabled {
		return int(rules.MinLength)
	}
	return int(max(rules.MinLength, rules.MinLengthWithoutMFA))
}

// CheckLink returns the user whose password a link may set, or secerr.NotFound
// when the link is unknown, was used or has expired.
func (s *Service) CheckLink(ctx context.Context, token secret.Text) (user.User, error) {
	return user.ByLink(s.db.Read(ctx), token, s.now())
}

// SetPasswordByLink uses a link up, sets the password and ends every session
// of the account. It returns secerr.NotFound when the link is not good, and
// secerr.ValidationFailed, with the link still good, for a password that is
// refused.
func (s *Service) SetPasswordByLink(ctx context.Context, req Request, token, pw secret.Text) error {
	u, err := s.CheckLink(ctx, token)
	if err != nil {
		return err
	}
	hash, err := s.newPassword(ctx, u, pw)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *db.Tx) error {
		purpose, err := user.SpendLink(tx, u.ID, token)
		if err != nil {
			return err
		}
		if err := user.SetPassword(tx, u.ID, hash); err != nil {
			return err
		}
		ended, err := session.EndAll(tx, u.ID, "", "password_change")
		if err != nil {
			return err
		}
		actor := req.actor()
		actor.UserID, actor.Email = u.ID, u.Email
		if err := recordEnded(tx, actor, ended, "password_change"); err != nil {
			return err
		}
		return audit.Append(tx, audit.Event{Type: audit.PasswordChange, Success: true, Actor: actor,
			Details: audit.Details{"by": purpose}})
	})
}
