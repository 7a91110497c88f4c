package handlers

import (
	"errors"
	"testing"
	"time"

	"patronus.internal/dashboard/security/secerr"
)

var timeParamNow = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func TestParseTimeParam(t *testing.T) {
	for value, want := range map[string]string{
		"30s":                            "2026-01-31T11:59:30Z",
		"15m":                            "2026-01-31T11:45:00Z",
		"1h":                             "2026-01-31T11:00:00Z",
		"7d":                             "2026-01-24T12:00:00Z",
		"0s":                             "2026-01-31T12:00:00Z",
		"007d":                           "2026-01-24T12:00:00Z",
		"2026-01-02T03:04:05Z":           "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.678901Z":    "2026-01-02T03:04:05.678901Z",
		"2026-01-02T03:04:05+02:00":      "2026-01-02T01:04:05Z",
		"1970-01-01T00:00:00Z":           "1970-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999999999Z": "9999-12-31T23:59:59.999999999Z",
	} {
		got, err := ParseTime("since", value, timeParamNow)
		if err != nil || got.Format(time.RFC3339Nano) != want || got.Location() != time.UTC {
			t.Errorf("%q: %s %v, want %s", value, got.Format(time.RFC3339Nano), err, want)
		}
	}
	if got, err := ParseTime("since", "", timeParamNow); err != nil || !got.IsZero() {
		t.Errorf("nothing: %s %v", got, err)
	}
	for _, bad := range []string{
		"yesterday", "-1h", "+1h", "1", "h", "1.5h", "1w", "1H", "1h30m", " 1h", "1 h", "1h ", "h1",
		"36501d", "99999999999999999999d", "9223372036854775807s", "18446744073709551616s", "٣d",
		"36500d", // before 1970
		"2026-01-02", "2026-01-02 03:04:05Z", "2026-01-02T03:04:05", "2026-01-02T3:04:05Z", "2026-01-02T03:04:05,5Z",
		"2026-01-02t03:04:05z", "2026-13-02T03:04:05Z", "2026-02-30T03:04:05Z", "2026-01-02T24:00:00Z", "2026-01-02T03:04:05+2:00",
		"2026-01-02T03:04:05 02:00", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "10000-01-01T00:00:00Z", "1767322800",
	} {
		got, err := ParseTime("until", bad, timeParamNow)
		e, ok := errors.AsType[*secerr.Error](err)
		if !ok || e.Code != secerr.ValidationFailed || e.Fields[0].Field != "until" {
			t.Errorf("%q: %s %v", bad, got, err)
		}
	}
}

func FuzzParseTimeParam(f *testing.F) {
	for _, seed := range []string{"", "1h", "7d", "36500d", "-1s", "2026-01-02T03:04:05Z", "9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := ParseTime("since", value, timeParamNow)
		switch {
		case err != nil:
			if !secerr.Is(err, secerr.ValidationFailed) {
				t.Errorf("%q: %v", value, err)
			}
		case value != "" && (got.UnixMicro() < 0 || got.Year() > 9999):
			t.Errorf("%q is %s", value, got)
		case len(value) > 0 && len(value) < 12 && got.After(timeParamNow):
			t.Errorf("%q lies ahead: %s", value, got)
		}
	})
}
