package handlers

import (
	"strconv"
	"strings"
	"time"

	"patronus.internal/dashboard/security/secerr"
)

// maxDuration keeps sums with any time of this century far from overflow: a
// hundred years of 365 days.
const maxDuration = 36500 * 24 * time.Hour

// durationUnits are the units of a duration as people and scripts write it.
var durationUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour,
}

// ParseTime reads a point in time: RFC 3339, or a duration back from now
// such as "30s", "15m", "1h" or "7d". Nothing is the zero time. What it cannot
// read is validation_failed for the field name.
func ParseTime(name, value string, now time.Time) (time.Time, error) {
	if value == "" {
		return time.Time{}, nil
	}
	var at time.Time
	back, ok := parseDuration(value)
	if ok {
		at = now.Add(-back)
	} else if at, ok = parseRFC3339(value); !ok {
		return time.Time{}, secerr.Invalid(name,
			`Use a time as 2026-01-31T12:00:00Z, or how long ago as 30s, 15m, 1h or 7d. In a URL a "+" is written %2B.`)
	}
	// Outside these years the time has no RFC 3339 form or lies before the
	// epoch that storage counts from.
	if at = at.UTC(); at.Year() < 1970 || at.Year() > 9999 {
		return time.Time{}, secerr.Invalid(name, "Use a time from the years 1970 to 9999.")
	}
	return at, nil
}

// parseRFC3339 refuses what package time takes beyond RFC 3339 §5.6: an hour
// of one digit and a comma before the fraction.
func parseRFC3339(s string) (time.Time, bool) {
	at, err := time.Parse(time.RFC3339, s)
	return at, err == nil && s[len("2006-01-02T15")] == ':' && !strings.Contains(s, ",")
}

// parseDuration reads digits and one unit. It refuses signs, fractions, other
// units and more than maxDuration.
func parseDuration(s string) (time.Duration, bool) {
	if len(s) < 2 {
		return 0, false
	}
	unit, known := durationUnits[s[len(s)-1]]
	if !known {
		return 0, false
	}
	count, err := strconv.ParseUint(s[:len(s)-1], 10, 63)
	if err != nil || count > uint64(maxDuration/unit) {
		return 0, false
	}
	return time.Duration(count) * unit, true
}
