package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// Search lists the log, newest first. It examines a bounded number of events, so a
// page may be short and still not be the last: audit.Page says how far it came. Who
// reaches only their own events sees no others. A filter that cannot be is
// secerr.ValidationFailed.
func (s *Service) Search(ctx context.Context, c Caller, f audit.Filter) (audit.Page, error) {
	f, err := checked(f)
	if err != nil {
		return audit.Page{}, err
	}
	f, some := withinReach(c, f)
	if !some {
		return audit.Page{}, nil
	}
	return audit.Search(s.db.Read(ctx), f)
}

// Events is Search, for who goes on anyway by what to pass as Before (0 at the end).
func (s *Service) Events(ctx context.Context, c Caller, f audit.Filter) ([]audit.Record, int64, error) {
	p, err := s.Search(ctx, c, f)
	return p.Events, p.Next, err
}

// CriticalEvents is Events of the critical ones alone.
func (s *Service) CriticalEvents(ctx context.Context, c Caller, f audit.Filter) ([]audit.Record, int64, error) {
	f, err := checked(f)
	if err != nil {
		return nil, 0, err
	}
	f, some := withinReach(c, f)
	if !some {
		return nil, 0, nil
	}
	return audit.CriticalEvents(s.db.Read(ctx), f)
}

// UserLogs lists what a user did last, newest first, limit at most. It is empty
// for who may read neither the whole log nor their own part of it.
func (s *Service) UserLogs(ctx context.Context, c Caller, userID string, limit int) ([]audit.Record, error) {
	reach := c.Reach(rbac.AuditRead)
	if reach == rbac.None || reach == rbac.Own && userID != c.User.ID {
		return nil, nil
	}
	return audit.UserLogs(s.db.Read(ctx), userID, limit)
}

// checked is a filter as the log can apply it, or secerr.ValidationFailed.
func checked(f audit.Filter) (audit.Filter, error) {
	if f.Email != "" {
		canonical, err := user.CanonicalEmail(f.Email)
		if err != nil {
			return f, err
		}
		f.Email = canonical
	}
	return f, f.Validate()
}

// withinReach narrows a filter to what the caller may read, and reports whether
// that can be anything.
func withinReach(c Caller, f audit.Filter) (narrowed audit.Filter, some bool) {
	if c.Reach(rbac.AuditRead) == rbac.All {
		return f, true
	}
	some = f.UserID == "" || f.UserID == c.User.ID
	f.UserID, f.Own = c.User.ID, true
	return f, some
}

// Event returns one event, or secerr.NotFound also when it is another's and
// the caller reaches only their own.
func (s *Service) Event(ctx context.Context, c Caller, seq int64) (audit.Record, error) {
	event, err := audit.Get(s.db.Read(ctx), seq)
	if err != nil {
		return audit.Record{}, err
	}
	if c.Reach(rbac.AuditRead) != rbac.All && event.Actor.UserID != c.User.ID {
		return audit.Record{}, s.deny(ctx, c, secerr.New(secerr.NotFound, "There is no such event."),
			audit.Details{"permission": string(rbac.AuditRead), "target_event": seq})
	}
	return event, nil
}

// expiringShown is how many keys that expire soon fit on a first page.
const expiringShown = 5

// Overview is what a person sees first.
type Overview struct {
	Keys, Sessions int
	Expiring       []apikey.Key // that expire soon, the soonest first
	MoreExpire     bool         // than are in it
	BackupCodes    int
	Since          time.Time     // the full hour, 24 hours ago
	Figures        audit.Figures // of the events since then that the person may read
	Latest         []audit.Record
}

// Overview gathers it in one consistent read.
func (s *Service) Overview(ctx context.Context, c Caller) (Overview, error) {
	now := s.now()
	o := Overview{Since: audit.Hour(now.Add(-24 * time.Hour))}
	err := s.db.Snapshot(ctx, func(r db.Reader) (err error) {
		if o.Keys, err = apikey.CountUsable(r, c.User.ID, now); err != nil {
			return err
		}
		if o.Expiring, err = apikey.Expiring(r, c.User.ID, now, expiringShown+1); err != nil {
			return err
		}
		if o.MoreExpire = len(o.Expiring) > expiringShown; o.MoreExpire {
			o.Expiring = o.Expiring[:expiringShown]
		}
		live, err := session.Live(r, c.User.ID, now, s.Policy().Sessions.Idle())
		if err != nil {
			return err
		}
		o.Sessions = len(live)
		if o.BackupCodes, err = mfa.BackupCodesLeft(r, c.User.ID); err != nil {
			return err
		}
		latest := audit.Filter{Limit: 5}
		if c.Reach(rbac.AuditRead) != rbac.All {
			latest.UserID = c.User.ID
		}
		if latest.UserID == "" {
			o.Figures, err = audit.CountSince(r, o.Since)
		} else {
			o.Figures, err = audit.CountOwnSince(r, latest.UserID, o.Since)
		}
		if err != nil {
			return err
		}
		o.Latest, _, err = audit.List(r, latest)
		return err
	})
	return o, err
}
