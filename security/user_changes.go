package security

import (
	"context"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/grant"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
)

// UserPatch is what is to change of a user; nil leaves it as it is.
type UserPatch struct {
	Role    *string
	Enabled *bool
	// Expected says whether the user is as the caller has seen them; nil: whatever
	// they are.
	Expected func(user.User) bool
}

// UpdateUser changes the role of a user, or lets them in or shuts them out, and
// returns them as they are then. Either change, but to let in, ends every
// session of theirs. A change of role needs its nonce. It returns
// secerr.NotFound, secerr.ValidationFailed for a role that there is not,
// secerr.NonceRequired or secerr.NonceInvalid, secerr.Forbidden for a role or a
// user above the caller, secerr.PreconditionFailed for one who is not as expected,
// and secerr.Conflict where no admin would be left.
func (s *Service) UpdateUser(ctx context.Context, c Caller, nonce secret.Text, id string, p UserPatch) (user.User, error) {
	var role rbac.Role
	if p.Role != nil {
		var err error
		if role, err = rbac.ParseRole(*p.Role); err != nil {
			return user.User{}, err
		}
		if err := s.checkRoleGiven(ctx, c, role, audit.Details{"target_user_id": id}); err != nil {
			return user.User{}, err
		}
	}
	var changed user.User
	err := s.change(ctx, c, func(tx *db.Tx) error {
		u, err := subject(tx, c, id)
		if err != nil {
			return err
		}
		if p.Expected != nil && !p.Expected(u) {
			return secerr.New(secerr.PreconditionFailed, "The user has changed in the meantime. Read them again and repeat your change.")
		}
		changes, severity := audit.Details{}, audit.Info
		if p.Role != nil && u.Role != string(role) {
			if err := stepup.Spend(tx, c.holder(), stepup.ChangeRole, nonce); err != nil {
				return err
			}
			if err := user.SetRole(tx, id, string(role)); err != nil {
				return err
			}
			changes["old_role"], changes["role"], severity = u.Role, role, audit.Warning // a change of permissions
		}
		if p.Enabled != nil && u.Enabled != *p.Enabled {
			if err := setEnabled(tx, id, *p.Enabled); err != nil {
				return err
			}
			changes["enabled"] = *p.Enabled
		}
		if changed, err = user.ByID(tx, id); err != nil || len(changes) == 0 {
			return err
		}
		changes["target_user_id"], changes["target_email"] = u.ID, u.Email
		if err := recordAs(tx, c, audit.UserUpdate, severity, changes); err != nil {
			return err
		}
		return endAllOf(tx, c.actor(), id, "user_changed")
	})
	if err != nil {
		return user.User{}, err
	}
	return changed.WithoutPassword(), nil
}

func setEnabled(tx *db.Tx, id string, enabled bool) error {
	if enabled {
		return user.Enable(tx, id)
	}
	return user.Disable(tx, id)
}

// endAllOf ends every session of a user and tells of each.
func endAllOf(tx *db.Tx, actor audit.Actor, id, reason string) error {
	ended, err := endSessions(tx, id, "", reason)
	if err != nil {
		return err
	}
	return recordEnded(tx, actor, id, ended, reason)
}

// ofUser is everything that belongs to a user, in an order in which it can go.
// The events stay.
var ofUser = []string{
	"DELETE FROM spent_refresh_tokens WHERE session_id IN (SELECT id FROM sessions WHERE user_id = $1)",
	"DELETE FROM nonces WHERE user_id = $1",
	"DELETE FROM sessions WHERE user_id = $1",
	"DELETE FROM grants WHERE resource_id IN (SELECT id FROM api_keys WHERE user_id = $1)",
	"DELETE FROM grants WHERE user_id = $1",
	"DELETE FROM api_key_old_secrets WHERE api_key_id IN (SELECT id FROM api_keys WHERE user_id = $1)",
	"DELETE FROM api_key_uses WHERE api_key_id IN (SELECT id FROM api_keys WHERE user_id = $1)",
	"DELETE FROM api_keys WHERE user_id = $1",
	"DELETE FROM mfa_factors WHERE user_id = $1",
	"DELETE FROM backup_codes WHERE user_id = $1",
	"DELETE FROM password_links WHERE user_id = $1",
	"DELETE FROM enrolment_links WHERE user_id = $1",
	"DELETE FROM password_history WHERE user_id = $1",
	"DELETE FROM devices WHERE user_id = $1",
	"DELETE FROM consents WHERE user_id = $1",
	"DELETE FROM saved_views WHERE user_id = $1",
	"DELETE FROM outbox WHERE recipient = (SELECT email FROM users WHERE id = $1)",
}

// DeleteUser deletes a user with all that is theirs but the events: sessions,
// tokens and keys are dead when it returns. With erase, what is personal in the
// events goes too: nearly always before it returns, and else soon. It returns
// secerr.NotFound, secerr.NonceRequired or secerr.NonceInvalid, secerr.Forbidden
// for a user above the caller, and secerr.Conflict where no admin would be left.
func (s *Service) DeleteUser(ctx context.Context, c Caller, nonce secret.Text, id string, erase bool) error {
	if erase {
		// What is counted and not yet written of them is to be found, too.
		if err := s.writeTally(ctx, s.now().Add(seenInterval)); err != nil {
			return err
		}
	}
	if err := s.deleteUser(ctx, c, nonce, id, erase); err != nil || !erase {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, eraseAtOnce)
	defer cancel()
	if err := s.erasePending(ctx); err != nil {
		// It is recorded, and Maintain goes on with it.
		s.log.WarnContext(ctx, "an erasure is not done yet", "error", err)
	}
	return nil
}

func (s *Service) deleteUser(ctx context.Context, c Caller, nonce secret.Text, id string, erase bool) error {
	return s.change(ctx, c, func(tx *db.Tx) error {
		if err := stepup.Spend(tx, c.holder(), stepup.DeleteUser, nonce); err != nil {
			return err
		}
		u, err := subject(tx, c, id)
		if err != nil {
			return err
		}
		if err := grant.Forget(tx, id); err != nil {
			return err
		}
		if err := recordDeletion(tx, c, u, erase); err != nil {
			return err
		}
		if err := endAllOf(tx, c.actor(), id, "user_deleted"); err != nil {
			return err
		}
		for _, statement := range ofUser {
			if _, err := tx.Exec(statement, id); err != nil {
				return err
			}
		}
		if err := user.Delete(tx, id); err != nil {
			return err
		}
		// Somebody who looked like them is now the one who is looked like.
		return user.FillSkeletons(tx)
	})
}

// recordDeletion writes the event of a deletion. With erase it does not name the
// address.
func recordDeletion(tx *db.Tx, c Caller, u user.User, erase bool) error {
	details := audit.Details{"target_user_id": u.ID, "role": u.Role, "erased": erase}
	if !erase {
		details["target_email"] = u.Email
		return record(tx, c, audit.UserDelete, details)
	}
	if err := audit.BeginErasure(tx, audit.Event{Actor: c.actor(), Details: details}, u.ID, u.Email); err != nil {
		return err
	}
	return recordUse(tx, c)
}
