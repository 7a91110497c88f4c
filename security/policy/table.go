package policy

// The ends of most ranges, in seconds.
const (
	minute = 60
	hour   = 60 * minute
	day    = 24 * hour
	year   = 365 * day
)

// sections are the parts of the document in its order.
var sections = []Section{
	{"rate_limits", "Rate limits", "How much somebody may ask for. A limit is a bucket: it holds the requests and the burst together, and fills again evenly over the window."},
	{"sessions", "Sessions", "How long a sign-in is good for, and how many there may be."},
	{"passwords", "Passwords", "What a new password must be. Passwords that are in use stay."},
	{"mfa", "Second factor", "Who must have one."},
	{"lockout", "Guessing of passwords and codes", "What follows wrong passwords and codes, for one account. Who signed in with the same browser before has a count of their own, so strangers do not lock them out."},
	{"anomaly", "Suspicious activity", "When an address is blocked by itself. Trusted proxies and this host never are."},
	{"audit", "Audit log", "How long it is kept."},
}

// From when on a change counts.
const (
	atOnce    = "Counts at once."
	newOnes   = "Counts for sign-ins from now on."
	passwords = "Counts for passwords that are set from now on."
)

// settings are all leaves of the document in its order.
var settings = append(limits(),
	// A minute is the least in which a person can act on a page. An access token
	// is good for a day at most (token.MaxLifetime).
	Setting{Name: "sessions.access_token_secs", Label: "Access token", Unit: Seconds, Min: minute, Max: day,
		Meaning: "How long a program may use an access token before it has to refresh it.", Counts: "Counts for tokens that are given out from now on.",
		number: func(p *Policy) *int64 { return &p.Sessions.AccessTokenSecs }},
	Setting{Name: "sessions.refresh_token_secs", Label: "Session of a program", Unit: Seconds, Min: 5 * minute, Max: year,
		Meaning: "How long a program that signed in may refresh its tokens before somebody has to sign in again.", Counts: newOnes,
		number: func(p *Policy) *int64 { return &p.Sessions.RefreshTokenSecs }},
	Setting{Name: "sessions.idle_secs", Label: "Idle time", Unit: Seconds, Min: minute, Max: 30 * day,
		Meaning: "After how long without a request a browser is signed out.", Counts: "Counts at once, also for sessions that are open.",
		number: func(p *Policy) *int64 { return &p.Sessions.IdleSecs }},
	Setting{Name: "sessions.absolute_secs", Label: "Longest session", Unit: Seconds, Min: 5 * minute, Max: year,
		Meaning: "After how long a browser is signed out in any case.", Counts: newOnes,
		number: func(p *Policy) *int64 { return &p.Sessions.AbsoluteSecs }},
	Setting{Name: "sessions.max_per_user", Label: "Sessions of one user", Min: 1, Max: 1000,
		Meaning: "How many sessions a user may have. One more ends the oldest.", Counts: "Counts at the next sign-in of each user.",
		number: func(p *Policy) *int64 { return &p.Sessions.MaxPerUser }},

	// NIST SP 800-63B-4 §3.1.1.2 wants 8 at the very least; a password holds 128
	// characters at most.
	Setting{Name: "passwords.min_length", Label: "Shortest password", Min: 8, Max: 64,
		Meaning: "The least number of characters, of an account with a second factor.", Counts: passwords,
		number: func(p *Policy) *int64 { return &p.Passwords.MinLength }},
	Setting{Name: "passwords.min_length_without_mfa", Label: "Shortest password without a second factor", Min: 8, Max: 64,
		Meaning: "The least number of characters where the password alone signs in. A smaller number than the one above counts as that.", Counts: passwords,
		number: func(p *Policy) *int64 { return &p.Passwords.MinLengthWithoutMFA }},
	Setting{Name: "passwords.min_score", Label: "Least strength", Min: 0, Max: 4,
		Meaning: "How hard to guess a password must be: 0 takes any, 3 wants a hundred million guesses, 4 wants ten billion (zxcvbn).", Counts: passwords,
		number: func(p *Policy) *int64 { return &p.Passwords.MinScore }},
	Setting{Name: "passwords.history", Label: "Passwords remembered", Min: 0, Max: 24,
		Meaning: "How many passwords from before may not be used again.", Counts: passwords,
		number: func(p *Policy) *int64 { return &p.Passwords.History }},
	Setting{Name: "passwords.require_classes", Label: "Kinds of characters",
		Meaning: "Whether a password must hold small and capital letters, digits and other signs. That makes passwords harder to keep and no harder to guess (NIST SP 800-63B-4 advises against it).", Counts: passwords,
		flag: func(p *Policy) *bool { return &p.Passwords.RequireClasses }},

	Setting{Name: "mfa.required_roles", Label: "Roles that must have one",
		Meaning: "Who has one of these roles and no second factor sets one up before anything else.", Counts: "Counts at the next request of each user.",
		roles: func(p *Policy) *[]string { return &p.MFA.RequiredRoles }},
	Setting{Name: "mfa.grace_secs", Label: "Time to set it up", Unit: Seconds, Min: 0, Max: 30 * day,
		Meaning: "For how long after it was added an account may do without.", Counts: "Counts at the next request of each user.",
		number: func(p *Policy) *int64 { return &p.MFA.GraceSecs }},

	Setting{Name: "lockout.captcha_after", Label: "CAPTCHA after", Min: 1, Max: 1000,
		Meaning: "After how many wrong passwords a CAPTCHA is demanded.", Counts: atOnce,
		number: func(p *Policy) *int64 { return &p.Lockout.CaptchaAfter }},
	Setting{Name: "lockout.delay_after", Label: "Wait after", Min: 1, Max: 1000,
		Meaning: "After how many wrong passwords the next attempt has to wait: 1, 2, 4 … 60 seconds.", Counts: atOnce,
		number: func(p *Policy) *int64 { return &p.Lockout.DelayAfter }},
	// Locked by the first slip, everybody would be out who mistypes once, and
	// whoever knows an address could do it to its owner with one request.
	Setting{Name: "lockout.lock_after", Label: "Lock after", Min: 2, least: 1, Max: 1000,
		Meaning: "After how many wrong passwords the account is locked for a while.", Counts: atOnce,
		number: func(p *Policy) *int64 { return &p.Lockout.LockAfter }},
	Setting{Name: "lockout.lock_secs", Label: "Length of the lock", Unit: Seconds, Min: 1, Max: day,
		Meaning: "For how long an account is locked.", Counts: "Counts at once; locks that are in force become no longer by it.",
		number: func(p *Policy) *int64 { return &p.Lockout.LockSecs }},
	Setting{Name: "lockout.code_attempts", Label: "Wrong codes", Min: 1, Max: 1000,
		Meaning: "How many wrong codes of a second factor an account may have in the window below.", Counts: atOnce,
		number: func(p *Policy) *int64 { return &p.Lockout.CodeAttempts }},
	Setting{Name: "lockout.code_window_secs", Label: "Window of wrong codes", Unit: Seconds, Min: 1, Max: day,
		Meaning: "Over how long wrong codes are counted.", Counts: atOnce,
		number: func(p *Policy) *int64 { return &p.Lockout.CodeWindowSecs }},

	Setting{Name: "anomaly.spray_accounts", Label: "Accounts from one address", Min: 2, Max: 100_000,
		Meaning: "How many accounts may be tried in vain from one address in the window below before it is blocked.", Counts: atOnce,
		number: func(p *Policy) *int64 { return &p.Anomaly.SprayAccounts }},
	Setting{Name: "anomaly.spray_window_secs", Label: "Window of attempts", Unit: Seconds, Min: 10, Max: day,
		Meaning: "Over how long these attempts and the wrong passwords of an address are counted.", Counts: atOnce,
		number: func(p *Policy) *int64 { return &p.Anomaly.SprayWindowSecs }},
	// Behind one address there may be a whole office. Two slips are no attack.
	Setting{Name: "anomaly.address_failures", Label: "Wrong passwords from one address", Min: 3, least: 1, Max: 100_000,
		Meaning: "How many wrong passwords may come from one address in that window before it is blocked, with everybody behind it.", Counts: atOnce,
		number: func(p *Policy) *int64 { return &p.Anomaly.AddressFailures }},
	Setting{Name: "anomaly.block_secs", Label: "Length of the block", Unit: Seconds, Min: 1, Max: year,
		Meaning: "For how long such an address is blocked.", Counts: "Counts for blocks that are made from now on.",
		number: func(p *Policy) *int64 { return &p.Anomaly.BlockSecs }},

	Setting{Name: "audit.retention_days", Label: "Events are kept", Unit: Days, Min: 1, Max: 3650,
		Meaning: "Older events are removed for good once a day; with --audit-archive-dir they are written to a file before. That they were there can be proved still.", Counts: "Counts within a day.",
		number: func(p *Policy) *int64 { return &p.Audit.RetentionDays }},
)

