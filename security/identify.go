package security

import (
	"context"
	"crypto/sha256"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// seenInterval is how exactly the last use of a session or key is kept: a
// write a minute instead of one a request.
const seenInterval = time.Minute

// IdentifyCookie returns the person whose browser holds the cookie, or
// secerr.Unauthenticated.
func (s *Service) IdentifyCookie(ctx context.Context, req Request, cookie secret.Text) (Caller, error) {
	if err := s.fresh(ctx); err != nil {
		return Caller{}, err
	}
	hash := sha256.Sum256([]byte(cookie.Reveal()))
	read := func() (session.Session, error) {
		return full(session.BySecret(s.db.Read(ctx), session.Browser, cookie))
	}
	found, err := s.memory.cookies.get(hash, s.now(), read)
	if err == nil && !found.Alive(s.now(), s.Policy().Sessions.Idle()) {
		found, err = read() // another server may have seen it since
	}
	if err != nil {
		return Caller{}, absent(err, secerr.New(secerr.Unauthenticated, "You are not signed in."))
	}
	if !found.Alive(s.now(), s.Policy().Sessions.Idle()) {
		return Caller{}, secerr.New(secerr.Unauthenticated, "Your session has ended. Sign in again.")
	}
	if !req.Unseen && s.touch(ctx, found) {
		s.memory.cookies.change(hash, s.seenNow)
	}
	return s.person(ctx, req, found)
}

// IdentifyBearer returns whom an Authorization header stands for: a person
// with an access token or an API key. It returns secerr.Unauthenticated,
// secerr.TokenExpired, secerr.TokenRevoked, or secerr.Forbidden for a key that
// is used from outside of its networks.
func (s *Service) IdentifyBearer(ctx context.Context, req Request, bearer secret.Text) (Caller, error) {
	if apikey.Looks(bearer.Reveal()) {
		return s.VerifyKey(ctx, req, bearer)
	}
	if err := s.fresh(ctx); err != nil {
		return Caller{}, err
	}
	claims, err := s.tokens.Verify(bearer)
	if err != nil {
		return Caller{}, err
	}
	if s.memory.revoked.Revoked(revocation.Holder{TokenID: claims.ID, SessionID: claims.SessionID, UserID: claims.UserID, Generation: claims.Generation}) {
		return Caller{}, errRevoked()
	}
	found, err := s.sessionNow(ctx, claims.SessionID)
	if err != nil {
		return Caller{}, absent(err, errRevoked())
	}
	if found.UserID != claims.UserID || found.Kind != session.API || !found.Alive(s.now(), 0) {
		return Caller{}, errRevoked()
	}
	if !req.Unseen && s.touch(ctx, found) {
		s.memory.sessions.change(found.ID, s.seenNow)
	}
	return s.person(ctx, req, found)
}

func errRevoked() *secerr.Error {
	return secerr.New(secerr.TokenRevoked, "The session of this token has ended. Sign in again.")
}

// person completes the identity of a live session. Role and state are those of
// now, whatever a token says.
func (s *Service) person(ctx context.Context, req Request, found session.Session) (Caller, error) {
	u, err := s.userNow(ctx, found.UserID)
	// Where there is a second factor, a session of the password alone is from
	// before it, and no identity.
	if err != nil || !u.Enabled || u.MFAEnabled && !found.TwoFactors() {
		return Caller{}, absent(err, secerr.New(secerr.Unauthenticated, "Your session has ended. Sign in again."))
	}
	grants, err := s.grantsNow(ctx, u.ID)
	if err != nil {
		return Caller{}, err
	}
	return Caller{Request: req, User: u, Session: found, grants: grants, EnrollmentRequired: s.enrollmentRequired(u),
		ConsentRequired: u.AcceptedNotice < s.memory.notice.Load()}, nil
}

// touch keeps the time of the last use and reports whether it wrote it. A
// failure only makes the session idle sooner, so the request goes on.
func (s *Service) touch(ctx context.Context, found session.Session) bool {
	interval := min(seenInterval, s.Policy().Sessions.Idle()/4)
	if s.now().Sub(found.LastSeenAt) < interval {
		return false
	}
	if err := s.commit(ctx, func(tx *db.Tx) error { return session.Touch(tx, found.ID) }); err != nil {
		s.log.WarnContext(ctx, "the last use of a session could not be kept", "error", err)
		return false
	}
	return true
}

// seenNow notes in memory what touch has written.
func (s *Service) seenNow(kept *session.Session) { kept.LastSeenAt = s.now() }

// VerifyKey returns whom an API key stands for: its owner, with no more than its
// scopes and the owner's permissions of now have in common. It returns
// secerr.Unauthenticated for a key that is not there or does not work, one of
// somebody who is disabled too, and secerr.Forbidden for one that is used from
// outside of its networks. The use is noted.
func (s *Service) VerifyKey(ctx context.Context, req Request, bearer secret.Text) (Caller, error) {
	if err := s.fresh(ctx); err != nil {
		return Caller{}, err
	}
	refusal := secerr.New(secerr.Unauthenticated, "This API key is not valid: it was mistyped, revoked or has expired.")
	if !apikey.Looks(bearer.Reveal()) {
		return Caller{}, refusal
	}
	hash := sha256.Sum256([]byte(bearer.Reveal()))
	key, err := s.memory.keys.get(hash, s.now(), func() (apikey.Key, error) { return apikey.BySecret(s.db.Read(ctx), bearer) })
	if err != nil {
		return Caller{}, absent(err, refusal)
	}
	if !key.Usable(s.now()) {
		return Caller{}, refusal
	}
	owner, err := s.userNow(ctx, key.UserID)
	if err != nil || !owner.Enabled {
		return Caller{}, absent(err, refusal)
	}
	grants, err := s.grantsNow(ctx, owner.ID)
	if err != nil {
		return Caller{}, err
	}
	c := Caller{Request: req, User: owner, Key: &key, grants: grants, scopes: make([]rbac.Scope, 0, len(key.Scopes))}
	for _, scope := range key.Scopes {
		c.scopes = append(c.scopes, rbac.Scope(scope))
	}
	if !key.From(req.IP) {
		// Counted, since no limit stands before it: whoever has such a key could fill
		// the log.
		s.noteRefusal(ctx, audit.AuthorizationFailed, c.actor(), req.Route, "network_not_allowed")
		return Caller{}, secerr.New(secerr.Forbidden, "This API key may not be used from this address.")
	}
	if req.Unseen {
		return c, nil
	}
	noted, err := s.noteKeyUse(ctx, c)
	if noted {
		s.memory.keys.change(hash, func(kept *apikey.Key) {
			now := s.now()
			kept.LastUsedAt, kept.LastUsedIP = &now, c.actor().IPAddress
		})
	}
	return c, err
}

// absent answers an identity that is not there with a refusal and passes any
// other cause on.
func absent(err error, refusal *secerr.Error) error {
	if err == nil || secerr.Is(err, secerr.NotFound) {
		return refusal
	}
	return err
}
