package security

import (
	"context"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
)

// RenewBackupCodes makes ten new backup codes in the place of the old ones. It
// returns secerr.NonceRequired or secerr.NonceInvalid, and secerr.Conflict
// while no second factor is enrolled.
func (s *Service) RenewBackupCodes(ctx context.Context, c Caller, nonce secret.Text) ([]secret.Text, error) {
	codes, err := mfa.NewBackupCodes(s.rand)
	if err != nil {
		return nil, err
	}
	err = s.changeFactors(ctx, c, stepup.RenewBackupCodes, nonce, func(tx *db.Tx) error {
		if err := mfa.ReplaceBackupCodes(tx, c.User.ID, codes); err != nil {
			return err
		}
		return record(tx, c, audit.MFAEnroll, audit.Details{"method": mfa.BackupCode, "stage": "renewed"})
	})
	if err != nil {
		return nil, err
	}
	return codes, nil
}

// RemoveFactor removes one second factor of the caller. With the last one go
// the backup codes. Their other sessions end. It returns secerr.NonceRequired,
// secerr.NonceInvalid, and secerr.NotFound for what is no factor of theirs.
func (s *Service) RemoveFactor(ctx context.Context, c Caller, nonce secret.Text, id string) error {
	return s.changeFactors(ctx, c, stepup.RemoveFactor, nonce, func(tx *db.Tx) error {
		left, err := mfa.Remove(tx, c.User.ID, id)
		if err != nil {
			return err
		}
		if left == 0 {
			return s.withoutFactors(tx, c, audit.Details{"factor_id": id})
		}
		if err := record(tx, c, audit.MFADisable, audit.Details{"factor_id": id, "factors_left": left}); err != nil {
			return err
		}
		return s.removed(tx, c)
	})
}

// DisableMFA removes every second factor of the caller, and the backup codes.
// Their other sessions end. Where the policy demands a second factor, they must
// enrol a new one before anything else. It returns secerr.NonceRequired,
// secerr.NonceInvalid, and secerr.Conflict when there is none.
func (s *Service) DisableMFA(ctx context.Context, c Caller, nonce secret.Text) error {
	return s.changeFactors(ctx, c, stepup.DisableMFA, nonce, func(tx *db.Tx) error {
		return s.withoutFactors(tx, c, audit.Details{})
	})
}

func (s *Service) withoutFactors(tx *db.Tx, c Caller, details audit.Details) error {
	if err := mfa.RemoveOthers(tx, c.User.ID, ""); err != nil {
		return err
	}
	if err := mfa.ReplaceBackupCodes(tx, c.User.ID, nil); err != nil {
		return err
	}
	details["factors_left"] = 0
	if err := record(tx, c, audit.MFADisable, details); err != nil {
		return err
	}
	return s.removed(tx, c)
}

// removed ends the caller's other sessions, and tells them by mail.
func (s *Service) removed(tx *db.Tx, c Caller) error {
	if err := s.post(tx, outbox.FactorsRemoved, c.User.Email, nil, noticeLifetime); err != nil {
		return err
	}
	return endOthers(tx, c, "second_factor_removed")
}

// changeFactors spends the nonce of a change to the caller's second factors and
// makes the change.
func (s *Service) changeFactors(ctx context.Context, c Caller, action stepup.Action, nonce secret.Text, do func(*db.Tx) error) error {
	if err := s.AuthorizePerson(ctx, c); err != nil {
		return err
	}
	defer s.deliverSoon()
	return s.change(ctx, c, func(tx *db.Tx) error {
		if err := stepup.Spend(tx, c.holder(), action, nonce); err != nil {
			return err
		}
		u, err := user.ByID(tx, c.User.ID)
		if err != nil {
			return err
		}
		if !u.MFAEnabled {
			return secerr.New(secerr.Conflict, "You have no second factor.")
		}
		return do(tx)
	})
}

// endOthers ends the caller's sessions but the one that asks.
func endOthers(tx *db.Tx, c Caller, reason string) error {
	ended, err := endSessions(tx, c.User.ID, c.Session.ID, reason)
	if err != nil {
		return err
	}
	return recordEnded(tx, c.actor(), c.User.ID, ended, reason)
}
