package security

import (
	"context"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/policy"
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
		stored = policy.Stored{Policy: next, Version: current.Version + 1}
		if err := policy.Save(tx, stored); err != nil {
			return err
		}
		return record(tx, c, audit.PolicyChange, audit.Details{"version": stored.Version, "changes": policy.Diff(current.Policy, next)})
	})
	if err != nil {
		return policy.Policy{}, err
	}
	s.adopt(stored)
	return stored.Policy, nil
}

// adopt puts a policy in force, unless a newer one is: two changes may reach
// this point in the other order than they were committed in.
func (s *Service) adopt(stored policy.Stored) {
	for {
		current := s.policy.Load()
		if current.Version >= stored.Version || s.policy.CompareAndSwap(current, &stored) {
			return
		}
	}
}
