package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"patronus.internal/dashboard/security/secerr"
)

// rule is what settings must be together. The first of them that a change touches
// is the one that is named.
type rule struct {
	settings []string
	broken   func(Policy) string // a sentence, or "" where it holds
}

// rules refuse what lets nobody in any more, or guessers in. What is merely strict
// or merely weak is a warning, and the choice of the admin.
var rules = []rule{
	{[]string{"sessions.idle_secs", "sessions.absolute_secs"}, func(p Policy) string {
		if p.Sessions.IdleSecs > p.Sessions.AbsoluteSecs {
			return "A session cannot idle longer than it may last: keep sessions.idle_secs at or below sessions.absolute_secs."
		}
		return ""
	}},
	{[]string{"sessions.access_token_secs", "sessions.refresh_token_secs"}, func(p Policy) string {
		if p.Sessions.AccessTokenSecs > p.Sessions.RefreshTokenSecs {
			return "A token cannot outlive its session: keep sessions.access_token_secs at or below sessions.refresh_token_secs."
		}
		return ""
	}},
	// A sign-in is one of these, and may take its time.
	reachable("login", 1, hour),
	// The password and the code of one sign-in, and a nonce and what it is for.
	reachable("api_unauthenticated", 2, steps), reachable("api_authenticated", 2, steps),
	{[]string{"sessions.idle_secs", "rate_limits.api_authenticated.max_requests", "rate_limits.api_authenticated.window_secs"}, func(p Policy) string {
		if l := p.RateLimits.APIAuthenticated; !l.atOnce() && 2*l.WindowSecs > p.Sessions.IdleSecs*l.MaxRequests {
			return fmt.Sprintf("A person who has used their requests up would be signed out before the next one: keep sessions.idle_secs at twice the time of one request (%s) or more.", Words(l.WindowSecs/l.MaxRequests))
		}
		return ""
	}},
	{[]string{"sessions.absolute_secs", "rate_limits.api_authenticated.max_requests", "rate_limits.api_authenticated.window_secs"}, func(p Policy) string {
		if l := p.RateLimits.APIAuthenticated; !l.atOnce() && handful*l.WindowSecs > p.Sessions.AbsoluteSecs*l.MaxRequests {
			return fmt.Sprintf("A session would end before a person has made %d requests, so nobody could change this back: keep sessions.absolute_secs at %s or more.", handful, Words(handful*l.WindowSecs/l.MaxRequests))
		}
		return ""
	}},
	{[]string{"lockout.lock_secs", "lockout.lock_after", "rate_limits.login.max_requests", "rate_limits.login.window_secs"}, func(p Policy) string {
		if n := p.passwordGuesses(); n > mostGuesses {
			return fmt.Sprintf("Somebody could try %s passwords a day for one account. Lock it for longer or sooner, or allow fewer sign-ins.", thousands(n))
		}
		return ""
	}},
	{[]string{"lockout.code_attempts", "lockout.code_window_secs"}, func(p Policy) string {
		if n := p.codeGuesses(); n > mostGuesses {
			return fmt.Sprintf("Somebody who knows a password could try %s codes a day. Allow fewer, or count them over a longer window.", thousands(n))
		}
		return ""
	}},
}

const (
	// A person needs a handful of requests to change the policy back: to load the
	// page, the form, the question and the answer to it, and that again for a slip.
	handful = 10
	// steps is for how long a sign-in waits for its code, and a nonce is good.
	steps = 5 * minute
	// At a million guesses a day a password of the strength that is demanded (score
	// 3, a hundred million guesses and more: zxcvbn) holds a hundred days, long enough
	// for the critical events of its locks to be seen. Of a million codes three are
	// good at a time (RFC 6238 §5.2, one step either way), so one is found within a
	// day by somebody who knows the password.
	mostGuesses = 1_000_000
	// manyCodes find one within a few weeks, which is worth a warning.
	manyCodes = 10_000
)

