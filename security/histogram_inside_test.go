package security

import (
	"testing"
	"time"

	"patronus.internal/dashboard/security/audit"
)

// TestSteps: what the bars cover, and that there are never more than can be told
// apart.
func TestSteps(t *testing.T) {
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		parsed, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	now := at("2026-03-20 14:23")
	for _, c := range []struct {
		since, until, first, last string
		from, to                  string
		step                      time.Duration
	}{
		{"", "", "2026-03-01 00:00", "2026-03-20 15:00", "2026-03-19 15:00", "2026-03-20 15:00", time.Hour},
		{"", "2026-03-10 12:30", "2026-03-01 00:00", "2026-03-20 15:00", "2026-03-09 13:00", "2026-03-10 13:00", time.Hour},
		{"", "2026-03-10 12:00", "2026-03-01 00:00", "2026-03-20 15:00", "2026-03-09 12:00", "2026-03-10 12:00", time.Hour},
		{"2026-03-17 15:20", "", "2026-03-01 00:00", "2026-03-20 15:00", "2026-03-17 15:00", "2026-03-20 15:00", time.Hour},
		{"2026-03-17 14:20", "", "2026-03-01 00:00", "2026-03-20 15:00", "2026-03-17 00:00", "2026-03-21 00:00", day},
		{"2026-03-18 14:20", "", "2026-03-20 09:00", "2026-03-20 15:00", "2026-03-18 14:00", "2026-03-20 15:00", time.Hour}, // a young log
		{"2020-01-01 00:00", "", "2026-03-20 09:00", "2026-03-20 15:00", "2026-03-20 09:00", "2026-03-20 15:00", time.Hour},
		{"2020-01-01 00:00", "", "2025-06-03 09:00", "2026-03-20 15:00", "2025-06-02 00:00", "2026-03-23 00:00", week},
		{"1970-01-01 00:00", "", "2016-06-03 09:00", "2026-03-20 15:00", "", "", 8 * week},
		{"", "9999-01-01 00:00", "2026-03-01 00:00", "2026-03-20 17:00", "2026-03-19 17:00", "2026-03-20 17:00", time.Hour}, // the clock was set back
		{"2027-01-01 00:00", "", "2026-03-01 00:00", "2026-03-20 15:00", "2027-01-01 00:00", "2026-03-20 15:00", time.Hour}, // nothing
	} {
		f := audit.Filter{Since: at(c.since), Until: at(c.until)}
		from, to, step := steps(f, at(c.first), at(c.last), now)
		if c.from != "" && (!from.Equal(at(c.from)) || !to.Equal(at(c.to))) || step != c.step {
			t.Errorf("%s to %s: %s to %s by %s", c.since, c.until, from, to, step)
		}
		if from.Before(to) && to.Sub(from) > (maxBars+2)*step {
			t.Errorf("%s to %s: %d bars", c.since, c.until, to.Sub(from)/step)
		}
		if to.Before(at(c.last)) && c.until == "" {
			t.Errorf("%s to %s leaves out the newest events", from, to)
		}
	}
}
