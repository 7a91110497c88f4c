package lockout

import (
	"testing"
	"time"
)

var (
	now   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	rules = Rules{CaptchaAfter: 3, DelayAfter: 5, LockAfter: 10, LockFor: 15 * time.Minute}
)

func TestJudge(t *testing.T) {
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, c := range map[string]struct {
		state State
		want  Verdict
	}{
		"nothing yet":                       {State{}, Verdict{}},
		"two":                               {State{Failures: 2, LastFailure: now}, Verdict{}},
		"three":                             {State{Failures: 3, LastFailure: now}, Verdict{Captcha: true}},
		"four":                              {State{Failures: 4, LastFailure: now}, Verdict{Captcha: true}},
		"five":                              {State{Failures: 5, LastFailure: now}, Verdict{Captcha: true, Wait: time.Second}},
		"five, waited":                      {State{Failures: 5, LastFailure: ago(time.Second)}, Verdict{Captcha: true}},
		"five, waited not quite":            {State{Failures: 5, LastFailure: ago(time.Second - 1)}, Verdict{Captcha: true, Wait: 1}},
		"seven":                             {State{Failures: 7, LastFailure: now}, Verdict{Captcha: true, Wait: 4 * time.Second}},
		"nine":                              {State{Failures: 9, LastFailure: now}, Verdict{Captcha: true, Wait: 16 * time.Second}},
		"ten, when ten did not lock yet":    {State{Failures: 10, LastFailure: now}, Verdict{Captcha: true, Wait: 32 * time.Second}},
		"locked":                            {State{Failures: 10, LastFailure: ago(time.Minute), LockedUntil: now.Add(14 * time.Minute)}, Verdict{Locked: true, Wait: 14 * time.Minute}},
		"locked till now":                   {State{Failures: 10, LastFailure: ago(15 * time.Minute), LockedUntil: now}, Verdict{}},
		"long ago":                          {State{Failures: 9, LastFailure: ago(24 * time.Hour)}, Verdict{}},
		"nearly so long ago":                {State{Failures: 9, LastFailure: ago(24*time.Hour - 1)}, Verdict{Captcha: true}},
		"a clock that was set back":         {State{Failures: 5, LastFailure: now.Add(365 * 24 * time.Hour)}, Verdict{Captcha: true, Wait: time.Second}},
		"set back in a lock":                {State{Failures: 10, LastFailure: now.Add(365 * 24 * time.Hour), LockedUntil: now.Add(365 * 24 * time.Hour)}, Verdict{Locked: true, Wait: 15 * time.Minute}},
		"locked, whatever the failures say": {State{Failures: 0, LockedUntil: now.Add(time.Second)}, Verdict{Locked: true, Wait: time.Second}},
	} {
		if got := c.state.Judge(now, rules); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	late := Rules{CaptchaAfter: 1, DelayAfter: 1, LockAfter: 1000, LockFor: time.Hour}
	for failures, want := range map[int64]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 7: 60 * time.Second, 999: 60 * time.Second} {
		if got := (State{Failures: failures, LastFailure: now}).Judge(now, late).Wait; got != want {
			t.Errorf("after %d failures the wait is %s", failures, got)
		}
	}
}
