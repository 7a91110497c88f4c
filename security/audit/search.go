package audit

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"patronus.internal/dashboard/security/db"
)

// budget is how many events of an index one search examines at most. It bounds what
// a click costs when nothing matches: see docs/performance-audit.md.
const budget = 10_000

// inOrder is how many times more it examines where it goes through all events,
// which lie side by side.
const inOrder = 10

// few is a number of candidates that takes no time to examine.
const few = 500

// Page is a part of the events that match a filter.
type Page struct {
	Events []Record
	// Next is what to pass as Before (with OldestFirst as After) for the events
	// that follow, 0 at the end.
	Next int64
	// Reached is the time of the event at which the search stopped, where it
	// examined as many as it may before it found as many as were asked for. Zero
	// otherwise.
	Reached time.Time
}

// Search returns the newest events that match, newest first, Limit at most. With
// OldestFirst it is the oldest ones, oldest first. The filter has been validated.
//
// It examines a bounded number of events, so a page may be short, or empty, and
// still not be the last one: Next alone says so.
func Search(r db.Reader, f Filter) (Page, error) { return search(r, f, budget) }

// List is Search for who goes on by Next anyway.
func List(r db.Reader, f Filter) (events []Record, next int64, err error) {
	p, err := Search(r, f)
	return p.Events, p.Next, err
}

func search(r db.Reader, f Filter, budget int) (Page, error) {
	w, err := f.window(r)
	if err != nil || w.empty() {
		return Page{}, err
	}
	s, left, err := f.scan(r, w, budget)
	if err != nil {
		return Page{}, err
	}
	var p Page
	// One more than asked for tells whether another page follows.
	if p.Events, err = f.read(r, s, f.Limit+1, budget); err != nil {
		return Page{}, err
	}
	switch {
	case len(p.Events) > f.Limit:
		p.Events = p.Events[:f.Limit]
		p.Next = p.Events[f.Limit-1].Seq
	case left && f.OldestFirst:
		p.Next = s.to - 1
	case left:
		p.Next = s.from
	}
	if left && len(p.Events) < f.Limit {
		p.Reached, err = timeOf(r, p.Next)
	}
	return p, err
}

// window is a range of sequence numbers.
type window struct {
	from, to int64 // from inclusive, to exclusive
}

func (w window) empty() bool { return w.from >= w.to }

// window is the numbers among which everything lies that f admits. The time is a
// condition beyond it: hours may overlap where the clock was set back.
func (f Filter) window(r db.Reader) (window, error) {
	w := window{f.After + 1, math.MaxInt64}
	if f.Before > 0 {
		w.to = f.Before
	}
	if !f.Since.IsZero() {
		var first sql.NullInt64
		if err := r.QueryRow("SELECT MIN(first_seq) FROM audit_hours WHERE hour_us >= $1", hourOf(db.Micros(f.Since))).Scan(&first); err != nil {
			return window{}, fmt.Errorf("audit: hours: %w", err)
		}
		if !first.Valid {
			return window{}, nil
		}
		w.from = max(w.from, first.Int64)
	}
	if !f.Until.IsZero() {
		var last sql.NullInt64
		if err := r.QueryRow("SELECT MAX(last_seq) FROM audit_hours WHERE hour_us <= $1", hourOf(db.Micros(f.Until)-1)).Scan(&last); err != nil {
			return window{}, fmt.Errorf("audit: hours: %w", err)
		}
		if !last.Valid {
			return window{}, nil
		}
		w.to = min(w.to, last.Int64+1)
	}
	e, err := extentOf(r)
	if err != nil {
		return window{}, err
	}
	w.from = max(w.from, e.first)
	if w.to != math.MaxInt64 {
		w.to = min(w.to, e.newest+1)
	}
	return w, nil
}

// driver is a column with an index of its own, and the value that it must have.
type driver struct{ column, value string }

// drivers lists those that f names, the one that is likely the most selective
// first.
func (f Filter) drivers() []driver {
	var named []driver
	for _, d := range []driver{{"user_id", f.UserID}, {"api_key_id", f.APIKeyID}, {"email", f.Email}, {"ip_address", f.IP},
		{"event_type", string(f.Type)}, {"severity", string(f.Severity)}} {
		if d.value != "" {
			named = append(named, d)
		}
	}
	return named
}

// scan is what one statement goes through: the events of a window, those of a
// driver or all.
type scan struct {
	window
	by          driver // the zero value: every event
	oldestFirst bool
}

// scan chooses the driver that reaches furthest with what may be examined, and
// ends the window there. left reports whether there is more behind it.
func (f Filter) scan(r db.Reader, w window, budget int) (s scan, left bool, err error) {
	named := f.drivers()
	if f.Own {
		named = named[:1] // user_id, which is the first
	}
	s = scan{window: w, oldestFirst: f.OldestFirst}
	if len(named) == 1 {
		s.by = named[0]
	}
	if _, rest := f.rest(s.by, nil); rest == "" {
		return s, false, nil // each event that is read is one of those asked for
	}
	if s.to == math.MaxInt64 {
		// What is written meanwhile must not move the place where the search ends.
		newest, err := Newest(r)
		if err != nil {
			return scan{}, false, err
		}
		s.to = newest + 1
	}
	if len(named) == 0 {
		s, left = s.shortened(inOrder * budget)
		return s, left, nil
	}
	var best scan
	for i, d := range named {
		s.by = d
		if len(named) > 1 {
			if _, many, err := s.upTo(r, min(few, budget)); err != nil || !many {
				return s, false, err
			}
		}
		reached, more, err := s.upTo(r, budget)
		if err != nil {
			return scan{}, false, err
		}
		switch {
		case i == 0, left && !more, left && reached.to-reached.from > best.to-best.from:
			best, left = reached, more
		}
	}
	return best, left, nil
}

