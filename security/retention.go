package security

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io/fs"
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
	last, err := audit.LastPrune(r, s.tree.Verifier())
	if err != nil {
		return err
	}
	if err := s.removeEvents(ctx, last.To); err != nil {
		return err
	}
	now := s.now()
	// An event of the future is one of a clock that ran ahead.
	if since := now.Sub(last.At); !last.At.IsZero() && since >= 0 && since < pruneEvery {
		return nil
	}
	days := s.Policy().Audit.RetentionDays
	before := now.AddDate(0, 0, -int(days))
	p, err := audit.PlanPrune(r, before, now)
	if err != nil || p.Events == 0 {
		return err
	}
	pending, err := audit.Erasures(r)
	if err != nil || len(pending) > 0 && pending[0].EventSeq <= p.To {
		return err // the event that records an erasure stays until it is done
	}
	var wrong error
	err = s.db.Snapshot(ctx, func(r db.Reader) error {
		wrong = p.Check(r, s.tree.Verifier(), before, now)
		return nil
	})
	if err != nil {
		return err
	}
	if wrong != nil {
		if s.alarmed.Swap(true) { // once for each start
			return wrong
		}
		return errors.Join(wrong, s.tellOfAlteration(ctx, wrong, "old_events_changed"))
	}
	details := audit.Details{"retention_days": days}
	if s.archiveDir != "" {
		name, err := s.archive(ctx, p)
		if err != nil {
			return fmt.Errorf("nothing is removed from the audit log, since the archive cannot be written: %w", err)
		}
		details["archive"] = name
	}
	if err := s.commit(ctx, func(tx *db.Tx) error {
		if err := audit.RemoveStrays(tx, before); err != nil {
			return err
		}
		return p.Record(tx, details)
	}); err != nil {
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
	if err := s.removeTorn(); err != nil {
		return "", err
	}
	name = fmt.Sprintf("audit-%d-%d.ndjson.gz", p.From, p.To)
	file, err := os.CreateTemp(s.archiveDir, "."+name+"-*") // mode 0600
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // it is gone, or the next try removes it
		}
	}()
	packed := gzip.NewWriter(file)
	lines := export.NewWriter(export.NDJSON, packed, export.Product{})
	f := audit.Filter{After: p.From - 1, Before: p.To + 1, OldestFirst: true, Limit: exportBatch}
	err = s.handOver(ctx, f, verifiable, func(events []audit.Record) error { return export.WriteBatch(lines, events) })
	if err = errors.Join(err, lines.Close(), packed.Close(), file.Sync(), file.Close()); err != nil {
		return "", err
	}
	if err := checkArchive(file.Name(), s.AuditKey(), p.Events); err != nil {
		return "", err
	}
	// One that is there already is of a try that was cut off, or of another log: it
	// stays.
	err = os.Link(file.Name(), filepath.Join(s.archiveDir, name))
	if errors.Is(err, fs.ErrExist) {
		name = fmt.Sprintf("audit-%d-%d-%s.ndjson.gz", p.From, p.To, s.now().UTC().Format("20060102-150405"))
		err = os.Link(file.Name(), filepath.Join(s.archiveDir, name))
	}
	if err = errors.Join(err, os.Remove(file.Name())); err != nil {
		return "", err
	}
	return name, syncFolder(s.archiveDir)
}

// checkArchive verifies an archive as its reader will.
func checkArchive(path, key string, events int64) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return err
	}
	report, err := VerifyExport(unpacked, key)
	if err != nil {
		return err
	}
	if report.Events != events {
		return fmt.Errorf("the archive has %d events of %d", report.Events, events)
	}
	return nil
}

// removeTorn removes what a process that was killed has begun and not ended.
func (s *Service) removeTorn() error {
	torn, err := filepath.Glob(filepath.Join(s.archiveDir, ".audit-*"))
	if err != nil {
		return err
	}
	for _, name := range torn {
		info, err := os.Lstat(name)
		if err != nil || s.now().Sub(info.ModTime()) < time.Hour {
			continue // another server may be at it
		}
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}
