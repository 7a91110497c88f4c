package security

import (
	"context"
	"errors"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/keyring"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/token"
	"patronus.internal/dashboard/security/user"
)

// DisableUser is the command of the host that shuts a user out: every session,
// token and key of theirs is dead when it returns here, and FreshFor later in
// every server. Who is disabled already stays so without an event. It returns
// secerr.NotFound for an unknown address and secerr.Conflict for the last admin
// who could sign in.
func (s *Service) DisableUser(ctx context.Context, email string) error {
	email, err := user.CanonicalEmail(email)
	if err != nil {
		return err
	}
	return s.commit(ctx, func(tx *db.Tx) error {
		u, err := user.ByEmail(tx, email)
		if err != nil || !u.Enabled {
			return err
		}
		if err := user.Disable(tx, u.ID); err != nil {
			return err
		}
		if err := recordForHost(tx, audit.UserUpdate, audit.Details{"target_user_id": u.ID, "target_email": u.Email, "enabled": false}); err != nil {
			return err
		}
		return endAllForHost(tx, u.ID, "user_disabled")
	})
}

// endAllForHost ends every session of a user and tells of each.
func endAllForHost(tx *db.Tx, userID, reason string) error {
	ended, err := endSessions(tx, userID, "", reason)
	if err != nil {
		return err
	}
	for _, id := range ended {
		if err := recordForHost(tx, audit.SessionEnd, endedDetails(id, userID, reason)); err != nil {
			return err
		}
	}
	return nil
}

// recordForHost writes the event of a command of the host. Nobody has signed in
// for it, so the details say where it comes from.
func recordForHost(tx *db.Tx, t audit.Type, details audit.Details) error {
	details["actor"] = "cli"
	return audit.Append(tx, audit.Event{Type: t, Success: true, Details: details})
}

// RotateKeys is the command of the host that puts a new signing key in use and
// returns its kid. Tokens of the one from before stay good until they expire,
// or, with dropOld, are dead.
func (s *Service) RotateKeys(ctx context.Context, dropOld bool) (kid string, err error) {
	record := func(kid string) error {
		return s.commit(ctx, func(tx *db.Tx) error {
			return recordForHost(tx, audit.KeyRotate, audit.Details{"kid": kid, "old_dropped": dropOld})
		})
	}
	kid, err = keyring.Rotate(s.keyFile, keyring.Options{Keep: token.MaxLifetime, Now: s.now, Rand: s.rand}, dropOld, record)
	if kid == "" {
		return "", err
	}
	return kid, errors.Join(err, s.commit(ctx, func(tx *db.Tx) error {
		_, err := revocation.Advance(tx)
		return err
	}))
}
