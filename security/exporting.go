package security

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/export"
	"patronus.internal/dashboard/security/secerr"
)

const (
	// maxExports bounds how many run at once: each keeps a core busy.
	maxExports = 4
	// exportBatch is how many events are read at once, and so what an export
	// holds in memory.
	exportBatch = 500
)

// exports are those under way, one for a person, so that nobody keeps all the
// others waiting. Its zero value is ready; it is safe for concurrent use.
type exports struct {
	mu      sync.Mutex
	running map[string]*exportRun // by user, "" for the host
}

// exportRun is how far an export is, in sequence numbers.
type exportRun struct{ first, at, last atomic.Int64 }

// handed notes that a batch was handed over.
func (r *exportRun) handed(events []audit.Record) {
	r.first.CompareAndSwap(0, events[0].Seq)
	r.at.Store(events[len(events)-1].Seq)
}

// percent is how much of the log between the first event that matched and the last
// that there was is done.
func (r *exportRun) percent() int {
	first, last := r.first.Load(), r.last.Load()
	if first == 0 || last <= first {
		return 0
	}
	return int(min(100, (r.at.Load()-first)*100/(last-first)))
}

// enter returns a run, which leave ends, or secerr.Unavailable.
func (e *exports) enter(userID string) (run *exportRun, leave func(), err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, twice := e.running[userID]; twice {
		return nil, nil, secerr.Busy("You have an export under way already. Wait for that to end, or end it.", time.Minute, nil)
	}
	if len(e.running) >= maxExports {
		return nil, nil, secerr.Busy("There are as many exports under way as there may be. Try again in a minute.", time.Minute, nil)
	}
	if e.running == nil {
		e.running = make(map[string]*exportRun)
	}
	run = new(exportRun)
	e.running[userID] = run
	return run, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.running, userID)
	}, nil
}

// ExportProgress is how far the export of a person is, in hundredths; running is
// false when there is none.
func (s *Service) ExportProgress(c Caller) (percent int, running bool) {
	s.exports.mu.Lock()
	defer s.exports.mu.Unlock()
	run, running := s.exports.running[c.User.ID]
	if !running {
		return 0, false
	}
	return run.percent(), true
}

// Export goes through the events that match, oldest first, up to the newest of
// now, and hands them over in batches of which none is empty. The log has an
// event of it before the first one is read. Who reaches only their own events
// exports no others. It stops with the first error of take, and when the caller
// may not go on. A filter that cannot be is secerr.ValidationFailed; when too many
// exports run, or one of the caller's, it is secerr.Unavailable.
func (s *Service) Export(ctx context.Context, c Caller, f audit.Filter, format string, take func([]audit.Record) error) error {
	details := exportDetails(f, format)
	f, some := withinReach(c, f)
	f, run, leave, err := s.beginExport(ctx, c.User.ID, f, func(tx *db.Tx) error {
		if err := still(tx, tx.Now(), c); err != nil {
			return err
		}
		return record(tx, c, audit.DataExport, details)
	})
	if err != nil {
		return err
	}
	defer leave()
	if !some {
		return nil
	}
	return s.handOver(ctx, f, format, func(events []audit.Record) error {
		// A long export ends with the session or key that it is for.
		if err := still(s.db.Read(ctx), s.now(), c); err != nil {
			return err
		}
		run.handed(events)
		return take(events)
	})
}

// ExportForHost is Export as a command of the host: of everybody's events.
func (s *Service) ExportForHost(ctx context.Context, f audit.Filter, format string, take func([]audit.Record) error) error {
	f, _, leave, err := s.beginExport(ctx, "", f, func(tx *db.Tx) error {
		return recordForHost(tx, audit.DataExport, exportDetails(f, format))
	})
	if err != nil {
		return err
	}
	defer leave()
	return s.handOver(ctx, f, format, take)
}

func exportDetails(f audit.Filter, format string) audit.Details {
	details := audit.Details{"data": "audit", "format": format}
	for name, value := range map[string]string{"event_type": string(f.Type), "severity": string(f.Severity), "filter_user_id": f.UserID,
		"filter_email": f.Email, "filter_ip": f.IP, "filter_key_id": f.APIKeyID, "q": f.Text} {
		if value != "" {
			details[name] = value
		}
	}
	if f.Success != nil {
		details["filter_success"] = *f.Success
	}
	if !f.Since.IsZero() {
		details["since"] = audit.Time(f.Since)
	}
	if !f.Until.IsZero() {
		details["until"] = audit.Time(f.Until)
	}
	return details
}

// beginExport checks the filter, takes a place, and records the export. It
// returns the filter of the events up to now.
func (s *Service) beginExport(ctx context.Context, userID string, f audit.Filter, record func(*db.Tx) error) (of audit.Filter, run *exportRun, leave func(), err error) {
	if f, err = checked(f); err != nil {
		return f, nil, nil, err
	}
	if run, leave, err = s.exports.enter(userID); err != nil {
		return f, nil, nil, err
	}
	newest, err := audit.Newest(s.db.Read(ctx))
	if err == nil {
		err = s.commit(ctx, record)
	}
	if err != nil {
		leave()
		return f, nil, nil, err
	}
	run.last.Store(newest)
	f.Before, f.Limit = newest+1, exportBatch
	return f, run, leave, nil
}

// verifiable is the format in which events take along what proves them.
const verifiable = string(export.NDJSON)

// handOver reads in batches. They are not searches of the page: the places of
// exports bound them, and who waits for one waits as long as it takes.
func (s *Service) handOver(ctx context.Context, f audit.Filter, format string, take func([]audit.Record) error) error {
	r := s.db.Read(ctx)
	if format != verifiable {
		return audit.AllLogs(r, f, take)
	}
	sealer, err := audit.NewSealer(r)
	if err != nil {
		return err
	}
	takeAny := func(events []audit.Record, err error) error {
		if err != nil || len(events) == 0 {
			return err
		}
		return take(events)
	}
	err = audit.AllLogs(r, f, func(events []audit.Record) error { return takeAny(sealer.Seal(r, events)) })
	if err != nil {
		return err
	}
	return takeAny(sealer.End(r))
}
