package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/views"
)

// pageSetPassword shows the form behind a one-time link. To look at it does
// not use the link up.
func (s *Server) pageSetPassword(c echo.Context) error {
	token := c.QueryParam("token")
	u, err := s.service.CheckLink(c.Request().Context(), secret.NewText(token))
	page := s.page(c, "Set your password", "")
	if secerr.Is(err, secerr.NotFound) {
		return s.render(c, http.StatusNotFound, views.SetPassword(views.SetPasswordProps{Page: page, Invalid: true}))
	}
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, views.SetPassword(views.SetPasswordProps{Page: page, Token: token, Email: u.Email,
		Rules: s.passwordRules(u.MFAEnabled)}))
}

// submitSetPassword uses the link up.
func (s *Server) submitSetPassword(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	token := secret.NewText(form.One("token"))
	if err = newPasswordForm(form); err == nil {
		err = s.service.SetPasswordByLink(c.Request().Context(), s.request(c), token, secret.NewText(form.One("password")))
		if err == nil {
			return c.Redirect(http.StatusSeeOther, "/login?done=password-set")
		}
	}
	page := s.page(c, "Set your password", "")
	u, linkErr := s.service.CheckLink(c.Request().Context(), token)
	if secerr.Is(linkErr, secerr.NotFound) {
		return s.render(c, http.StatusNotFound, views.SetPassword(views.SetPasswordProps{Page: page, Invalid: true}))
	}
	status, err := s.formProblem(c, &page, err)
	if err != nil {
		return err
	}
	return s.render(c, status, views.SetPassword(views.SetPasswordProps{Page: page, Token: token.Reveal(), Email: u.Email,
		Rules: s.passwordRules(u.MFAEnabled)}))
}
