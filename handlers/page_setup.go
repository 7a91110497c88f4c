package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/views"
)

// pageSetup shows the form that creates the first admin.
func (s *Server) pageSetup(c echo.Context) error {
	token := c.QueryParam("token")
	err := s.service.CheckSetup(c.Request().Context(), secret.NewText(token))
	if secerr.Is(err, secerr.NotFound) {
		return s.renderSetupOver(c)
	}
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, views.Setup(views.SetupProps{Page: s.page(c, "Welcome", ""), Token: token,
		Rules: s.passwordRules(false)}))
}

// submitSetup creates the admin and goes on to the second factor.
func (s *Server) submitSetup(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	token, email, pw := form.One("token"), form.One("email"), form.One("password")
	if err = newPasswordForm(form, field{"email", email}); err == nil {
		var in security.SignIn
		in, err = s.service.Setup(c.Request().Context(), s.request(c), secret.NewText(token), email, secret.NewText(pw))
		if err == nil {
			return s.signedIn(c, in, "/")
		}
	}
	if secerr.Is(err, secerr.NotFound) {
		return s.renderSetupOver(c)
	}
	page := s.page(c, "Welcome", "")
	status, err := s.formProblem(c, &page, err)
	if err != nil {
		return err
	}
	return s.render(c, status, views.Setup(views.SetupProps{Page: page, Token: token, Email: email,
		Rules: s.passwordRules(false)}))
}

// renderSetupOver says what to do when the link is not good any more.
func (s *Server) renderSetupOver(c echo.Context) error {
	return s.render(c, http.StatusNotFound, views.Setup(views.SetupProps{Page: s.page(c, "Welcome", ""), Invalid: true}))
}

// passwordRules is what a page says of a new password while it is typed. The
// script there reads the address from its form.
func (s *Server) passwordRules(mfaEnabled bool) views.PasswordRules {
	r := s.service.PasswordRules("", mfaEnabled)
	return views.PasswordRules{MinLength: r.MinLength, MinScore: r.MinScore, RequireClasses: r.RequireClasses, Product: r.Product}
}

// newPasswordForm checks that a new password was typed twice alike; a slip is
// found here, before it locks its owner out.
func newPasswordForm(form formValues, others ...field) error {
	if err := required(append(others, field{"password", form.One("password")})...); err != nil {
		return err
	}
	if form.One("password") != form.One("password_confirm") {
		return secerr.Invalid("password_confirm", "The two passwords are not the same.")
	}
	return nil
}
