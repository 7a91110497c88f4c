package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
)

// Histogram is how many events there were over time.
type Histogram struct {
	Step time.Duration // of one bar: an hour, a day, or a number of weeks
	Bars []audit.Bar   // oldest first
}

// Histogram counts the events that the time, type, severity and outcome of a
// filter admit, in whole hours, days or weeks (UTC): without a beginning, those of
// the last 24 hours. It is nil where nothing of it could be said: for other filters,
// for who reaches only their own events, and where the log has nothing in that time.
func (s *Service) Histogram(ctx context.Context, c Caller, f audit.Filter) (*Histogram, error) {
	if c.Reach(rbac.AuditRead) != rbac.All || !f.Counted() {
		return nil, nil
	}
	var h *Histogram
	err := s.db.Snapshot(ctx, func(r db.Reader) error {
		first, last, err := audit.Span(r)
		if err != nil || first.IsZero() {
			return err
		}
		from, to, step := steps(f, first, last, s.now())
		if !from.Before(to) {
			return nil
		}
		h = &Histogram{Step: step}
		h.Bars, err = audit.Histogram(r, f, from, to, step)
		return err
	})
	return h, err
}

const (
	day  = 24 * time.Hour
	week = 7 * day

	// byHour is up to which length of time a bar is an hour.
	byHour = 3 * day
	// maxBars is what still can be told apart on a phone.
	maxBars = 92
)

// steps says which time the bars cover and how long each is. first and last are
// the hours that the log covers.
func steps(f audit.Filter, first, last, now time.Time) (from, to time.Time, step time.Duration) {
	to = audit.Hour(now).Add(time.Hour)
	if last.After(to) { // the clock was set back
		to = last
	}
	if !f.Until.IsZero() && f.Until.Before(to) {
		to = ceil(f.Until, time.Hour)
	}
	from = to.Add(-day)
	if !f.Since.IsZero() {
		from = audit.Hour(f.Since)
		if to.Sub(from) > maxBars*day && first.After(from) {
			from = first
		}
	}
	switch length := to.Sub(from); {
	case length <= byHour:
		return from, to, time.Hour
	case length <= maxBars*day:
		step = day
	default:
		for step = week; length > maxBars*step; step *= 2 {
		}
	}
	// Package time counts from a Monday on.
	return from.Truncate(step), ceil(to, step), step
}

func ceil(t time.Time, step time.Duration) time.Time {
	if down := t.Truncate(step); down.Before(t) {
		return down.Add(step)
	}
	return t
}
