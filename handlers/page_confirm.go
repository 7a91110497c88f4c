package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/views"
)

// confirmation is an operation of the pages with consequences: one page says
// what they are and, where it is a critical one, asks for the password and a
// code, and its form does it.
type confirmation struct {
	action              stepup.Action // empty: no proof is asked for
	title, menu, button string
	// about says in sentences what will happen, and where to go instead.
	about func(c echo.Context) (text []string, back string, err error)
	// roles are the choices of a field for a role, and the one that is chosen;
	// nil where there is no such field.
	roles func(c echo.Context) (roles []string, chosen string, err error)
	// more puts on the page what else there is to see and to send back; nil where
	// there is nothing.
	more func(c echo.Context, props *views.ConfirmProps) error
	// check refuses what the form says before the proof in it is spent; nil where
	// it says nothing more.
	check func(c echo.Context, form formValues) error
	// do carries it out with the nonce and answers.
	do func(c echo.Context, nonce secret.Text) error
}

// ask shows the page of a confirmation.
func (s *Server) ask(what confirmation) echo.HandlerFunc {
	return func(c echo.Context) error {
		return s.renderConfirm(c, http.StatusOK, s.page(c, what.title, what.menu), what)
	}
}

func (s *Server) renderConfirm(c echo.Context, status int, page views.Page, what confirmation) error {
	text, back, err := what.about(c)
	if err != nil {
		return err
	}
	props := views.ConfirmProps{Page: page, Text: text, Back: back, Button: what.button,
		// Escaped: a "/" in a part of it must not lead the form elsewhere.
		Path: c.Request().URL.EscapedPath(), ProofNeeded: what.action != "", CodeNeeded: caller(c).User.MFAEnabled}
	if what.roles != nil {
		if props.Roles, props.Role, err = what.roles(c); err != nil {
			return err
		}
	}
	if what.more != nil {
		if err := what.more(c, &props); err != nil {
			return err
		}
	}
	return s.render(c, status, views.Confirm(props))
}

// confirmed checks the proof, hands the browser the cookie of its renewed
// session, and carries the operation out.
func (s *Server) confirmed(what confirmation) echo.HandlerFunc {
	return func(c echo.Context) error {
		form, err := parseForm(c)
		if err != nil {
			return err
		}
		if what.check != nil {
			if err := what.check(c, form); err != nil {
				return s.renderUnconfirmed(c, what, err)
			}
		}
		if what.action == "" {
			return what.do(c, secret.Text{})
		}
		done, err := s.service.Confirm(c.Request().Context(), caller(c), what.action,
			security.Proof{Password: secret.NewText(form.One("password")), Code: form.One("code")})
		if secerr.Is(err, secerr.TokenRevoked) {
			if err := s.dropCookie(c); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, "/login?done=wrong-proofs")
		}
		if err != nil {
			return s.renderUnconfirmed(c, what, err)
		}
		if err := s.setCookie(c, done.Cookie); err != nil {
			return err
		}
		c.Set(callerKey, done.Caller)
		return what.do(c, done.Nonce)
	}
}

// renderUnconfirmed shows the page of a confirmation again after a refusal.
func (s *Server) renderUnconfirmed(c echo.Context, what confirmation, refused error) error {
	page := s.page(c, what.title, what.menu)
	if secerr.Is(refused, secerr.InvalidCredentials) {
		page.Summary = append(page.Summary, views.FieldError{Field: "password", Label: fieldLabels["password"], Detail: "Type the password that you sign in with."})
	}
	status, err := s.formProblem(c, &page, refused)
	if err != nil {
		return err
	}
	return s.renderConfirm(c, status, page, what)
}

// always is the about of an operation that needs no look at anything.
func always(back string, text ...string) func(echo.Context) ([]string, string, error) {
	return func(echo.Context) ([]string, string, error) { return text, back, nil }
}

func (s *Server) newBackupCodes() confirmation {
	return confirmation{action: stepup.RenewBackupCodes, title: "New backup codes", menu: views.MenuMFA, button: "Make new codes",
		about: always("/account/mfa", "You get ten new backup codes. They are shown once. The old ones stop working at once."),
		do: func(c echo.Context, nonce secret.Text) error {
			codes, err := s.service.RenewBackupCodes(c.Request().Context(), caller(c), nonce)
			if err != nil {
				return err
			}
			return s.renderBackupCodes(c, "Your old backup codes do not work any more.", codes)
		}}
}

func (s *Server) turnOffMFA() confirmation {
	return confirmation{action: stepup.DisableMFA, title: "Turn off the second factor", menu: views.MenuMFA, button: "Turn it off",
		about: always("/account/mfa", "From then on your password alone signs you in. Your backup codes stop working, and you are signed out everywhere else.",
			"Where your role must have a second factor, you are asked to set up a new one before anything else."),
		do: func(c echo.Context, nonce secret.Text) error {
			if err := s.service.DisableMFA(c.Request().Context(), caller(c), nonce); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, "/account/mfa?done=removed")
		}}
}

func (s *Server) removeFactor() confirmation {
	return confirmation{action: stepup.RemoveFactor, title: "Remove a second factor", menu: views.MenuMFA, button: "Remove it",
		about: func(c echo.Context) ([]string, string, error) {
			state, err := s.service.MFA(c.Request().Context(), caller(c))
			if err != nil {
				return nil, "", err
			}
			for _, f := range state.Factors {
				if f.ID == c.Param("id") {
					return []string{"Second factor: " + f.Name, "It does not sign you in any more, and you are signed out everywhere else. When it was your last one, your backup codes stop working too, and your password alone signs you in."},
						"/account/mfa", nil
				}
			}
			return nil, "", secerr.New(secerr.NotFound, "You have no such second factor.")
		},
		do: func(c echo.Context, nonce secret.Text) error {
			if err := s.service.RemoveFactor(c.Request().Context(), caller(c), nonce, c.Param("id")); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, "/account/mfa?done=removed")
		}}
}
