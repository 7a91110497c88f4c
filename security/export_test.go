package security

import "context"

// PasswordHashes is how many passwords were hashed since the start.
func (s *Service) PasswordHashes() int64 { return s.hasher.Hashes() }

// Sweep removes what has expired.
func (s *Service) Sweep(ctx context.Context) error { return s.sweep(ctx) }

// DeliverDue makes one attempt for each message that is due.
func (s *Service) DeliverDue(ctx context.Context) error { return s.deliverDue(ctx) }
