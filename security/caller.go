package security

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
)

// Request is what is known of a call before anybody is identified. The zero
// value is a command on the host.
type Request struct {
	IP        netip.Addr
	UserAgent string
	ID        string
	Device    secret.Text   // the cookie of the device, if it sent one
	Captcha   CaptchaAnswer // on a sign-in
	Route     string        // method and pattern, never the raw path
	Change    bool          // the method may change something
	Unseen    bool          // not the work of a person: the session goes on idling
}

func (r Request) actor() audit.Actor {
	a := audit.Actor{UserAgent: audit.UserAgent(r.UserAgent), RequestID: r.ID}
	if r.IP.IsValid() {
		a.IPAddress = r.IP.String()
	}
	return a
}

// Caller is one identity: a person in a session, or an API key and its owner.
// A request has exactly one.
type Caller struct {
	Request Request
	User    user.User
	Session session.Session // zero for a key
	Key     *apikey.Key     // nil for a person
	// EnrollmentRequired is set for a person who must enrol a second factor
	// before anything else.
	EnrollmentRequired bool
	// ConsentRequired is set for a person who has not agreed to the notice of now.
	// It holds up the pages and not the API: scripts go on.
	ConsentRequired bool

	grants []rbac.Grant
	scopes []rbac.Scope // nil for a person
}

// Held is what the caller may do now.
func (c Caller) Held() rbac.Held {
	return rbac.Held{Role: rbac.Role(c.User.Role), Grants: c.grants, Scopes: c.scopes}
}

// Reach is how far the caller gets with a permission now.
func (c Caller) Reach(p rbac.Permission) rbac.Reach { return c.Held().Reach(p) }

func (c Caller) actor() audit.Actor {
	a := c.Request.actor()
	a.UserID, a.Email, a.SessionID = c.User.ID, c.User.Email, c.Session.ID
	if c.Key != nil {
		a.APIKeyID = c.Key.ID
	}
	return a
}

func (c Caller) holder() stepup.Holder {
	h := stepup.Holder{UserID: c.User.ID, SessionID: c.Session.ID}
	if c.Key != nil {
		h.APIKeyID = c.Key.ID
	}
	return h
}

// change runs a change of the caller's, provided that the caller is still who
// they were when the request came in. Between the two lies whatever time the
// body took to arrive and the change waited, and in it a sign-out or a lost
// role must count. A change to somebody above them is recorded as denied.
func (s *Service) change(ctx context.Context, c Caller, do func(*db.Tx) error) error {
	err := s.commit(ctx, func(tx *db.Tx) error {
		if err := still(tx, tx.Now(), c); err != nil {
			return err
		}
		return do(tx)
	})
	return s.deniedAbove(ctx, c, err)
}

// still answers secerr.TokenRevoked or secerr.Unauthenticated when the caller's
// session or key does not count any more, and secerr.Forbidden when their role,
// what was granted to them, or what the key is bound to is another.
func still(r db.Reader, now time.Time, c Caller) error {
	u, err := user.ByID(r, c.User.ID)
	if err != nil {
		return absent(err, errRevoked())
	}
	grants, err := grantsOf(r, u.ID)
	if err != nil {
		return err
	}
	if u.Role != c.User.Role || !slices.Equal(grants, c.grants) {
		return secerr.New(secerr.Forbidden, "What you may do has changed in the meantime. Try again.")
	}
	if c.Key != nil {
		key, err := apikey.Again(r, *c.Key)
		if err != nil || !u.Enabled || !key.Usable(now) {
			return absent(err, secerr.New(secerr.Unauthenticated, "This API key is not valid any more."))
		}
		if !slices.Equal(key.Scopes, c.Key.Scopes) || !slices.Equal(key.Networks, c.Key.Networks) {
			return secerr.New(secerr.Forbidden, "What this API key may do has changed in the meantime. Try again.")
		}
		return nil
	}
	found, err := session.ByID(r, c.Session.ID)
	if err != nil || !u.Enabled || !found.Alive(now, 0) || u.MFAEnabled && !found.TwoFactors() {
		return absent(err, errRevoked())
	}
	return nil
}

