// Package policy holds the security settings that an admin may change while
// the program runs: their names, defaults, ranges and storage.
package policy

import (
	"fmt"
	"slices"
	"time"

	"patronus.internal/dashboard/security/secerr"
)

// Policy is the whole document, as the API shows and stores it. Durations are
// whole seconds, as their names say.
type Policy struct {
	RateLimits RateLimits `json:"rate_limits"`
	Sessions   Sessions   `json:"sessions"`
	Passwords  Passwords  `json:"passwords"`
	MFA        MFA        `json:"mfa"`
	Lockout    Lockout    `json:"lockout"`
	Anomaly    Anomaly    `json:"anomaly"`
	Audit      Audit      `json:"audit"`
}

// RateLimits has one limit a class of endpoints.
type RateLimits struct {
	Login              RateLimit `json:"login"`
	APIAuthenticated   RateLimit `json:"api_authenticated"`
	APIKey             RateLimit `json:"api_key"`
	APIUnauthenticated RateLimit `json:"api_unauthenticated"`
	WebSocket          RateLimit `json:"websocket"`
}

// RateLimit is a token bucket of MaxRequests + Burst, refilled at
// MaxRequests / WindowSecs.
type RateLimit struct {
	MaxRequests int64 `json:"max_requests"`
	WindowSecs  int64 `json:"window_secs"`
	Burst       int64 `json:"burst"`
}

// Sessions bounds how long and how many.
type Sessions struct {
	AccessTokenSecs  int64 `json:"access_token_secs"`
	RefreshTokenSecs int64 `json:"refresh_token_secs"`
	IdleSecs         int64 `json:"idle_secs"`
	AbsoluteSecs     int64 `json:"absolute_secs"`
	MaxPerUser       int64 `json:"max_per_user"`
}

// AccessToken, RefreshToken, Idle and Absolute are the settings as durations.
func (s Sessions) AccessToken() time.Duration  { return seconds(s.AccessTokenSecs) }
func (s Sessions) RefreshToken() time.Duration { return seconds(s.RefreshTokenSecs) }
func (s Sessions) Idle() time.Duration         { return seconds(s.IdleSecs) }
func (s Sessions) Absolute() time.Duration     { return seconds(s.AbsoluteSecs) }

// Passwords says what a new password must be. Lengths count code points.
type Passwords struct {
	MinLength           int64 `json:"min_length"`
	MinLengthWithoutMFA int64 `json:"min_length_without_mfa"`
	MinScore            int64 `json:"min_score"`
	History             int64 `json:"history"`
	RequireClasses      bool  `json:"require_classes"`
}

// MFA names the roles that must have a second factor, and for how long after
// its creation an account may do without.
type MFA struct {
	RequiredRoles []string `json:"required_roles"`
	GraceSecs     int64    `json:"grace_secs"`
}

// Requires reports whether a user of this role, created then, must have a
// second factor now.
func (m MFA) Requires(role string, createdAt, now time.Time) bool {
	return slices.Contains(m.RequiredRoles, role) && !now.Before(createdAt.Add(seconds(m.GraceSecs)))
}

// Lockout bounds the guessing of passwords and codes.
type Lockout struct {
	CaptchaAfter   int64 `json:"captcha_after"`
	DelayAfter     int64 `json:"delay_after"`
	LockAfter      int64 `json:"lock_after"`
	LockSecs       int64 `json:"lock_secs"`
	CodeAttempts   int64 `json:"code_attempts"`
	CodeWindowSecs int64 `json:"code_window_secs"`
}

// Anomaly has the thresholds of the rules for suspicious activity.
type Anomaly struct {
	SprayAccounts   int64 `json:"spray_accounts"`
	SprayWindowSecs int64 `json:"spray_window_secs"`
	AddressFailures int64 `json:"address_failures"`
	BlockSecs       int64 `json:"block_secs"`
}

// Audit says how long events are kept.
type Audit struct {
	RetentionDays int64 `json:"retention_days"`
}

// Default is the policy of a new installation, as the contract has it.
func Default() Policy {
	return Policy{
		RateLimits: RateLimits{
			Login:              RateLimit{MaxRequests: 5, WindowSecs: 300, Burst: 0},
			APIAuthenticated:   RateLimit{MaxRequests: 100, WindowSecs: 60, Burst: 10},
			APIKey:             RateLimit{MaxRequests: 100, WindowSecs: 60, Burst: 10},
			APIUnauthenticated: RateLimit{MaxRequests: 20, WindowSecs: 60, Burst: 5},
			WebSocket:          RateLimit{MaxRequests: 10, WindowSecs: 60, Burst: 2},
		},
		Sessions:  Sessions{AccessTokenSecs: 900, RefreshTokenSecs: 604800, IdleSecs: 1800, AbsoluteSecs: 43200, MaxPerUser: 10},
		Passwords: Passwords{MinLength: 12, MinLengthWithoutMFA: 15, MinScore: 3, History: 5},
		MFA:       MFA{RequiredRoles: []string{"admin"}},
		Lockout:   Lockout{CaptchaAfter: 3, DelayAfter: 5, LockAfter: 10, LockSecs: 900, CodeAttempts: 10, CodeWindowSecs: 900},
		Anomaly:   Anomaly{SprayAccounts: 20, SprayWindowSecs: 600, AddressFailures: 50, BlockSecs: 900},
		Audit:     Audit{RetentionDays: 90},
	}
}

