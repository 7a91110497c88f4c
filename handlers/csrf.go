package handlers

import (
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

const (
	// csrfField is the hidden field of every form.
	csrfField = "csrf_token"

	csrfPurpose = "csrf"

	// csrfRandomBytes make each token a new one. A page that showed the same
	// secret every time could have it guessed from the length of its
	// compressed answers (BREACH).
	csrfRandomBytes = 16

	// formCookieBytes is the 128 bits that an identifier must have so that it
	// cannot be guessed (ASVS 5.0 7.2.3).
	formCookieBytes = 16

	formCookieKey = "form_cookie"
)

var errCSRF = secerr.New(secerr.CSRFFailed,
	"This form was open too long or came from another site. Go back, reload the page and try again.")

// csrf protects forms twice over: the browser's own word on where the request
// comes from, and a token bound to the browser's session or, before there is
// one, to a cookie of its own, so that signing in is protected as well.
//
// It is stricter than net/http.CrossOriginProtection, which lets through a
// request with neither Sec-Fetch-Site nor Origin, and compares the origin
// with a Host that a proxy may have changed.
type csrf struct {
	mac    func(purpose string, data ...[]byte) []byte
	random io.Reader
	own    Site
}

// newCSRF takes a MAC that keeps its purposes and the borders of its data
// apart, and a random source that is safe for concurrent use.
func newCSRF(mac func(purpose string, data ...[]byte) []byte, random io.Reader, own Site) csrf {
	return csrf{mac: mac, random: random, own: own}
}

// token is base64url(random ‖ MAC("csrf", random, binding)), a new one at each
// call.
func (p csrf) token(binding string) (string, error) {
	token := make([]byte, csrfRandomBytes)
	if _, err := io.ReadFull(p.random, token); err != nil {
		return "", fmt.Errorf("CSRF token: %w", err)
	}
	token = append(token, p.mac(csrfPurpose, token, []byte(binding))...)
	return base64.RawURLEncoding.EncodeToString(token), nil
}

// valid reports whether token was made for binding, in time that tells nothing
// about the right one.
func (p csrf) valid(token, binding string) bool {
	raw, ok := fromBase64(token)
	if !ok || len(raw) < csrfRandomBytes || binding == "" {
		return false
	}
	return hmac.Equal(raw[csrfRandomBytes:], p.mac(csrfPurpose, raw[:csrfRandomBytes], []byte(binding)))
}

// checkOrigin refuses a request that a browser says comes from elsewhere. Each
// header that is there must speak for us: a Sec-Fetch-Site of same-origin or
// none (same-site is another program on a neighbouring name), an Origin that
// is ours. "Origin: null" is what a page under no-referrer sends, and a
// sandboxed frame of anybody, so it counts only beside same-origin. A request
// with neither header is left to the token.
func (p csrf) checkOrigin(r *http.Request) error {
	sites, origins := r.Header.Values("Sec-Fetch-Site"), r.Header.Values("Origin")
	if len(sites) > 1 || len(origins) > 1 {
		return errors.New("repeated Origin or Sec-Fetch-Site")
	}
	from := r.Header.Get("Sec-Fetch-Site")
	if from != "" && from != "same-origin" && from != "none" {
		return errors.New("Sec-Fetch-Site is of another site")
	}
	if len(origins) == 0 || p.own.ownOrigin(origins[0], r) || origins[0] == "null" && from == "same-origin" {
		return nil
	}
	return errors.New("Origin is not ours")
}

// cookieName binds the cookie to this host and to https where there is https
// (RFC 6265bis §4.1.3.2).
func (p csrf) cookieName() string {
	if p.own.https {
		return "__Host-patronus-form"
	}
	return "patronus-form"
}

// formCookie is the value of the cookie that forms are bound to before there
// is a session, "" when the browser sent none that we could have made.
func (p csrf) formCookie(c echo.Context) string {
	if value, ok := c.Get(formCookieKey).(string); ok {
		return value
	}
	cookie, err := c.Cookie(p.cookieName())
	if err != nil {
		return ""
	}
	raw, ok := fromBase64(cookie.Value)
	if !ok || len(raw) != formCookieBytes {
		return ""
	}
	return cookie.Value
}

// ensureFormCookie is formCookie, set anew when there is none. The browser
// forgets it when it closes.
func (p csrf) ensureFormCookie(c echo.Context) (string, error) {
	if value := p.formCookie(c); value != "" {
		return value, nil
	}
	raw := make([]byte, formCookieBytes)
	if _, err := io.ReadFull(p.random, raw); err != nil {
		return "", fmt.Errorf("form cookie: %w", err)
	}
	value := base64.RawURLEncoding.EncodeToString(raw)
	c.SetCookie(&http.Cookie{Name: p.cookieName(), Value: value, Path: "/",
		HttpOnly: true, Secure: p.own.https, SameSite: http.SameSiteLaxMode})
	c.Set(formCookieKey, value)
	return value, nil
}

// Bindings of the two kinds can never be the same text.
func sessionBinding(cookie string) string { return "session:" + cookie }
func formBinding(cookie string) string    { return "form:" + cookie }

// formToken is the token for the forms of the page that answers c. It is empty
// when there is no randomness to be had; such a form is refused when it is
// sent.
func (s *Server) formToken(c echo.Context) string {
	binding := ""
	if cookie := s.cookie(c); !cookie.Empty() {
		binding = sessionBinding(cookie.Reveal())
	} else if value, err := s.csrf.ensureFormCookie(c); err == nil {
		binding = formBinding(value)
	}
	token, err := s.csrf.token(binding)
	if err != nil || binding == "" {
		s.log.ErrorContext(c.Request().Context(), "no token for the forms of a page", "error", err)
		return ""
	}
	return token
}

// checkForm refuses a form that was not sent from one of our pages by the
// browser that it was shown to, with csrf_failed. What parseForm refuses, it
// refuses the same way.
func (s *Server) checkForm(c echo.Context) error {
	if err := s.csrf.checkOrigin(c.Request()); err != nil {
		return secerr.Wrap(errCSRF.Code, errCSRF.Detail, err)
	}
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	binding := ""
	if cookie := s.cookie(c); !cookie.Empty() {
		binding = sessionBinding(cookie.Reveal())
	} else if value := s.csrf.formCookie(c); value != "" {
		binding = formBinding(value)
	}
	if !s.csrf.valid(form.One(csrfField), binding) {
		return secerr.Wrap(errCSRF.Code, errCSRF.Detail, errors.New("the token is not of this browser"))
	}
	return nil
}
