package policy

import (
	"fmt"
	"slices"
)

// Effects says in sentences what a change does to people and to what protects
// them, for who is about to make it. What only counts is not repeated here: see
// Setting.Counts.
func Effects(before, after Policy) []string {
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	lower := func(name string) bool {
		s, _ := Find(name)
		return *s.number(&after) < *s.number(&before)
	}
	changed := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			s, _ := Find(name)
			return !same(s.Of(before), s.Of(after))
		})
	}

	for _, c := range classes {
		name := "rate_limits." + c.name
		if l := *c.of(&after); changed(name+".max_requests", name+".window_secs") && l.WindowSecs/l.MaxRequests >= minute {
			say("%s: who has used the limit up waits %s for each request.", c.group, Words(l.WindowSecs/l.MaxRequests))
		}
	}

	if lower("sessions.idle_secs") {
		say("Whoever has not used their browser for %s is signed out at once.", Words(after.Sessions.IdleSecs))
	}
	if lower("sessions.max_per_user") {
		say("Who signs in and has more sessions than %s loses the oldest.", thousands(after.Sessions.MaxPerUser))
	}

	if after.Passwords.MinScore < 3 && lower("passwords.min_score") {
		say("Passwords that are easy to guess are accepted.")
	}
	if !before.Passwords.RequireClasses && after.Passwords.RequireClasses {
		say("People tend to answer this demand with patterns that are easy to guess.")
	}

	for _, role := range after.MFA.RequiredRoles {
		if !slices.Contains(before.MFA.RequiredRoles, role) {
			say("Everybody with the role %s who has no second factor must set one up at their next request, before anything else%s.", role, grace(after.MFA))
		}
	}
	for _, role := range before.MFA.RequiredRoles {
		if !slices.Contains(after.MFA.RequiredRoles, role) {
			say("With the role %s a password alone signs in, unless its owner has a second factor all the same.", role)
		}
	}
	if lower("mfa.grace_secs") {
		say("Accounts that were added longer than %s ago must have their second factor at the next request.", Words(after.MFA.GraceSecs))
	}

	l := after.Lockout
	if changed("lockout.lock_after", "lockout.delay_after") && l.DelayAfter >= l.LockAfter {
		say("An account is locked before anybody has to wait: the wait never comes.")
	}
	if changed("lockout.lock_after", "lockout.captcha_after") && l.CaptchaAfter >= l.LockAfter {
		say("An account is locked before a CAPTCHA is demanded: the CAPTCHA never comes.")
	}
	// NIST SP 800-63B-4 §3.2.2 ends the consecutive failures of one account at 100.
	if changed("lockout.lock_after") && l.LockAfter > 100 {
		say("%s wrong passwords in a row are more than the 100 that NIST SP 800-63B-4 allows.", thousands(l.LockAfter))
	}
	if changed("lockout.lock_after") && l.LockAfter < 5 {
		say("Few slips lock an account, and a stranger can lock it for every browser that it was not used with before.")
	}
	if changed("lockout.lock_secs") && l.LockSecs < minute {
		say("A lock of %s hardly slows down a program that guesses.", Words(l.LockSecs))
	}
	if changed("lockout.code_attempts") && l.CodeAttempts < 3 {
		say("Who mistypes so few codes cannot give another one for up to %s.", Words(l.CodeWindowSecs))
	}
	if n := after.codeGuesses(); changed("lockout.code_attempts", "lockout.code_window_secs") && n > manyCodes {
		say("Somebody who knows a password could try %s codes a day.", thousands(n))
	}

	a := after.Anomaly
	if changed("anomaly.address_failures") && a.AddressFailures < 10 || changed("anomaly.spray_accounts") && a.SprayAccounts < 5 {
		say("A few people who mistype block the address of everybody behind the same router.")
	}
	if changed("anomaly.block_secs") && a.BlockSecs > day {
		say("An address that is blocked by itself stays so for %s, whoever has it by then. IP blocks lifts it.", Words(a.BlockSecs))
	}

	if lower("audit.retention_days") {
		say("Events older than %s are removed for good, within a day. To set this back does not bring them back.", counted(after.Audit.RetentionDays, "day"))
	}
	return said
}

func grace(m MFA) string {
	if m.GraceSecs == 0 {
		return ""
	}
	return "; accounts younger than " + Words(m.GraceSecs) + " may wait until then"
}
