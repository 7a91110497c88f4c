package security

import (
	"context"
	"errors"
	"slices"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
)

// StoredPolicy is the policy in force, with its version.
func (s *Service) StoredPolicy() policy.Stored { return *s.policy.Load() }

// PolicyPatch is what somebody wants of the policy.
type PolicyPatch struct {
	// Patch is an RFC 7396 merge patch.
	Patch []byte
	// Undo is the event of a change to take back, in the place of Patch; 0: none.
	Undo int64
	// Expected says whether the policy is the one that the caller has seen; nil:
	// whatever it is.
	Expected func(policy.Stored) bool
}

// PolicyPreview is what a PolicyPatch would do.
type PolicyPreview struct {
	Now     policy.Stored
	Next    policy.Policy
	Changes []policy.Change // none when it changes nothing
	Effects []string        // what they mean for people, in sentences
	// Again are those settings of Changes that were changed again since the change
	// that is taken back.
	Again []string
}

// PreviewPolicy says what a patch would do, and does nothing. It refuses what
// ChangePolicy would, but for the nonce.
func (s *Service) PreviewPolicy(ctx context.Context, c Caller, p PolicyPatch) (PolicyPreview, error) {
	r := s.db.Read(ctx)
	now, err := policy.Load(r)
	if err != nil {
		return PolicyPreview{}, err
	}
	next, undone, err := p.of(r, now)
	if err != nil {
		return PolicyPreview{}, err
	}
	preview := PolicyPreview{Now: now, Next: next, Changes: policy.Diff(now.Policy, next), Effects: policy.Effects(now.Policy, next)}
	if u := c.User; c.Key == nil && !u.MFAEnabled && next.MFA.Requires(u.Role, u.CreatedAt, s.now()) && !now.Policy.MFA.Requires(u.Role, u.CreatedAt, s.now()) {
		preview.Effects = append(preview.Effects, "You have no second factor yourself: you set one up right after this.")
	}
	for _, one := range policy.Since(now.Policy, undone.Changes) {
		if slices.ContainsFunc(preview.Changes, func(c policy.Change) bool { return c.Setting == one.Setting }) {
			preview.Again = append(preview.Again, one.Setting)
		}
	}
	return preview, nil
}

// of is the policy that a patch makes of another one, and the change that it takes
// back, if it does.
func (p PolicyPatch) of(r db.Reader, now policy.Stored) (policy.Policy, PolicyChange, error) {
	if p.Expected != nil && !p.Expected(now) {
		return policy.Policy{}, PolicyChange{}, secerr.New(secerr.PreconditionFailed, "Somebody else changed the policy in the meantime. Read it again and repeat your change.")
	}
	if p.Undo == 0 {
		next, err := policy.Merge(now.Policy, p.Patch, roleNames())
		return next, PolicyChange{}, err
	}
	undone, err := policyChangeAt(r, p.Undo)
	if err != nil {
		return policy.Policy{}, PolicyChange{}, err
	}
	next, err := policy.Restored(now.Policy, undone.Changes, roleNames())
	if err == nil && len(policy.Diff(now.Policy, next)) == 0 {
		err = secerr.New(secerr.Conflict, "There is nothing to undo: each of these settings has its value from before already.")
	}
	return next, undone, err
}

// ChangePolicy changes the policy and returns the new one, in force at once. The
// nonce stays good when the change is refused. It returns secerr.BadRequest,
// secerr.ValidationFailed, secerr.NonceRequired, secerr.NonceInvalid,
// secerr.PreconditionFailed when the policy is not the one that was expected, and
// of a change that is to be undone secerr.NotFound or secerr.Conflict.
func (s *Service) ChangePolicy(ctx context.Context, c Caller, nonce secret.Text, p PolicyPatch) (policy.Stored, error) {
	var stored policy.Stored
	err := s.change(ctx, c, func(tx *db.Tx) error {
		if err := stepup.Spend(tx, c.holder(), stepup.WritePolicy, nonce); err != nil {
			return err
		}
		current, err := policy.Load(tx)
		if err != nil {
			return err
		}
		next, _, err := p.of(tx, current)
		if err != nil {
			return err
		}
		details := audit.Details{}
		if p.Undo != 0 {
			details["undoes"] = p.Undo
		}
		stored, err = storePolicy(tx, current, next, details, func(details audit.Details) error {
			return record(tx, c, audit.PolicyChange, details)
		})
		return err
	})
	if err != nil {
		return policy.Stored{}, err
	}
	// Whether it can be read again now or not, it is stored: the next request
	// looks.
	if err := s.fresh(ctx); err != nil {
		s.log.WarnContext(ctx, "the new policy could not be read at once", "error", err)
	}
	return stored, nil
}

// storePolicy puts a policy in the place of another one, with its event. What is
// the same already is no change and leaves none.
func storePolicy(tx *db.Tx, current policy.Stored, next policy.Policy, details audit.Details, record func(audit.Details) error) (policy.Stored, error) {
	changes := policy.Diff(current.Policy, next)
	if len(changes) == 0 {
		return current, nil
	}
	stored := policy.Stored{Policy: next, Version: current.Version + 1}
	if err := policy.Save(tx, stored); err != nil {
		return policy.Stored{}, err
	}
	if _, err := revocation.Advance(tx); err != nil {
		return policy.Stored{}, err
	}
	details["version"], details["changes"] = stored.Version, changes
	return stored, record(details)
}

// ResetPolicy is the command of the host that sets settings and parts of the policy
// back to their defaults; without a name, everything. It returns what changed. A
// policy that this program cannot run with goes back whole, whatever is named:
// nothing of it can be kept. It returns secerr.ValidationFailed for a name that is
// none.
func (s *Service) ResetPolicy(ctx context.Context, names ...string) ([]policy.Change, error) {
	patch, err := policy.ToDefault(names...)
	if err != nil {
		return nil, err
	}
	var changes []policy.Change
	err = s.commit(ctx, func(tx *db.Tx) error {
		current, err := loadPolicy(tx)
		if errors.Is(err, errPolicyUnusable) || errors.Is(err, policy.ErrUnreadable) {
			return resetBroken(tx)
		}
		if err != nil {
			return err
		}
		// Not Merge: what goes back to its default is better than what it was,
		// also where the rest would not be let through with it.
		next, err := policy.Merged(current.Policy, patch)
		if err != nil {
			return err
		}
		changes = policy.Diff(current.Policy, next)
		_, err = storePolicy(tx, current, next, audit.Details{"reset": true}, func(details audit.Details) error {
			return recordForHost(tx, audit.PolicyChange, details)
		})
		return err
	})
	return changes, err
}

// resetBroken puts the default in the place of a policy that cannot be used. What
// that was is not known, so the event names no settings.
func resetBroken(tx *db.Tx) error {
	version, err := policy.Version(tx)
	if err != nil {
		return err
	}
	if err := policy.Save(tx, policy.Stored{Policy: policy.Default(), Version: version + 1}); err != nil {
		return err
	}
	if _, err := revocation.Advance(tx); err != nil {
		return err
	}
	return recordForHost(tx, audit.PolicyChange, audit.Details{"reset": true, "reason": "unusable", "version": version + 1, "changes": []policy.Change{}})
}
