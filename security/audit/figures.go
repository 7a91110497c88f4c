package audit

import (
	"database/sql"
	"fmt"
	"strings"
	"time"

	"patronus.internal/dashboard/security/db"
)

// Figures are numbers of events by severity.
type Figures map[Severity]int64

// Hour is the beginning of the hour of an instant, in UTC. What is counted is
// counted by whole hours.
func Hour(t time.Time) time.Time { return db.FromMicros(hourOf(db.Micros(t))) }

// Bar is what happened in a span of time.
type Bar struct {
	From, To time.Time // From inclusive, To exclusive
	Figures  Figures
}

// Counted reports whether Histogram can count by every filter that is set: those
// of time, type, severity and outcome.
func (f Filter) Counted() bool {
	return f.UserID == "" && f.Email == "" && f.IP == "" && f.APIKeyID == "" && f.Text == "" && f.Request == "" && f.Session == ""
}

// Histogram counts the events of whole hours from the one of from to the one
// before to by type, severity and outcome, as far as the filter sets them, and
// adds them up in bars of one step, which is a number of hours. It reads what was
// counted as the events were written, and no event.
func Histogram(r db.Reader, f Filter, from, to time.Time, step time.Duration) ([]Bar, error) {
	var bars []Bar
	for at := from; at.Before(to); at = at.Add(step) {
		bars = append(bars, Bar{From: at, To: at.Add(step), Figures: Figures{}})
	}
	var args []any
	add := func(value any) (place string) {
		args, place = bind(args, value)
		return place
	}
	// The division is of whole numbers in every engine.
	query := "SELECT (hour_us - " + add(db.Micros(from)) + ") / " + add(step.Microseconds()) + " AS bar, severity, SUM(events) FROM audit_counts WHERE "
	terms := []string{"hour_us >= " + add(db.Micros(from)), "hour_us < " + add(db.Micros(to))}
	if f.Type != "" {
		terms = append(terms, "event_type = "+add(string(f.Type)))
	}
	if f.Severity != "" {
		terms = append(terms, "severity = "+add(string(f.Severity)))
	}
	if f.Success != nil {
		terms = append(terms, "success = "+add(boolInt(*f.Success)))
	}
	rows, err := r.Query(query+strings.Join(terms, " AND ")+" GROUP BY bar, severity", args...)
	if err != nil {
		return nil, fmt.Errorf("audit: histogram: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var bar, events int64
		var severity string
		if err := rows.Scan(&bar, &severity, &events); err != nil {
			return nil, fmt.Errorf("audit: histogram: %w", err)
		}
		if bar < int64(len(bars)) {
			bars[bar].Figures[Severity(severity)] += events
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: histogram: %w", err)
	}
	return bars, nil
}

// Span returns the first hour that has an event and the end of the last one, zero
// times when there is none.
func Span(r db.Reader) (from, to time.Time, err error) {
	var first, last sql.NullInt64
	if err := r.QueryRow("SELECT MIN(hour_us), MAX(hour_us) FROM audit_hours").Scan(&first, &last); err != nil {
		return from, to, fmt.Errorf("audit: hours: %w", err)
	}
	if !first.Valid {
		return from, to, nil
	}
	return db.FromMicros(first.Int64), db.FromMicros(last.Int64 + hourUS), nil
}

// CountSince counts everybody's events from the hour of since on.
func CountSince(r db.Reader, since time.Time) (Figures, error) {
	return figures(r, "SELECT severity, SUM(events) FROM audit_counts WHERE hour_us >= $1 GROUP BY severity", hourOf(db.Micros(since)))
}

// CountOwnSince counts the events of one user from the hour of since on: among
// their newest 10,000.
func CountOwnSince(r db.Reader, userID string, since time.Time) (Figures, error) {
	since = Hour(since)
	f := Filter{UserID: userID, Since: since}
	w, err := f.window(r)
	if err != nil || w.empty() {
		return Figures{}, err
	}
	return figures(r, "SELECT severity, COUNT(*) FROM "+ownSince, userID, w.from, w.to, budget, db.Micros(since))
}

const ownSince = `(SELECT severity, time_us FROM audit_events WHERE user_id = $1 AND seq >= $2 AND seq < $3 ORDER BY seq DESC LIMIT $4) AS examined
	WHERE time_us >= $5 GROUP BY severity`

func figures(r db.Reader, query string, args ...any) (Figures, error) {
	rows, err := r.Query(query, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: count: %w", err)
	}
	defer rows.Close()
	found := Figures{}
	for rows.Next() {
		var severity string
		var events int64
		if err := rows.Scan(&severity, &events); err != nil {
			return nil, fmt.Errorf("audit: count: %w", err)
		}
		found[Severity(severity)] = events
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: count: %w", err)
	}
	return found, nil
}
