package security

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/user"
)

// invitationLifetime is how long the link to a first password is good: a
// working day in any time zone.
const invitationLifetime = 24 * time.Hour

// Users lists the users whom a filter lets through, oldest first, and the cursor
// of the ones that follow; only single ones where users:read was granted for these
// alone. An address or a role that cannot be is secerr.ValidationFailed.
func (s *Service) Users(ctx context.Context, c Caller, f user.Filter) ([]user.User, string, error) {
	f.Only = nil
	if c.Reach(rbac.UsersRead) != rbac.All {
		f.Only = c.Held().Resources(rbac.UsersRead)
	}
	var emailErr, roleErr, textErr error
	if f.Email != "" {
		f.Email, emailErr = user.CanonicalEmail(f.Email)
	}
	if f.Role != "" {
		_, roleErr = rbac.ParseRole(f.Role)
	}
	if len(f.Text) > maxSearched {
		textErr = secerr.Invalid("q", fmt.Sprintf("Use %d bytes at most: no address is longer.", maxSearched))
	}
	if fields := slices.Concat(secerr.FieldsOf(emailErr), secerr.FieldsOf(roleErr), secerr.FieldsOf(textErr)); len(fields) > 0 {
		return nil, "", secerr.InvalidFields(fields...)
	}
	return user.List(s.db.Read(ctx), f)
}

// maxSearched is how long a part of an address may be: as long as one (RFC 5321
// §4.5.3.1), so that no pattern is more than the database takes.
const maxSearched = 254

// User returns one user, or secerr.NotFound.
func (s *Service) User(ctx context.Context, id string) (user.User, error) {
	u, err := user.ByID(s.db.Read(ctx), id)
	return u.WithoutPassword(), err
}

// ListUsers is the command of the host that lists every user, oldest first. As
// every command it is recorded: the list is personal data.
func (s *Service) ListUsers(ctx context.Context) ([]user.User, error) {
	err := s.commit(ctx, func(tx *db.Tx) error {
		return recordForHost(tx, audit.DataExport, audit.Details{"data": "users"})
	})
	if err != nil {
		return nil, err
	}
	users, _, err := user.List(s.db.Read(ctx), user.Filter{})
	return users, err
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
	err = s.commit(ctx, func(tx *db.Tx) error {
		u, err = s.createUser(tx, audit.Actor{}, email, parsed, hash, audit.Details{"actor": "cli"})
		if err != nil || !hash.Empty() {
			return err
		}
		token, err := user.IssueLink(tx, s.rand, user.Link{UserID: u.ID, Purpose: user.Invite, Lifetime: invitationLifetime})
		if err != nil {
			return err
		}
		link = s.link("/reset-password", token)
		return nil
	})
	return u, link, err
}

// InviteUser adds a user who sets their first password by a one-time link: it is
// sent to them, or returned where no mail is sent, for the caller to hand over.
// It returns secerr.ValidationFailed for an address or a role that is refused,
// secerr.Forbidden for a role above the caller's own, and secerr.Conflict for an
// address that is taken.
func (s *Service) InviteUser(ctx context.Context, c Caller, email, role string) (u user.User, link secret.Text, err error) {
	email, emailErr := user.CanonicalEmail(email)
	parsed, roleErr := rbac.ParseRole(role)
	if fields := slices.Concat(secerr.FieldsOf(emailErr), secerr.FieldsOf(roleErr)); len(fields) > 0 {
		return user.User{}, secret.Text{}, secerr.InvalidFields(fields...)
	}
	if err := s.checkRoleGiven(ctx, c, parsed, audit.Details{"target_email": email}); err != nil {
		return user.User{}, secret.Text{}, err
	}
	err = s.change(ctx, c, func(tx *db.Tx) error {
		if u, err = user.Create(tx, email, string(parsed), secret.Text{}); err != nil {
			return err
		}
		if s.mailer == nil {
			token, err := user.IssueLink(tx, s.rand, user.Link{UserID: u.ID, Purpose: user.Invite, Lifetime: invitationLifetime, MadeBy: c.maker()})
			if err != nil {
				return err
			}
			link = secret.NewText(s.link("/reset-password", token))
		} else if err := s.post(tx, outbox.Invitation, email, nil, noticeLifetime); err != nil {
			return err
		}
		details := createdDetails(u)
		details["mail"] = s.mailer != nil
		return record(tx, c, audit.UserCreate, details)
	})
	if err != nil {
		return user.User{}, secret.Text{}, err
	}
	s.deliverSoon()
	return u, link, nil
}

// fillSkeletons completes users from an older version of the program.
func (s *Service) fillSkeletons(ctx context.Context) error {
	some, err := user.LackSkeleton(s.db.Read(ctx))
	if err != nil || !some {
		return err
	}
	return s.db.Write(ctx, user.FillSkeletons)
}

// checkRoleGiven refuses, and records, that somebody gives a role above their
// own, or a key one that it does not reach.
func (s *Service) checkRoleGiven(ctx context.Context, c Caller, role rbac.Role, details audit.Details) error {
	details["role"] = role
	// Who adds somebody gets the link to the account: a key would reach by it what
	// its scopes do not name.
	if c.Key != nil && !c.Held().MayAppoint(role) {
		return s.deny(ctx, c, secerr.New(secerr.InsufficientScope, "A key gives a role only with scopes for all that the role may do."), details)
	}
	if slices.Contains(rbac.UpTo(rbac.Role(c.User.Role)), role) {
		s.noteScope(ctx, c, rbac.Appointing(role)...)
		return nil
	}
	return s.deny(ctx, c, secerr.New(secerr.Forbidden, "You cannot give a role above your own."), details)
}

// createUser inserts a user and records it.
func (s *Service) createUser(tx *db.Tx, actor audit.Actor, email string, role rbac.Role, hash secret.Text, details audit.Details) (user.User, error) {
	u, err := user.Create(tx, email, string(role), hash)
	if err != nil {
		return user.User{}, err
	}
	maps.Copy(details, createdDetails(u))
	return u, audit.Append(tx, audit.Event{Type: audit.UserCreate, Success: true, Actor: actor, Details: details})
}

func createdDetails(u user.User) audit.Details {
	return audit.Details{"target_user_id": u.ID, "target_email": u.Email, "role": u.Role}
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
