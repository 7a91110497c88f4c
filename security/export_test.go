package security

import (
	"context"
	"errors"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
)

// PasswordHashes is how many passwords were hashed since the start.
func (s *Service) PasswordHashes() int64 { return s.hasher.Hashes() }

// Sweep removes what has expired.
func (s *Service) Sweep(ctx context.Context) error { return s.sweep(ctx) }

// SweepKeys removes keys that are long over.
func (s *Service) SweepKeys(ctx context.Context) error { return s.sweepKeys(ctx) }

// MaxUses bounds what is remembered of the uses of keys.
const MaxUses = maxUses

// WriteUses writes the uses of keys that wait.
func (s *Service) WriteUses(ctx context.Context) error { return s.writeUses(ctx) }

// UsesKept is how many uses of keys are remembered.
func (s *Service) UsesKept() int {
	s.uses.mu.Lock()
	defer s.uses.mu.Unlock()
	return len(s.uses.days)
}

// WarnOfExpiry tells owners of keys that expire soon.
func (s *Service) WarnOfExpiry(ctx context.Context) error { return s.warnOfExpiry(ctx) }

// DeliverDue makes one attempt for each message that is due.
func (s *Service) DeliverDue(ctx context.Context) error { return s.deliverDue(ctx) }

// ErasePending does the erasures that are recorded.
func (s *Service) ErasePending(ctx context.Context) error { return s.erasePending(ctx) }

// AppendEvents writes events as if they had happened.
func (s *Service) AppendEvents(ctx context.Context, n int, event func(i int) audit.Event) error {
	return s.commit(ctx, func(tx *db.Tx) error {
		for i := range n {
			if err := audit.Append(tx, event(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Retain removes what the policy does not keep.
func (s *Service) Retain(ctx context.Context) error { return s.retain(ctx) }

// PushOnce makes one attempt for each sink, with as many batches as there are.
func (s *Service) PushOnce(ctx context.Context) (err error) {
	for _, p := range s.pushers {
		for more, failed := true, error(nil); more; {
			more, failed = s.pushOnce(ctx, p)
			err = errors.Join(err, failed)
		}
	}
	return err
}

// KeepDueCheckpoint keeps the head of now if it is due.
func (s *Service) KeepDueCheckpoint(ctx context.Context) error { return s.keepCheckpoint(ctx, false) }

// KeepCheckpoint keeps the head of now.
func (s *Service) KeepCheckpoint(ctx context.Context) error { return s.keepCheckpoint(ctx, true) }

// CopyHead puts the head of the log beside the database.
func (s *Service) CopyHead(ctx context.Context) error { return s.copyHead(ctx) }

// BeginErasure records that a user, who need not be, is deleted with erasure.
func (s *Service) BeginErasure(ctx context.Context, userID, email string) error {
	return s.commit(ctx, func(tx *db.Tx) error {
		return audit.BeginErasure(tx, audit.Event{Details: audit.Details{}}, userID, email)
	})
}
