package security

import (
	"context"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
)

// PatchPolicy applies an RFC 7396 merge patch to the policy and returns the
// whole of the new one, in force at once. The nonce stays good when the patch
// is refused. It returns secerr.BadRequest, secerr.ValidationFailed,
// secerr.NonceRequired or secerr.NonceInvalid.
func (s *Service) PatchPolicy(ctx context.Context, c Caller, nonce secret.Text, patch []byte) (policy.Policy, error) {
	var stored policy.Stored
	err := s.change(ctx, c, func(tx *db.Tx) error {
		if err := stepup.Spend(tx, c.holder(), stepup.WritePolicy, nonce); err != nil {
			return err
		}
		current, err := policy.Load(tx)
		if err != nil {
			return err
		}
		next, err := policy.Merge(current.Policy, patch, roleNames())
		if err != nil {
			return err
		}
		changes := policy.Diff(current.Policy, next)
		if len(changes) == 0 { // nothing to record
			stored = current
			return nil
		}
		stored = policy.Stored{Policy: next, Version: current.Version + 1}
		if err := policy.Save(tx, stored); err != nil {
			return err
		}
		if _, err := revocation.Advance(tx); err != nil {
			return err
		}
		return record(tx, c, audit.PolicyChange, audit.Details{"version": stored.Version, "changes": changes})
	})
	if err != nil {
		return policy.Policy{}, err
	}
	// Whether it can be read again now or not, it is stored: the next request
	// looks.
	if err := s.fresh(ctx); err != nil {
		s.log.WarnContext(ctx, "the new policy could not be read at once", "error", err)
	}
	return stored.Policy, nil
}