// reachable refuses a limit under which nobody gets to the page of the policy to
// change it back. Each setting of the limit may have any value of its range; what
// shuts people out is when there are too few at once and they come back too slowly:
// requests must do so within a number of seconds.
func reachable(class string, requests, within int64) rule {
	name := "rate_limits." + class
	at := slices.IndexFunc(classes, func(c limitClass) bool { return c.name == class })
	return rule{[]string{name + ".max_requests", name + ".window_secs"}, func(p Policy) string {
		l := *classes[at].of(&p)
		if !l.atOnce() && requests*l.WindowSecs > within*l.MaxRequests {
			return fmt.Sprintf("With this, %d requests take %s, so nobody could sign in and change it back. Allow two requests at once, or a shorter window.",
				requests, Words(requests*l.WindowSecs/l.MaxRequests))
		}
		return ""
	}}
}

// atOnce reports whether a person who has waited may make two requests, one after
// the other: a nonce, and what it is for.
func (l RateLimit) atOnce() bool { return l.MaxRequests+l.Burst >= 2 }

// passwordGuesses is how many wrong passwords of strangers one account takes in a
// day: as many as the limit of sign-ins lets pass, and as the lock between them does.
func (p Policy) passwordGuesses() int64 {
	login := p.RateLimits.Login
	return min(p.Lockout.LockAfter*day/p.Lockout.LockSecs, login.MaxRequests*day/login.WindowSecs)
}

// codeGuesses is how many wrong codes one account takes in a day.
func (p Policy) codeGuesses() int64 {
	return p.Lockout.CodeAttempts * max(1, day/p.Lockout.CodeWindowSecs)
}

// Validate refuses a policy that the program cannot run with, naming each setting
// by its path: what a stored one is held against. roles lists the roles that exist.
func (p Policy) Validate(roles []string) error {
	var fields []secerr.Field
	for _, s := range settings {
		least := s.Min
		if s.least != 0 {
			least = s.least
		}
		if n, is := s.Of(p).(int64); is && (n < least || n > s.Max) {
			fields = append(fields, secerr.Field{Field: s.Name, Detail: s.Wanted()})
		}
	}
	return refuse(append(fields, p.wrongRoles(roles)...))
}

// Check refuses a policy that nobody should change another one to: beyond what
// Validate refuses, one that would lock everybody out or leave accounts to who
// guesses. What was so before the change is no reason to refuse it, as long as it
// touches none of the settings in question.
func (p Policy) Check(before Policy, roles []string) error {
	var fields []secerr.Field
	changed := map[string]bool{}
	for _, s := range settings {
		if same(s.Of(before), s.Of(p)) {
			continue
		}
		changed[s.Name] = true
		if n, is := s.Of(p).(int64); is && (n < s.Min || n > s.Max) {
			fields = append(fields, secerr.Field{Field: s.Name, Detail: s.Wanted()})
		}
	}
	fields = append(fields, p.wrongRoles(roles)...)
	if fields != nil { // numbers out of range make no sense together either
		return refuse(fields)
	}
	for _, r := range rules {
		at := slices.IndexFunc(r.settings, func(name string) bool { return changed[name] })
		// One reason is enough for a setting: the others may go with it.
		told := slices.ContainsFunc(fields, func(f secerr.Field) bool { return slices.Contains(r.settings, f.Field) })
		if at < 0 || told {
			continue
		}
		if detail := r.broken(p); detail != "" {
			fields = append(fields, secerr.Field{Field: r.settings[at], Detail: detail})
		}
	}
	return refuse(fields)
}

func (p Policy) wrongRoles(roles []string) []secerr.Field {
	for i, role := range p.MFA.RequiredRoles {
		if !slices.Contains(roles, role) || slices.Contains(p.MFA.RequiredRoles[:i], role) {
			return []secerr.Field{{Field: "mfa.required_roles", Detail: "Name only roles that exist, each once: " + strings.Join(roles, ", ") + "."}}
		}
	}
	return nil
}

func refuse(fields []secerr.Field) error {
	if len(fields) == 0 {
		return nil
	}
	return secerr.InvalidFields(fields...)
}

// same compares two values. No roles are no roles, however they are stored.
func same(a, b any) bool { return reflect.DeepEqual(plain(a), plain(b)) }
