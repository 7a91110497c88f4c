package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// seenInterval is how exactly the last use of a session or key is kept: a
// write a minute instead of one a request.
const seenInterval = time.Minute

// IdentifyCookie returns the person whose browser holds the cookie, or
// secerr.Unauthenticated.
func (s *Service) IdentifyCookie(ctx context.Context, req Request, cookie secret.Text) (Caller, error) {
	found, err := session.BySecret(s.db.Read(ctx), session.Browser, cookie)
	if err != nil {
		return Caller{}, absent(err, secerr.New(secerr.Unauthenticated, "You are not signed in."))
	}
	if found.Stage != session.Full || !found.Alive(s.now(), s.Policy().Sessions.Idle()) {
		return Caller{}, secerr.New(secerr.Unauthenticated, "Your session has ended. Sign in again.")
	}
	return s.person(ctx, req, found)
}

// IdentifyBearer returns whom an Authorization header stands for: a person
// with an access token or an API key. It returns secerr.Unauthenticated,
// secerr.TokenExpired, secerr.TokenRevoked, or secerr.Forbidden for a key that
// is used from outside of its networks.
func (s *Service) IdentifyBearer(ctx context.Context, req Request, bearer secret.Text) (Caller, error) {
	if apikey.Looks(bearer.Reveal()) {
		return s.identifyKey(ctx, req, bearer)
	}
	claims, err := s.tokens.Verify(bearer)
	if err != nil {
		return Caller{}, err
	}
	found, err := session.ByID(s.db.Read(ctx), claims.SessionID)
	if err != nil {
		return Caller{}, absent(err, errRevoked())
	}
	if found.UserID != claims.UserID || found.Kind != session.API || found.Stage != session.Full || !found.Alive(s.now(), 0) {
		return Caller{}, errRevoked()
	}
	return s.person(ctx, req, found)
}

func errRevoked() *secerr.Error {
	return secerr.New(secerr.TokenRevoked, "The session of this token has ended. Sign in again.")
}

// person completes the identity of a live session. Role and state are those of
// now, whatever a token says.
func (s *Service) person(ctx context.Context, req Request, found session.Session) (Caller, error) {
	u, err := user.ByID(s.db.Read(ctx), found.UserID)
	// Where there is a second factor, a session of the password alone is from
	// before it, and no identity.
	if err != nil || !u.Enabled || u.MFAEnabled && !found.TwoFactors() {
		return Caller{}, absent(err, secerr.New(secerr.Unauthenticated, "Your session has ended. Sign in again."))
	}
	s.touch(ctx, found)
	return Caller{Request: req, User: u, Session: found, EnrollmentRequired: s.enrollmentRequired(u)}, nil
}

// touch keeps the time of the last use. A failure only makes the session idle
// sooner, so the request goes on.
func (s *Service) touch(ctx context.Context, found session.Session) {
	interval := min(seenInterval, s.Policy().Sessions.Idle()/4)
	if s.now().Sub(found.LastSeenAt) < interval {
		return
	}
	if err := s.db.Write(ctx, func(tx *db.Tx) error { return session.Touch(tx, found.ID) }); err != nil {
		s.log.WarnContext(ctx, "the last use of a session could not be kept", "error", err)
	}
}

func (s *Service) identifyKey(ctx context.Context, req Request, bearer secret.Text) (Caller, error) {
	refusal := secerr.New(secerr.Unauthenticated, "This API key is not valid: it was mistyped, revoked or has expired.")
	key, err := apikey.BySecret(s.db.Read(ctx), bearer)
	if err != nil {
		return Caller{}, absent(err, refusal)
	}
	if !key.Usable(s.now()) {
		return Caller{}, refusal
	}
	owner, err := user.ByID(s.db.Read(ctx), key.UserID)
	if err != nil || !owner.Enabled {
		return Caller{}, absent(err, refusal)
	}
	c := Caller{Request: req, User: owner, Key: &key, scopes: make([]rbac.Scope, 0, len(key.Scopes))}
	for _, scope := range key.Scopes {
		c.scopes = append(c.scopes, rbac.Scope(scope))
	}
	if !key.From(req.IP) {
		return Caller{}, s.deny(ctx, c, secerr.New(secerr.Forbidden, "This API key may not be used from this address."),
			audit.Details{"networks": key.Networks})
	}
	return c, s.noteKeyUse(ctx, c)
}

// absent answers an identity that is not there with a refusal and passes any
// other cause on.
func absent(err error, refusal *secerr.Error) error {
	if err == nil || secerr.Is(err, secerr.NotFound) {
		return refusal
	}
	return err
}
