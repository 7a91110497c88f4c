package security

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/export"
)

// pruneEvery is how often retention begins anew: its event says once a day what is
// gone.
const pruneEvery = 24 * time.Hour

// retain removes the events that are older than the policy keeps them, from the
// oldest on, after an event that records it, and, if there is a folder for it, after
// they were written to an archive. Their hashes stay in the tree. What a process
// that was killed has recorded and not removed is removed first.
func (s *Service) retain(ctx context.Context) error {
	r := s.db.Read(ctx)
	last, err := audit.LastPrune(r)
	if err != nil {
		return err
	}
	if err := s.removeEvents(ctx, last.To); err != nil {
		return err
	}
	now := s.now()
	if !last.At.IsZero() && now.Sub(last.At) < pruneEvery {
		return nil
	}
	days := s.Policy().Audit.RetentionDays
	p, err := audit.PlanPrune(r, now.AddDate(0, 0, -int(days)))
	if err != nil || p.Events == 0 {
		return err
	}
	details := audit.Details{"retention_days": days}
	if s.archiveDir != "" {
		name, err := s.archive(ctx, p)
		if err != nil {
			return fmt.Errorf("nothing is removed from the audit log, since the archive cannot be written: %w", err)
		}
		details["archive"] = name
	}
	if err := s.commit(ctx, func(tx *db.Tx) error { return p.Record(tx, details) }); err != nil {
		return err
	}
	return s.removeEvents(ctx, p.To)
}

// removeEvents removes the events up to a number in small batches, between which
// others write.
func (s *Service) removeEvents(ctx context.Context, to int64) error {
	for more := to > 0; more; {
		err := s.db.Write(ctx, func(tx *db.Tx) (err error) {
			more, err = audit.RemoveUpTo(tx, to)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// archive writes the events of a plan to a file of their own, as an NDJSON export
// that can be verified with its checkpoint, and returns its name. It is whole or
// not there.
func (s *Service) archive(ctx context.Context, p audit.PrunePlan) (name string, err error) {
	if err := os.MkdirAll(s.archiveDir, 0o700); err != nil {
		return "", err
	}
	name = fmt.Sprintf("audit-%d-%d.ndjson.gz", p.From, p.To)
	file, err := os.CreateTemp(s.archiveDir, "."+name+"-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(file.Name()))
		}
	}()
	packed := gzip.NewWriter(file)
	lines := export.NewWriter(export.NDJSON, packed, export.Product{})
	f := audit.Filter{After: p.From - 1, Before: p.To + 1, OldestFirst: true, Limit: exportBatch}
	err = s.handOver(ctx, f, verifiable, func(events []audit.Record) error { return export.WriteBatch(lines, events) })
	if err = errors.Join(err, lines.Close(), packed.Close(), file.Sync(), file.Close()); err != nil {
		return "", err
	}
	if err := os.Rename(file.Name(), filepath.Join(s.archiveDir, name)); err != nil {
		return "", err
	}
	folder, err := os.Open(s.archiveDir)
	if err != nil {
		return "", err
	}
	return name, errors.Join(folder.Sync(), folder.Close())
}
