package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/ratelimit"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/user"
)

// limits are the rate limiters, one for each class of the policy.
type limits struct {
	login           *ratelimit.Limiter
	authenticated   *ratelimit.Limiter
	key             *ratelimit.Limiter
	ofKey           *ratelimit.Individual // those of keys that have one of their own
	unauthenticated *ratelimit.Limiter
	webSocket       *ratelimit.Limiter
}

func newLimits(p policy.RateLimits, now func() time.Time) limits {
	limiter := func(l policy.RateLimit) *ratelimit.Limiter {
		return ratelimit.New(limitOf(l), ratelimit.Options{Now: now})
	}
	return limits{login: limiter(p.Login), authenticated: limiter(p.APIAuthenticated), key: limiter(p.APIKey), ofKey: ratelimit.NewIndividual(ratelimit.Options{Now: now}),
		unauthenticated: limiter(p.APIUnauthenticated), webSocket: limiter(p.WebSocket)}
}

func limitOf(l policy.RateLimit) ratelimit.Limit {
	return ratelimit.Limit{MaxRequests: l.MaxRequests, Burst: l.Burst, Window: time.Duration(l.WindowSecs) * time.Second}
}

func limitOfKey(l apikey.RateLimit) ratelimit.Limit {
	return ratelimit.Limit{MaxRequests: l.MaxRequests, Burst: l.Burst, Window: time.Duration(l.WindowSecs) * time.Second}
}

// tighter is the decision that leaves less.
func tighter(a, b ratelimit.Decision) ratelimit.Decision {
	if b.Tighter(a) {
		return b
	}
	return a
}

// peekKey tells what is left of a key's limits, and counts nothing.
func (l limits) peekKey(id string) ratelimit.Decision {
	d := l.key.PeekKey(id)
	if own, known := l.ofKey.Peek(id); known {
		return tighter(d, own)
	}
	return d
}

// set puts the limits of a policy in force.
func (l limits) set(p policy.RateLimits) {
	l.login.SetLimit(limitOf(p.Login))
	l.authenticated.SetLimit(limitOf(p.APIAuthenticated))
	l.key.SetLimit(limitOf(p.APIKey))
	l.unauthenticated.SetLimit(limitOf(p.APIUnauthenticated))
	l.webSocket.SetLimit(limitOf(p.WebSocket))
}

func (l limits) sweep() {
	for _, limiter := range []*ratelimit.Limiter{l.login, l.authenticated, l.key, l.unauthenticated, l.webSocket} {
		limiter.Sweep()
	}
	l.ofKey.Sweep()
}

// LimitUnauthenticated counts a request without identity by its address. With
// a decision that does not allow it comes secerr.RateLimited. The limits are
// those of the policy in force.
func (s *Service) LimitUnauthenticated(ctx context.Context, req Request) (ratelimit.Decision, error) {
	if err := s.fresh(ctx); err != nil {
		return ratelimit.Decision{}, err
	}
	d := s.limits.unauthenticated.CheckIP(req.IP)
	return d, s.tooMany(ctx, d, req.actor(), req.Route)
}

// LimitCaller counts a request by whom it is of: the key, or the person. A key that
// has a limit of its own is counted there too: in both, or when one of them is
// used up, in neither. The decision is the tighter of the two.
func (s *Service) LimitCaller(ctx context.Context, c Caller) (ratelimit.Decision, error) {
	return s.countCaller(ctx, c, s.limits.key, s.limits.authenticated)
}

// LimitWebSocket counts the opening of a live connection by whom it is of, as
// LimitCaller does.
func (s *Service) LimitWebSocket(ctx context.Context, c Caller) (ratelimit.Decision, error) {
	return s.countCaller(ctx, c, s.limits.webSocket, s.limits.webSocket)
}

func (s *Service) countCaller(ctx context.Context, c Caller, keys, people *ratelimit.Limiter) (ratelimit.Decision, error) {
	var d ratelimit.Decision
	switch {
	case c.Key == nil:
		d = people.CheckUser(c.User.ID)
	case c.Key.RateLimit == nil:
		d = keys.CheckKey(c.Key.ID)
	default:
		_, both := ratelimit.All(keys.Key(c.Key.ID), s.limits.ofKey.Bucket(c.Key.ID, limitOfKey(*c.Key.RateLimit)))
		d = tighter(both[0], both[1])
	}
	return d, s.tooMany(ctx, d, c.actor(), c.Request.Route)
}

// PeekLogin tells what is left of the sign-ins of an address, and counts
// nothing.
func (s *Service) PeekLogin(req Request) ratelimit.Decision { return s.limits.login.PeekIP(req.IP) }

// LimitLogin counts an attempt to sign in by its address and by the account,
// whether there is one or not: in both, or when one of them is used up, in
// neither. A device that signed in to the account before is counted beside it,
// by itself. The decision is the tighter of the two.
func (s *Service) LimitLogin(ctx context.Context, req Request, email string) (ratelimit.Decision, error) {
	if err := s.fresh(ctx); err != nil {
		return ratelimit.Decision{}, err
	}
	if canonical, err := user.CanonicalEmail(email); err == nil {
		email = canonical
	}
	account := email
	known, err := s.knownDevice(s.db.Read(ctx), req, email)
	if err != nil {
		return ratelimit.Decision{}, err
	}
	if known { // strangers do not use up what it has
		account += "\x00" + string(req.Device.Hash())
	}
	_, both := ratelimit.All(s.limits.login.IP(req.IP), s.limits.login.User(account))
	d := tighter(both[0], both[1])
	if !d.Allowed {
		s.suspectFailure(ctx, req, email, false)
	}
	return d, s.tooMany(ctx, d, req.actor(), req.Route)
}

func (s *Service) tooMany(ctx context.Context, d ratelimit.Decision, actor audit.Actor, route string) error {
	if d.Allowed {
		return nil
	}
	s.noteRefusal(ctx, audit.AuthorizationFailed, actor, route, string(secerr.RateLimited))
	return &secerr.Error{Code: secerr.RateLimited, RetryAfter: d.RetryAfter, Detail: "There were too many requests. Wait before the next one."}
}
