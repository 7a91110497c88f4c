package audit

import (
	"time"

	"patronus.internal/dashboard/security/db"
)

// The queries of the specification, under its names. None looks at who asks: that
// is package security's part.

// UserLogs returns what a user did or tried, newest first, limit at most: the
// specification's get_user_logs. What others did to them is not among it.
func UserLogs(r db.Reader, userID string, limit int) ([]Record, error) {
	if userID == "" { // which would narrow nothing, and give everybody's
		return nil, nil
	}
	events, _, err := List(r, Filter{UserID: userID, Limit: limit})
	return events, err
}

// CriticalEvents returns the critical events among those that f admits, newest
// first, f.Limit at most: the specification's get_critical_events. Like List it
// returns the number to pass as Before for the ones that follow.
func CriticalEvents(r db.Reader, f Filter) (events []Record, next int64, err error) {
	f.Severity = Critical
	return List(r, f)
}

// FailedLogins returns the failed sign-ins from an address since a time, newest
// first, limit at most: the specification's get_failed_logins. Among them are those
// that were refused before their password was looked at; a wrong code is none of
// them, it follows a right password. It examines a bounded number of events, as Search
// does.
func FailedLogins(r db.Reader, ip string, since time.Time, limit int) ([]Record, error) {
	if ip == "" {
		return nil, nil
	}
	failed := false
	events, _, err := List(r, Filter{Type: LoginAttempt, Success: &failed, IP: ip, Since: since, Limit: limit})
	return events, err
}

// AllLogs goes through every event from f.Since up to f.Until that f admits, oldest
// first: the specification's get_all_logs, with nothing else in f. It hands over
// f.Limit at a time, and never an empty batch, so a log of any length takes the
// memory of one batch. It stops with the first error of take.
func AllLogs(r db.Reader, f Filter, take func([]Record) error) error {
	f.OldestFirst = true
	for {
		events, next, err := List(r, f)
		if err != nil {
			return err
		}
		if len(events) > 0 {
			if err := take(events); err != nil {
				return err
			}
		}
		if next == 0 {
			return nil
		}
		f.After = next
	}
}
