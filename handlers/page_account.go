package handlers

import (
	"encoding/base64"
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/views"
)

// pageAccount shows who one is, and the form for another password.
func (s *Server) pageAccount(c echo.Context) error {
	page := s.page(c, "Account", views.MenuAccount)
	if c.QueryParam("done") == "password-changed" {
		page.Notice = "Your password is changed, and you are signed out everywhere else."
	}
	return s.renderAccount(c, http.StatusOK, page)
}

func (s *Server) renderAccount(c echo.Context, status int, page views.Page) error {
	who := caller(c)
	props := views.AccountProps{Page: page, CreatedAt: who.User.CreatedAt, MFAEnabled: who.User.MFAEnabled,
		Rules: s.passwordRules(who.User.MFAEnabled), HasNotice: s.service.HasNotice()}
	for _, p := range who.Held().Permissions() {
		props.Permissions = append(props.Permissions, string(p))
	}
	return s.render(c, status, views.Account(props))
}

// submitChangePassword sets another password.
func (s *Server) submitChangePassword(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	if err = newPasswordForm(form, field{"current_password", form.One("current_password")}); err == nil {
		err = s.service.ChangePassword(c.Request().Context(), caller(c),
			secret.NewText(form.One("current_password")), secret.NewText(form.One("password")))
		if err == nil {
			return c.Redirect(http.StatusSeeOther, "/account?done=password-changed")
		}
	}
	page := s.page(c, "Account", views.MenuAccount)
	if secerr.Is(err, secerr.InvalidCredentials) {
		page.Summary = append(page.Summary, views.FieldError{Field: "current_password", Label: fieldLabels["current_password"], Detail: "Type the password that you sign in with."})
	}
	status, err := s.formProblem(c, &page, err)
	if err != nil {
		return err
	}
	// Two passwords are asked for here, so the page says which is the new one.
	for i := range page.Summary {
		switch e := &page.Summary[i]; e.Field {
		case "password":
			e.Label = "New password"
		case "password_confirm":
			e.Label = "New password, once more"
		}
	}
	return s.renderAccount(c, status, page)
}

// pageMFA shows the second factor, or the enrollment under way.
func (s *Server) pageMFA(c echo.Context) error {
	page := s.page(c, "Second factor", views.MenuMFA)
	if c.QueryParam("done") == "removed" {
		page.Notice = "It is removed, and you are signed out everywhere else."
	}
	return s.renderMFA(c, http.StatusOK, page)
}

func (s *Server) renderMFA(c echo.Context, status int, page views.Page) error {
	ctx, who := c.Request().Context(), caller(c)
	state, err := s.service.MFA(ctx, who)
	if err != nil {
		return err
	}
	props := views.MFAProps{Page: page, Enabled: len(state.Factors) > 0 && !who.User.Reenroll, Reenroll: who.User.Reenroll, BackupCodesRemaining: state.BackupCodesLeft}
	for _, f := range state.Factors {
		props.Factors = append(props.Factors, views.FactorRow{ID: f.ID, Name: f.Name, Kind: f.Kind, CreatedAt: f.CreatedAt, LastUsedAt: f.LastUsedAt})
	}
	if !props.Enabled {
		pending, err := s.service.PendingTOTP(ctx, who)
		if err == nil {
			props.Enrollment = &views.Enrollment{QRPNG: base64.StdEncoding.EncodeToString(pending.QR), Secret: pending.Secret, Account: who.User.Email}
		} else if !secerr.Is(err, secerr.NotFound) {
			return err
		}
	}
	return s.render(c, status, views.MFA(props))
}

// submitBeginTOTP draws a secret; the page then shows it.
func (s *Server) submitBeginTOTP(c echo.Context) error {
	if _, err := s.service.BeginTOTP(c.Request().Context(), caller(c), ""); err != nil {
		return s.mfaProblem(c, err)
	}
	return c.Redirect(http.StatusSeeOther, "/account/mfa")
}

// submitVerifyTOTP finishes the enrollment and shows the backup codes, this
// once.
func (s *Server) submitVerifyTOTP(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	var enrolled security.Enrolled
	if err = required(field{"code", form.One("code")}); err == nil {
		enrolled, err = s.service.VerifyTOTP(c.Request().Context(), caller(c), form.One("code"))
	}
	if err != nil {
		return s.mfaProblem(c, err)
	}
	if err := s.setCookie(c, enrolled.SignIn.Secret); err != nil {
		return err
	}
	who := caller(c)
	who.User, who.EnrollmentRequired = enrolled.SignIn.User, false
	c.Set(callerKey, who)
	return s.renderBackupCodes(c, "Your second factor is on.", enrolled.BackupCodes)
}

// renderBackupCodes shows new backup codes, this once.
func (s *Server) renderBackupCodes(c echo.Context, notice string, codes []secret.Text) error {
	page := s.page(c, "Backup codes", views.MenuMFA)
	page.Notice = notice
	return s.render(c, http.StatusOK, views.BackupCodes(views.BackupCodesProps{Page: page, Codes: groupCodes(codes)}))
}

// groupCodes writes backup codes as people copy them.
func groupCodes(codes []secret.Text) []string {
	var grouped []string
	for _, code := range codes {
		grouped = append(grouped, mfa.GroupBackupCode(code))
	}
	return grouped
}

func (s *Server) mfaProblem(c echo.Context, err error) error {
	page := s.page(c, "Second factor", views.MenuMFA)
	status, err := s.formProblem(c, &page, err)
	if err != nil {
		return err
	}
	return s.renderMFA(c, status, page)
}
