package handlers

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/views"
)

// pageLogin shows the sign-in form. Who is signed in goes on.
func (s *Server) pageLogin(c echo.Context) error {
	next := safeNext(c.QueryParam("next"))
	if in, err := s.isSignedIn(c); err != nil || in {
		return goTo(c, next, err)
	}
	page := s.page(c, "Sign in", "")
	switch c.QueryParam("done") {
	case "signed-out":
		page.Notice = "You are signed out."
	case "ended":
		page.Notice = "Your session has ended. Sign in again."
	case "password-set":
		page.Notice = "Your password is set. Sign in with it."
	case "wrong-proofs":
		page.Problem = "That was wrong too often, so you are signed out. Sign in again."
	}
	return s.render(c, http.StatusOK, views.Login(views.LoginProps{Page: page, Next: next}))
}

// isSignedIn reports whether the browser holds a session that counts.
func (s *Server) isSignedIn(c echo.Context) (bool, error) {
	_, err := s.service.IdentifyCookie(c.Request().Context(), s.request(c), s.cookie(c))
	if secerr.Is(err, secerr.Unauthenticated) {
		return false, nil
	}
	return err == nil, err
}

func goTo(c echo.Context, path string, err error) error {
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, path)
}

// submitLogin checks the password.
func (s *Server) submitLogin(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	email, next := form.One("email"), safeNext(form.One("next"))
	if err = required(field{"email", email}, field{"password", form.One("password")}); err == nil {
		err = s.limitLogin(c, email)
	}
	if err == nil {
		var in security.SignIn
		req := s.request(c)
		req.Captcha = security.CaptchaAnswer{Work: form.One("captcha"), Token: form.One("captcha_token"), Digits: form.One("captcha_digits")}
		in, err = s.service.Login(c.Request().Context(), req, session.Browser, email, secret.NewText(form.One("password")))
		if err == nil {
			return s.signedIn(c, in, next)
		}
	}
	props := views.LoginProps{Page: s.page(c, "Sign in", ""), Next: next, Email: email}
	if secerr.Is(err, secerr.InvalidCredentials) {
		// Who mistyped is shown the check that the next try needs.
		challenge, failure := s.service.NextCaptcha(c.Request().Context(), s.request(c), email)
		if failure != nil {
			return failure
		}
		if props.Captcha, failure = s.captchaFor(email, challenge); failure != nil {
			return failure
		}
	} else if props.Captcha, err = s.captcha(email, err); err != nil && secerr.Is(err, secerr.Internal) {
		return err
	}
	status, err := s.formProblem(c, &props.Page, err)
	if err != nil {
		return err
	}
	return s.render(c, status, views.Login(props))
}

// signedIn hands out the cookie of a step of the sign-in and goes to the next
// one.
func (s *Server) signedIn(c echo.Context, in security.SignIn, next string) error {
	if err := s.service.Supersede(c.Request().Context(), s.request(c), s.cookie(c)); err != nil {
		return err
	}
	if err := s.setCookie(c, in.Secret); err != nil {
		return err
	}
	s.device.write(c, in.Device)
	switch {
	case in.SecondFactorAwaited() && isEnrollLink(next):
		return c.Redirect(http.StatusSeeOther, next)
	case in.SecondFactorAwaited():
		return c.Redirect(http.StatusSeeOther, withNext("/login/mfa", next))
	case in.EnrollmentRequired:
		return c.Redirect(http.StatusSeeOther, "/account/mfa")
	}
	return c.Redirect(http.StatusSeeOther, next)
}

func withNext(path, next string) string {
	if next == "/" {
		return path
	}
	return path + "?next=" + url.QueryEscape(next)
}

// pageSecondFactor asks for the code.
func (s *Server) pageSecondFactor(c echo.Context) error {
	if s.cookie(c).Empty() {
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	next := safeNext(c.QueryParam("next"))
	if in, err := s.isSignedIn(c); err != nil || in {
		return goTo(c, next, err)
	}
	return s.render(c, http.StatusOK, views.SecondFactor(views.SecondFactorProps{Page: s.page(c, "Second step", ""), Next: next}))
}

// submitSecondFactor checks it.
func (s *Server) submitSecondFactor(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	method, code, next := form.One("method"), form.One("code"), safeNext(form.One("next"))
	if err = required(field{"code", code}); err == nil {
		var in security.SignIn
		in, err = s.service.SecondFactor(c.Request().Context(), s.request(c), session.Browser, s.cookie(c), method, code)
		if err == nil {
			return s.signedIn(c, in, next)
		}
	}
	page := s.page(c, "Second step", "")
	if secerr.Is(err, secerr.Unauthenticated) { // it took longer than five minutes
		page.Title = "Sign in"
		status, err := s.formProblem(c, &page, err)
		if err != nil {
			return err
		}
		return s.render(c, status, views.Login(views.LoginProps{Page: page, Next: next}))
	}
	status, err := s.formProblem(c, &page, err)
	if err != nil {
		return err
	}
	return s.render(c, status, views.SecondFactor(views.SecondFactorProps{Page: page, Next: next, Method: method}))
}

// submitLogout ends the session.
func (s *Server) submitLogout(c echo.Context) error {
	if err := s.service.Logout(c.Request().Context(), caller(c)); err != nil {
		return err
	}
	if err := s.dropCookie(c); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/login?done=signed-out")
}
