package handlers

import (
	"net/http"

	"github.com/gorilla/sessions"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secret"
)

// sessionStore implements sessions.Store over the sessions table: the cookie
// holds an opaque random id and nothing else, and everything known of the
// session stays on the server. The id is the secret that package security
// made; whether it is good is asked of package security with every request.
type sessionStore struct {
	secure bool
}

// cookieName binds the cookie to this host and to https where there is https
// (RFC 6265bis §4.1.3.2).
func (st sessionStore) cookieName() string {
	if st.secure {
		return "__Host-patronus"
	}
	return "patronus"
}

// Get implements sessions.Store.
func (st sessionStore) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(st, name)
}

// New implements sessions.Store: the session of the request's cookie, or a new
// one without an id.
func (st sessionStore) New(r *http.Request, name string) (*sessions.Session, error) {
	session := sessions.NewSession(st, name)
	session.IsNew = true
	// The browser forgets the cookie when it closes; how long the session
	// lasts at most is decided by the server.
	session.Options = &sessions.Options{Path: "/", HttpOnly: true, Secure: st.secure, SameSite: http.SameSiteLaxMode}
	if cookie, err := r.Cookie(name); err == nil && cookie.Value != "" {
		session.ID, session.IsNew = cookie.Value, false
	}
	return session, nil
}

// Save implements sessions.Store: it sends the cookie, or removes it when
// MaxAge is negative.
func (st sessionStore) Save(_ *http.Request, w http.ResponseWriter, session *sessions.Session) error {
	http.SetCookie(w, sessions.NewCookie(session.Name(), session.ID, session.Options))
	return nil
}

// cookie is the value of the session cookie, empty without one or beside a
// bearer.
func (s *Server) cookie(c echo.Context) secret.Text {
	if hasBearer(c.Request()) {
		return secret.Text{}
	}
	session, err := s.sessions.Get(c.Request(), s.sessions.cookieName())
	if err != nil {
		return secret.Text{}
	}
	return secret.NewText(session.ID)
}

// setCookie hands the browser the secret of its new session.
func (s *Server) setCookie(c echo.Context, token secret.Text) error {
	session, err := s.sessions.Get(c.Request(), s.sessions.cookieName())
	if err != nil {
		return err
	}
	session.ID = token.Reveal()
	return session.Save(c.Request(), c.Response())
}

// dropCookie makes the browser forget its session, and whatever it has stored
// of these pages.
func (s *Server) dropCookie(c echo.Context) error {
	session, err := s.sessions.Get(c.Request(), s.sessions.cookieName())
	if err != nil {
		return err
	}
	session.ID, session.Options.MaxAge = "", -1
	c.Response().Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return session.Save(c.Request(), c.Response())
}
