package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
)

// eraseAtOnce is how long a deletion waits for its erasure: nearly always it is
// done by then. What is left goes on in the background, after a restart too.
const eraseAtOnce = 5 * time.Second

// erasePending does the erasures that are recorded and not done, in batches between
// which others write, and then sees to it that what was erased is in none of the
// files of the database any more.
func (s *Service) erasePending(ctx context.Context) error {
	s.erasing.Lock()
	defer s.erasing.Unlock()
	pending, err := audit.Erasures(s.db.Read(ctx))
	if err != nil {
		return err
	}
	for _, erasure := range pending {
		if err := s.erase(ctx, erasure); err != nil {
			return err
		}
	}
	if len(pending) == 0 && !s.leftovers.Load() {
		return nil
	}
	s.leftovers.Store(true)
	emptied, err := s.db.EmptyLog(ctx)
	if emptied {
		s.leftovers.Store(false)
	}
	return err
}

func (s *Service) erase(ctx context.Context, erasure audit.Erasure) error {
	for over := false; !over; {
		seqs, to, err := erasure.Concerned(s.db.Read(ctx))
		if err != nil {
			return err
		}
		err = s.db.Write(ctx, func(tx *db.Tx) (err error) {
			over, err = erasure.Erase(tx, seqs, to)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
