package handlers

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/views"
)

// enrollLinkPath is where a link leads that stands in for a second factor.
const enrollLinkPath = "/login/enroll"

// isEnrollLink reports whether a sign-in was begun to use such a link.
func isEnrollLink(next string) bool { return strings.HasPrefix(next, enrollLinkPath+"?") }

// pageEnrollLink asks whether to use the link up, of who has given their password;
// others give it first.
func (s *Server) pageEnrollLink(c echo.Context) error {
	ctx, token := c.Request().Context(), c.QueryParam("token")
	u, err := s.service.CheckEnrolmentLink(ctx, secret.NewText(token))
	if secerr.Is(err, secerr.NotFound) {
		return s.renderEnrollLinkOver(c)
	}
	if err != nil {
		return err
	}
	if in, err := s.isSignedIn(c); err != nil || in {
		return goTo(c, "/account/mfa", err)
	}
	awaits, err := s.service.AwaitsSecondFactor(ctx, session.Browser, s.cookie(c), u.ID)
	if err != nil {
		return err
	}
	if !awaits {
		return c.Redirect(http.StatusSeeOther, toEnrollLink(token))
	}
	return s.render(c, http.StatusOK, views.EnrollLink(views.EnrollLinkProps{Page: s.page(c, "Set up a new second factor", ""), Token: token, Email: u.Email}))
}

// toEnrollLink is the way to the link over the sign-in.
func toEnrollLink(token string) string {
	return withNext("/login", enrollLinkPath+"?token="+url.QueryEscape(token))
}

// submitEnrollLink uses the link up and goes on to the new second factor.
func (s *Server) submitEnrollLink(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	token := form.One("token")
	in, err := s.service.EnrolByLink(c.Request().Context(), s.request(c), session.Browser, s.cookie(c), secret.NewText(token))
	switch {
	case secerr.Is(err, secerr.NotFound):
		return s.renderEnrollLinkOver(c)
	case secerr.Is(err, secerr.Unauthenticated): // it took longer than five minutes
		return c.Redirect(http.StatusSeeOther, toEnrollLink(token))
	case err != nil:
		return err
	}
	return s.signedIn(c, in, "/account/mfa")
}

// renderEnrollLinkOver says what to do when the link is not good any more.
func (s *Server) renderEnrollLinkOver(c echo.Context) error {
	return s.render(c, http.StatusNotFound, views.EnrollLink(views.EnrollLinkProps{Page: s.page(c, "Set up a new second factor", ""), Invalid: true}))
}