// The ends of the ranges. A setting outside of them would lock everybody out
// or switch the protection off.
const (
	day  = 24 * 60 * 60
	year = 365 * day
)

type setting struct {
	name     string
	value    int64
	min, max int64
}

func (p Policy) settings() []setting {
	var list []setting
	limit := func(name string, l RateLimit) {
		list = append(list,
			setting{"rate_limits." + name + ".max_requests", l.MaxRequests, 1, 1_000_000},
			setting{"rate_limits." + name + ".window_secs", l.WindowSecs, 1, day},
			setting{"rate_limits." + name + ".burst", l.Burst, 0, 1_000_000})
	}
	limit("login", p.RateLimits.Login)
	limit("api_authenticated", p.RateLimits.APIAuthenticated)
	limit("api_key", p.RateLimits.APIKey)
	limit("api_unauthenticated", p.RateLimits.APIUnauthenticated)
	limit("websocket", p.RateLimits.WebSocket)
	return append(list,
		// A minute is the least in which a person can act on a page.
		setting{"sessions.access_token_secs", p.Sessions.AccessTokenSecs, 60, day},
		setting{"sessions.refresh_token_secs", p.Sessions.RefreshTokenSecs, 300, year},
		setting{"sessions.idle_secs", p.Sessions.IdleSecs, 60, 30 * day},
		setting{"sessions.absolute_secs", p.Sessions.AbsoluteSecs, 300, year},
		setting{"sessions.max_per_user", p.Sessions.MaxPerUser, 1, 1000},
		// NIST SP 800-63B-4 §3.1.1.2 wants 8 at the very least; a password
		// holds 128 characters at most.
		setting{"passwords.min_length", p.Passwords.MinLength, 8, 64},
		setting{"passwords.min_length_without_mfa", p.Passwords.MinLengthWithoutMFA, 8, 64},
		setting{"passwords.min_score", p.Passwords.MinScore, 0, 4},
		setting{"passwords.history", p.Passwords.History, 0, 24},
		setting{"mfa.grace_secs", p.MFA.GraceSecs, 0, 30 * day},
		setting{"lockout.captcha_after", p.Lockout.CaptchaAfter, 1, 1000},
		setting{"lockout.delay_after", p.Lockout.DelayAfter, 1, 1000},
		setting{"lockout.lock_after", p.Lockout.LockAfter, 1, 1000},
		setting{"lockout.lock_secs", p.Lockout.LockSecs, 1, day},
		setting{"lockout.code_attempts", p.Lockout.CodeAttempts, 1, 1000},
		setting{"lockout.code_window_secs", p.Lockout.CodeWindowSecs, 1, day},
		setting{"anomaly.spray_accounts", p.Anomaly.SprayAccounts, 2, 100_000},
		setting{"anomaly.spray_window_secs", p.Anomaly.SprayWindowSecs, 10, day},
		setting{"anomaly.address_failures", p.Anomaly.AddressFailures, 1, 100_000},
		setting{"anomaly.block_secs", p.Anomaly.BlockSecs, 1, year},
		setting{"audit.retention_days", p.Audit.RetentionDays, 1, 3650},
	)
}

// Validate refuses values outside their ranges, naming each by its path in
// the document. roles lists the roles that exist.
func (p Policy) Validate(roles []string) error {
	var fields []secerr.Field
	for _, s := range p.settings() {
		if s.value < s.min || s.value > s.max {
			fields = append(fields, secerr.Field{Field: s.name, Detail: fmt.Sprintf("Use a whole number from %d to %d.", s.min, s.max)})
		}
	}
	if p.Sessions.IdleSecs > p.Sessions.AbsoluteSecs {
		fields = append(fields, secerr.Field{Field: "sessions.idle_secs", Detail: "A session cannot idle longer than it may last (sessions.absolute_secs)."})
	}
	for i, role := range p.MFA.RequiredRoles {
		if !slices.Contains(roles, role) || slices.Contains(p.MFA.RequiredRoles[:i], role) {
			fields = append(fields, secerr.Field{Field: "mfa.required_roles", Detail: "Name only roles that exist, each once: admin, operator, viewer, user."})
			break
		}
	}
	if fields != nil {
		return secerr.InvalidFields(fields...)
	}
	return nil
}

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
