package security

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
)

// witnessFile is a copy of the head beside the database: that of the last minute, and
// of the end of each program. Who can write to the database and to nothing else cannot
// make the log shorter unnoticed.
const witnessFile = "audit-checkpoint"

// A head is kept when that many events came, or that much time passed, since the
// last one; and when a server stops.
const (
	checkpointEvents = 10_000
	checkpointAge    = 5 * time.Minute
)

// keepCheckpoint stores the head of the log among those to compare with, if it is
// due or wanted now, and writes it into the program's own log too.
func (s *Service) keepCheckpoint(ctx context.Context, wanted bool) error {
	now := s.now()
	size, err := audit.SignedSize(s.db.Read(ctx), s.tree.Verifier())
	if err != nil {
		return err
	}
	last, err := audit.LastKept(s.db.Read(ctx), size)
	if err != nil || size <= last.Size {
		return err
	}
	if !wanted && size-last.Size < checkpointEvents && now.Sub(last.MadeAt) < checkpointAge {
		return nil
	}
	var kept audit.Kept
	if err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
		kept, err = audit.KeepHead(tx)
		return err
	}); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "a checkpoint of the audit log", "events", kept.Size, "checkpoint", kept.Signed)
	s.feed.wake()
	return nil
}

// copyHead puts the head of now beside the database, in the place of an older one
// that it extends. One that it does not extend shows that the log was altered: that
// is told, and it moves aside.
func (s *Service) copyHead(ctx context.Context) error {
	if err := s.checkWitness(ctx); err != nil {
		return err
	}
	head, err := s.Checkpoint(ctx)
	if err != nil {
		return err
	}
	if was, err := os.ReadFile(s.witness); err == nil && string(was) == head {
		return nil
	}
	return replaceFile(s.witness, head)
}

// replaceFile writes a file whole or not at all, and durably.
func replaceFile(path, text string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("a checkpoint cannot be put beside the database: %w", err)
	}
	_, err = file.WriteString(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("a checkpoint cannot be put beside the database: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes the names in a folder as durable as what they name.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// checkLog looks at the end of the log, and holds it against the head beside the
// database. A log that is not as it was left was altered, or is an older copy: that
// is recorded, and a head that shows it moves aside.
func (s *Service) checkLog(ctx context.Context) error {
	var wrong error
	err := s.db.Snapshot(ctx, func(r db.Reader) error {
		wrong = audit.VerifyEnd(r, s.tree.Verifier())
		return nil
	})
	if err != nil {
		return err
	}
	if wrong != nil {
		if err := s.tellOfAlteration(ctx, wrong, "newest_events_changed"); err != nil {
			return err
		}
	}
	return s.checkWitness(ctx)
}

// checkWitness holds the log against the head beside the database.
func (s *Service) checkWitness(ctx context.Context) error {
	var wrong error
	older, err := os.ReadFile(s.witness)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the checkpoint beside the database cannot be read: %w", err)
	}
	err = s.db.Snapshot(ctx, func(r db.Reader) error {
		wrong = audit.CheckExtends(r, s.tree.Verifier(), string(older))
		return nil
	})
	if err != nil || wrong == nil {
		return err
	}
	if err := s.tellOfAlteration(ctx, wrong, "log_does_not_extend_its_checkpoint"); err != nil {
		return err
	}
	return os.Rename(s.witness, s.witness+".conflict-"+s.now().UTC().Format("20060102-150405"))
}

// tellOfAlteration records what was found, or returns what is no finding.
func (s *Service) tellOfAlteration(ctx context.Context, wrong error, found string) error {
	finding, bad := errors.AsType[*audit.Finding](wrong)
	if !bad {
		return wrong
	}
	s.log.ErrorContext(ctx, "the audit log is not as it was written; `dashboard audit verify` names the first event", "found", finding)
	return s.commit(ctx, func(tx *db.Tx) error {
		return audit.Append(tx, audit.Event{Type: audit.SuspiciousActivity, Details: audit.Details{
			"reasons": []string{"audit_log_altered"}, "found": found, "target_event": finding.Seq}})
	})
}
