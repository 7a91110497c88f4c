package handlers

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

const callerKey = "caller"

// showNothing are the addresses of the pages' own requests and of files, which show
// nothing.
var showNothing = []string{alivePath, exportPath, ownExportPath, userExportPath}

// caller is the identity of the request. Routes that are public have none.
func caller(c echo.Context) security.Caller {
	found, _ := c.Get(callerKey).(security.Caller)
	return found
}

// request is what package security is told of the call.
func (s *Server) request(c echo.Context) security.Request {
	method := c.Request().Method
	return security.Request{IP: ClientIP(c), UserAgent: c.Request().UserAgent(), ID: RequestIDFrom(c.Request().Context()), Device: s.device.read(c),
		Route: method + " " + c.Path(), Change: method != http.MethodGet && method != http.MethodHead, Unseen: c.Path() == alivePath}
}

// guardAPI lets a call through to its handler when the bearer may make it.
func (s *Server) guardAPI(r route) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := refuseKeyInQuery(c.Request().URL); err != nil {
			return s.limitStranger(c, err)
		}
		if r.access == public {
			if err := s.limitPublic(c, r); err != nil {
				return err
			}
			return r.handle(c)
		}
		token, err := bearer(c.Request().Header)
		if err != nil {
			return s.limitStranger(c, err)
		}
		who, err := s.service.IdentifyBearer(c.Request().Context(), s.request(c), token)
		if err != nil {
			return s.limitStranger(c, err)
		}
		c.Set(callerKey, who)
		if err := s.limitCaller(c, r, who); err != nil {
			return err
		}
		if who.EnrollmentRequired && !r.duringEnrollment {
			return s.service.Deny(c.Request().Context(), who, secerr.New(secerr.MFAEnrollmentRequired,
				"Your account must have a second factor. Enrol one with POST /api/v1/mfa/totp first."))
		}
		return s.enter(c, r, who)
	}
}

// guardPage does the same for a browser: it checks the form's token first, and
// sends who is not signed in to the sign-in page.
func (s *Server) guardPage(r route) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := refuseKeyInQuery(c.Request().URL); err != nil {
			return s.limitStranger(c, err)
		}
		if r.access == public {
			if err := s.limitPublic(c, r); err != nil {
				return err
			}
		}
		if r.method != http.MethodGet {
			if err := s.checkForm(c); err != nil {
				return s.forged(c, r, err)
			}
		}
		if r.access == public {
			return r.handle(c)
		}
		who, err := s.service.IdentifyCookie(c.Request().Context(), s.request(c), s.cookie(c))
		if secerr.Is(err, secerr.Unauthenticated) {
			if r.method != http.MethodGet {
				if tooMany := s.limitStranger(c, err); !secerr.Is(tooMany, secerr.Unauthenticated) {
					return tooMany
				}
			}
			return c.Redirect(http.StatusSeeOther, loginURL(c.Request()))
		}
		if err != nil {
			return err
		}
		c.Set(callerKey, who)
		if err := s.limitCaller(c, r, who); err != nil {
			return err
		}
		if who.EnrollmentRequired && !r.duringEnrollment {
			return c.Redirect(http.StatusSeeOther, "/account/mfa")
		}
		if who.ConsentRequired && heldUp(r) {
			return c.Redirect(http.StatusSeeOther, noticeURL(c.Request()))
		}
		if who.Session.NewDevice && c.Request().Method == http.MethodGet && !slices.Contains(showNothing, r.path) {
			s.service.NewDeviceShown(c.Request().Context(), who, s.cookie(c)) // whichever page this is
		}
		return s.enter(c, r, who)
	}
}

// forged records a form without its token that came with somebody's cookie:
// somebody else may have made their browser send it.
func (s *Server) forged(c echo.Context, r route, err error) error {
	refusal := asRefusal(err)
	if refusal.Code != secerr.CSRFFailed {
		return err
	}
	if r.access == public { // it was counted
		return err
	}
	ctx := c.Request().Context()
	who, identityErr := s.service.IdentifyCookie(ctx, s.request(c), s.cookie(c))
	if identityErr != nil {
		return s.limitStranger(c, err)
	}
	if err := s.limitCaller(c, r, who); err != nil {
		return err
	}
	return s.service.Deny(ctx, who, refusal)
}

// enter checks the permission of a route and hands over to it.
func (s *Server) enter(c echo.Context, r route, who security.Caller) error {
	ctx := c.Request().Context()
	var err error
	switch {
	case strings.Contains(r.path, "/:id") && c.Param("id") == "":
		// An empty one would stand for everybody in some operations.
		return echo.ErrNotFound
	case r.access == permitted && strings.Contains(r.path, "/:id"):
		err = s.service.AuthorizeOn(ctx, who, r.permission, c.Param("id"))
	case r.access == permitted:
		err = s.service.Authorize(ctx, who, r.permission)
	case r.access == inPart, r.access == ownOr && who.Key != nil:
		err = s.service.AuthorizeSome(ctx, who, r.permission)
	case r.access == person:
		err = s.service.AuthorizePerson(ctx, who)
	}
	if err != nil {
		return err
	}
	return r.handle(c)
}

// loginURL leads to the sign-in page and from there back to what was asked
// for. Only a GET can be repeated.
func loginURL(r *http.Request) string {
	if r.Method != http.MethodGet {
		return "/login"
	}
	return "/login?next=" + url.QueryEscape(r.URL.RequestURI())
}

// bearer reads the one Authorization header (RFC 6750 §2.1).
func bearer(h http.Header) (secret.Text, error) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return secret.Text{}, secerr.New(secerr.Unauthenticated, "Sign in: send an access token or an API key as Authorization: Bearer.")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return secret.Text{}, secerr.New(secerr.Unauthenticated, "Send one header Authorization: Bearer with an access token or an API key.")
	}
	return secret.NewText(token), nil
}

// refuseKeyInQuery refuses a key where it would end in logs and histories.
func refuseKeyInQuery(u *url.URL) error {
	if !strings.Contains(u.RawQuery, apikey.Prefix) {
		return nil
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return secerr.Wrap(secerr.BadRequest, "The query of the address is malformed.", errors.New("malformed query"))
	}
	for _, list := range values {
		for _, value := range list {
			if apikey.Looks(value) {
				return secerr.New(secerr.BadRequest, "Never put an API key into an address: it ends in logs. Send it as Authorization: Bearer, and revoke this one.")
			}
		}
	}
	return nil
}
