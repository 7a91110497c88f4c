package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/savedview"
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

// erase goes through the log up to its end. The first time it then forgets the
// address; and once all that was under way at the deletion has ended, the erasure.
func (s *Service) erase(ctx context.Context, e audit.Erasure) error {
	recorded, err := e.Recorded(s.db.Read(ctx), s.tree.Verifier())
	if err != nil {
		return err
	}
	if !recorded {
		s.log.ErrorContext(ctx, "an erasure is in the database that no event of the log records; it is not done", "event", e.EventSeq)
		return s.db.Write(ctx, e.End)
	}
	for {
		seqs, to, err := e.Concerned(s.db.Read(ctx))
		if err != nil {
			return err
		}
		if to == e.DoneSeq {
			break
		}
		if err := s.commit(ctx, func(tx *db.Tx) error { return e.Erase(tx, seqs, to) }); err != nil {
			return err
		}
	}
	return s.db.Write(ctx, func(tx *db.Tx) error {
		if e.Email != "" {
			if err := outbox.DeleteTo(tx, e.Email); err != nil {
				return err
			}
			if err := savedview.DeleteAbout(tx, func(text string) bool { return audit.Mentions(text, e.Email) }); err != nil {
				return err
			}
			return e.Settle(tx)
		}
		if tx.Now().Sub(e.At) < underWay {
			return nil
		}
		// A mail that was written meanwhile to somebody who is no user.
		if err := outbox.DeleteToNobody(tx, e.At); err != nil {
			return err
		}
		return e.End(tx)
	})
}

// underWay is the longest that what began before a deletion may still write of the
// user: a request, and the minute of a tally.
const underWay = 3 * time.Minute