// Supersede ends the session of a cookie that a new sign-in in the same browser
// takes the place of, so that it does not live on unseen. A cookie that is no
// session is no error.
func (s *Service) Supersede(ctx context.Context, req Request, cookie secret.Text) error {
	if cookie.Empty() {
		return nil
	}
	return s.commit(ctx, func(tx *db.Tx) error {
		old, err := session.BySecret(tx, session.Browser, cookie)
		if secerr.Is(err, secerr.NotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		ended, err := endSession(tx, old.ID, "superseded")
		if err != nil || !ended {
			return err
		}
		actor := req.actor()
		actor.UserID, actor.SessionID = old.UserID, old.ID
		return recordEnded(tx, actor, old.UserID, []string{old.ID}, "superseded")
	})
}

// Authorize checks that the caller has a permission as a whole, or for what is
// their own where it goes so far. A person without it gets secerr.Forbidden, a
// key secerr.InsufficientScope, and the log an event.
func (s *Service) Authorize(ctx context.Context, c Caller, p rbac.Permission) error {
	if reach := c.Reach(p); reach == rbac.All || reach == rbac.Own {
		s.noteScope(ctx, c, p)
		return nil
	}
	return s.lacks(ctx, c, p)
}

// AuthorizeSome is Authorize for what narrows its answer to the single resources
// that were granted.
func (s *Service) AuthorizeSome(ctx context.Context, c Caller, p rbac.Permission) error {
	if c.Reach(p) != rbac.None {
		s.noteScope(ctx, c, p)
		return nil
	}
	return s.lacks(ctx, c, p)
}

// AuthorizeOn is Authorize for one resource. Where the permission was granted for
// others alone, this one is secerr.NotFound, as if it were missing.
func (s *Service) AuthorizeOn(ctx context.Context, c Caller, p rbac.Permission, ids ...string) error {
	switch {
	case c.Reach(p) == rbac.None:
		return s.lacks(ctx, c, p, ids...)
	case c.Reach(p) != rbac.Some, c.Held().Allow(p, ids...):
		return s.AuthorizeSome(ctx, c, p)
	}
	return s.deny(ctx, c, secerr.New(secerr.NotFound, "There is nothing with this id."), audit.Details{"permission": string(p), "resource_id": ids[0]})
}

// lacks refuses who does not have a permission at all, for a resource that is named
// by the first of ids if there is one.
func (s *Service) lacks(ctx context.Context, c Caller, p rbac.Permission, ids ...string) error {
	refusal := secerr.New(secerr.Forbidden, "You may not do this. It needs the permission "+string(p)+".")
	if c.Key != nil {
		refusal = secerr.New(secerr.InsufficientScope, "This API key may not do this. It needs the scope "+string(p)+
			", and its owner the same permission.")
	}
	details := audit.Details{"permission": string(p)}
	if len(ids) > 0 {
		details["resource_id"] = ids[0]
	}
	return s.deny(ctx, c, refusal, details)
}

// noSuchUser refuses a user of whose things the caller may read none, as if they were
// missing.
func (s *Service) noSuchUser(ctx context.Context, c Caller, p rbac.Permission, id string) error {
	return s.deny(ctx, c, secerr.New(secerr.NotFound, "There is no such user."), audit.Details{"permission": string(p), "target_user_id": id})
}

// AuthorizePerson refuses an API key where only a signed-in person may act.
func (s *Service) AuthorizePerson(ctx context.Context, c Caller) error {
	if c.Key == nil {
		return nil
	}
	return s.deny(ctx, c, secerr.New(secerr.InsufficientScope,
		"An API key cannot do this. One's own account belongs to a person who is signed in."), nil)
}

// Deny records a refusal that was decided outside, and returns it.
func (s *Service) Deny(ctx context.Context, c Caller, refusal *secerr.Error) error {
	return s.deny(ctx, c, refusal, nil)
}

// deny records a refusal and returns it. Fails open because there is nothing
// to protect: when the event cannot be written, the caller is refused all the
// same.
func (s *Service) deny(ctx context.Context, c Caller, refusal *secerr.Error, details audit.Details) error {
	err := s.commit(ctx, func(tx *db.Tx) error {
		return audit.Append(tx, denial(c, refusal, details))
	})
	if err != nil {
		s.log.ErrorContext(ctx, "a denied access could not be recorded", "error", err)
	}
	return refusal
}

// maxDenied is how much of each detail a denial keeps, in bytes: longer than an id.
const maxDenied = 100

func denial(c Caller, refusal *secerr.Error, details audit.Details) audit.Event {
	all := audit.Details{"reason": string(refusal.Code), "route": c.Request.Route}
	for name, value := range details {
		if text, ok := value.(string); ok && len(text) > maxDenied {
			// What was asked for may be anything, and too long for an event.
			value = strings.ToValidUTF8(text[:maxDenied], "") + "…"
		}
		all[name] = value
	}
	return audit.Event{Type: audit.AuthorizationFailed, Actor: c.actor(), Details: all}
}

// record writes the event of a change and, when a key made it, that the key
// was used. Of what is recorded and only reads, as an export, noteKeyUse counts
// the use already.
func record(tx *db.Tx, c Caller, t audit.Type, details audit.Details) error {
	return recordAs(tx, c, t, "", details)
}

// recordAs is record with a severity beside the usual one of the type.
func recordAs(tx *db.Tx, c Caller, t audit.Type, severity audit.Severity, details audit.Details) error {
	if err := audit.Append(tx, audit.Event{Type: t, Severity: severity, Success: true, Actor: c.actor(), Details: details}); err != nil {
		return err
	}
	return recordUse(tx, c)
}

// recordUse records that a change was made with a key, if it was.
func recordUse(tx *db.Tx, c Caller) error {
	if c.Key == nil || !c.Request.Change {
		return nil
	}
	_, used := keyUse(c.actor(), c.Request.Route)
	return audit.Append(tx, counted(used, 1))
}
