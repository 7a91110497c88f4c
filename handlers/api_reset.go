package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// apiForgotPassword has a link sent, if there is such an account. The answer
// does not tell: POST /auth/forgot-password.
func (s *Server) apiForgotPassword(c echo.Context) error {
	var body struct {
		Email string `json:"email"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if err := required(field{"email", body.Email}); err != nil {
		return err
	}
	if err := s.service.RequestPasswordReset(c.Request().Context(), s.request(c), body.Email); err != nil {
		return err
	}
	return c.NoContent(http.StatusAccepted)
}

// apiResetPassword spends the token of such a link: POST /auth/reset-password.
func (s *Server) apiResetPassword(c echo.Context) error {
	var body struct {
		Token       secret.Text `json:"token"`
		NewPassword secret.Text `json:"new_password"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if err := required(field{"token", body.Token.Reveal()}, field{"new_password", body.NewPassword.Reveal()}); err != nil {
		return err
	}
	err := s.service.SetPasswordByLink(c.Request().Context(), s.request(c), body.Token, body.NewPassword)
	if secerr.Is(err, secerr.NotFound) {
		return secerr.Invalid("token", "The token is not good any more: it was used, replaced by a newer one, or has expired. Ask for a new one.")
	}
	if err != nil {
		return renameField(err, "password", "new_password")
	}
	return c.NoContent(http.StatusNoContent)
}