// limitClass is one of the limits, each of which has the same three settings.
type limitClass struct {
	name, group, what string
	of                func(*Policy) *RateLimit
}

var classes = []limitClass{
	{"login", "Sign-in", "sign-ins, of one address and for one account", func(p *Policy) *RateLimit { return &p.RateLimits.Login }},
	{"api_authenticated", "People", "requests of a person who is signed in, on pages and in the API", func(p *Policy) *RateLimit { return &p.RateLimits.APIAuthenticated }},
	{"api_key", "API keys", "requests of one API key", func(p *Policy) *RateLimit { return &p.RateLimits.APIKey }},
	{"api_unauthenticated", "Nobody known", "requests and forms of one address of which nobody is signed in", func(p *Policy) *RateLimit { return &p.RateLimits.APIUnauthenticated }},
	{"websocket", "Live log", "openings of the live log by one person or key", func(p *Policy) *RateLimit { return &p.RateLimits.WebSocket }},
}

func limits() []Setting {
	var list []Setting
	for _, c := range classes {
		name := "rate_limits." + c.name
		list = append(list,
			Setting{Name: name + ".max_requests", Group: c.group, Label: "Requests", Min: 1, Max: 1_000_000,
				Meaning: "How many " + c.what + " there may be in the window.", Counts: atOnce,
				number: func(p *Policy) *int64 { return &c.of(p).MaxRequests }},
			Setting{Name: name + ".window_secs", Group: c.group, Label: "Window", Unit: Seconds, Min: 1, Max: day,
				Meaning: "Over how long they are counted.", Counts: atOnce,
				number: func(p *Policy) *int64 { return &c.of(p).WindowSecs }},
			Setting{Name: name + ".burst", Group: c.group, Label: "Burst", Min: 0, Max: 1_000_000,
				Meaning: "How many more may come at once, after a while without any.", Counts: atOnce,
				number: func(p *Policy) *int64 { return &c.of(p).Burst }})
	}
	return list
}
