// Package policy holds the security settings that an admin may change while
// the program runs: their names, defaults, ranges and storage.
package policy

import (
	"slices"
	"time"
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

func seconds(n int64) time.Duration { return time.Duration(n) * time.Second }
