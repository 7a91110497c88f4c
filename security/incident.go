package security

import (
	"context"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
)

// RevokeAllTokens ends every session of a user, or of everyone when userID is
// empty, with all tokens and cookies; the caller's own session lives on. It
// returns how many sessions ended. It returns secerr.NonceRequired,
// secerr.NonceInvalid, secerr.NotFound for an unknown user, and
// secerr.Forbidden where somebody is above the caller.
func (s *Service) RevokeAllTokens(ctx context.Context, c Caller, nonce secret.Text, userID, reason string) (int64, error) {
	if reason != "" {
		cleaned, err := cleanName("reason", reason)
		if err != nil {
			return 0, err
		}
		reason = cleaned
	}
	var revoked int64
	err := s.change(ctx, c, func(tx *db.Tx) error {
		if err := stepup.Spend(tx, c.holder(), stepup.RevokeAllTokens, nonce); err != nil {
			return err
		}
		details := audit.Details{}
		if reason != "" {
			details["reason"] = audit.FreeText(reason)
		}
		if userID == "" {
			if err := nobodyAbove(c); err != nil {
				return err
			}
			ended, err := session.EndEveryone(tx, c.Session.ID, "revoked_by_admin")
			if err != nil {
				return err
			}
			revoked, details["everyone"] = ended, true
			err = revocation.Add(tx, revocation.Revocation{Kind: revocation.Everyone, ExceptSession: c.Session.ID,
				Reason: "revoked_by_admin", ExpiresAt: lastToken(tx)})
			if err != nil {
				return err
			}
		} else {
			target, err := subject(tx, c, userID)
			if err != nil {
				return err
			}
			except := ""
			if target.ID == c.User.ID {
				except = c.Session.ID
			}
			ended, err := endSessions(tx, target.ID, except, "revoked_by_admin")
			if err != nil {
				return err
			}
			revoked = int64(len(ended))
			details["target_user_id"], details["target_email"] = target.ID, target.Email
		}
		details["revoked"] = revoked
		return record(tx, c, audit.TokenRevoke, details)
	})
	return revoked, err
}

// ForceReenrollment makes a user, or everyone with a second factor when userID
// is empty, enrol a new one: their sessions end, the caller's too, and the next
// sign-in, with the old factor, may do nothing else. It returns how many users
// that are. It returns secerr.NonceRequired, secerr.NonceInvalid,
// secerr.Forbidden where somebody is above the caller, and secerr.NotFound for a
// user who is unknown or disabled.
func (s *Service) ForceReenrollment(ctx context.Context, c Caller, nonce secret.Text, userID string) (int, error) {
	var users int
	err := s.change(ctx, c, func(tx *db.Tx) error {
		if err := stepup.Spend(tx, c.holder(), stepup.ForceReenrollment, nonce); err != nil {
			return err
		}
		if userID == "" {
			if err := nobodyAbove(c); err != nil {
				return err
			}
		} else if _, err := subject(tx, c, userID); err != nil {
			return err
		}
		ids, err := user.ForceReenrollment(tx, userID)
		if err != nil {
			return err
		}
		details := audit.Details{"reenroll": true, "users": len(ids)}
		switch {
		case userID == "":
			details["everyone"] = true
		case len(ids) == 0:
			return secerr.New(secerr.NotFound, "There is no such user, or they are disabled.")
		default:
			target, err := user.ByID(tx, userID)
			if err != nil {
				return err
			}
			details["target_user_id"], details["target_email"] = target.ID, target.Email
		}
		if err := record(tx, c, audit.UserUpdate, details); err != nil {
			return err
		}
		for _, id := range ids {
			if err := endAllOf(tx, c.actor(), id, "reenrollment_forced"); err != nil {
				return err
			}
		}
		users = len(ids)
		return nil
	})
	return users, err
}