// shortened is the scan over every event, ended after n numbers.
func (s scan) shortened(n int) (shorter scan, left bool) {
	switch {
	case s.to-s.from <= int64(n):
		return s, false
	case s.oldestFirst:
		s.to = s.from + int64(n)
	default:
		s.from = s.to - int64(n)
	}
	return s, true
}

// upTo is the scan, ended with its nth event. left reports whether it has so many.
func (s scan) upTo(r db.Reader, n int) (shorter scan, left bool, err error) {
	var args []any
	args, where := s.where(args)
	args, skip := bind(args, n-1)
	var nth int64
	err = r.QueryRow("SELECT seq FROM audit_events WHERE "+where+s.order()+" LIMIT 1 OFFSET "+skip, args...).Scan(&nth)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return s, false, nil
	case err != nil:
		return scan{}, false, fmt.Errorf("audit: search: %w", err)
	case s.oldestFirst:
		s.to = nth + 1
	default:
		s.from = nth
	}
	return s, true, nil
}

func (s scan) where(args []any) ([]any, string) {
	var term, value, from, to string
	if s.by.column != "" {
		args, value = bind(args, s.by.value)
		term = s.by.column + " = " + value + " AND "
	}
	args, from = bind(args, s.from)
	args, to = bind(args, s.to)
	return args, term + "seq >= " + from + " AND seq < " + to
}

func (s scan) order() string {
	if s.oldestFirst {
		return " ORDER BY seq"
	}
	return " ORDER BY seq DESC"
}

// read returns the events of a scan that match, limit at most.
//
// What is examined is a query of its own inside the other, so that no engine
// chooses another way through the table; its limit ends it in any case.
func (f Filter) read(r db.Reader, s scan, limit, budget int) ([]Record, error) {
	query, args := f.statement(s, limit, budget)
	rows, err := r.Query(query, args...)
	if err != nil {
		return nil, fmt.Errorf("audit: search: %w", err)
	}
	defer rows.Close()
	var events []Record
	for rows.Next() {
		event, err := scanRecord(rows)
		if err != nil {
			return nil, fmt.Errorf("audit: search: %w", err)
		}
		events = append(events, event)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("audit: search: %w", err)
	}
	return events, nil
}

func (f Filter) statement(s scan, limit, budget int) (string, []any) {
	args, where := s.where(nil)
	examined := "SELECT " + columns + " FROM audit_events WHERE " + where + s.order() + " LIMIT "
	if _, rest := f.rest(s.by, nil); rest == "" {
		args, n := bind(args, limit)
		return examined + n, args
	}
	if s.by.column == "" {
		budget *= inOrder
	}
	args, most := bind(args, budget)
	args, rest := f.rest(s.by, args)
	args, n := bind(args, limit)
	return "SELECT " + columns + " FROM (" + examined + most + ") AS examined WHERE " + rest + s.order() + " LIMIT " + n, args
}

// rest is what remains to be checked of the events of a driver, "" when nothing
// does.
func (f Filter) rest(by driver, args []any) ([]any, string) {
	var terms []string
	add := func(term string, value any) {
		var place string
		args, place = bind(args, value)
		terms = append(terms, strings.ReplaceAll(term, "?", place))
	}
	for _, d := range f.drivers() {
		if d != by {
			add(d.column+" = ?", d.value)
		}
	}
	if f.Success != nil {
		add("success = ?", boolInt(*f.Success))
	}
	if f.Request != "" {
		add("request_id = ?", f.Request)
	}
	if f.Session != "" {
		add("session_id = ?", f.Session)
	}
	if !f.Since.IsZero() {
		add("time_us >= ?", db.Micros(f.Since))
	}
	if !f.Until.IsZero() {
		add("time_us < ?", db.Micros(f.Until))
	}
	if f.Text != "" {
		add(`(LOWER(COALESCE(email, '')) LIKE ? ESCAPE '\' OR LOWER(COALESCE(ip_address, '')) LIKE ? ESCAPE '\'
			OR LOWER(details) LIKE ? ESCAPE '\' OR LOWER(COALESCE(personal_details, '')) LIKE ? ESCAPE '\'
			OR LOWER(COALESCE(request_id, '')) LIKE ? ESCAPE '\')`, likePattern(f.Text))
	}
	return args, strings.Join(terms, " AND ")
}

// bind adds a value and returns its place. Values are always bound.
func bind(args []any, value any) ([]any, string) {
	args = append(args, value)
	return args, "$" + strconv.Itoa(len(args))
}

// likePattern finds text anywhere, whatever the case of its ASCII letters: more
// the engine's LOWER does not know. What LIKE would take for a wildcard is
// taken literally.
func likePattern(text string) string {
	lowered := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(lowered) + "%"
}

// timeOf is the time of an event, or of the next one where that is gone.
func timeOf(r db.Reader, seq int64) (time.Time, error) {
	var us int64
	err := r.QueryRow("SELECT time_us FROM audit_events WHERE seq >= $1 ORDER BY seq LIMIT 1", seq).Scan(&us)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("audit: search: %w", err)
	}
	return db.FromMicros(us), nil
}
