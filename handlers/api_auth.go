package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/stepup"
)

// tokensJSON is the contract's *tokens*.
type tokensJSON struct {
	AccessToken           string `json:"access_token"`
	TokenType             string `json:"token_type"`
	ExpiresIn             int64  `json:"expires_in"`
	RefreshToken          string `json:"refresh_token"`
	RefreshExpiresIn      int64  `json:"refresh_expires_in"`
	MFAEnrollmentRequired bool   `json:"mfa_enrollment_required"`
}

func (s *Server) tokens(in security.SignIn) (tokensJSON, error) {
	t, err := s.service.Tokens(in)
	return tokensJSON{AccessToken: t.Access.Reveal(), TokenType: "Bearer", ExpiresIn: seconds(t.AccessExpiresIn),
		RefreshToken: t.Refresh.Reveal(), RefreshExpiresIn: seconds(t.RefreshExpiresIn),
		MFAEnrollmentRequired: t.EnrollmentRequired}, err
}

func (s *Server) answerTokens(c echo.Context, in security.SignIn) error {
	s.device.write(c, in.Device)
	tokens, err := s.tokens(in)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, tokens)
}

// apiLogin checks a password: POST /auth/login.
func (s *Server) apiLogin(c echo.Context) error {
	var body struct {
		Email    string      `json:"email"`
		Password secret.Text `json:"password"`
		Captcha  string      `json:"captcha"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if err := required(field{"email", body.Email}, field{"password", body.Password.Reveal()}); err != nil {
		return err
	}
	if err := s.limitLogin(c, body.Email); err != nil {
		return err
	}
	req := s.request(c)
	req.Captcha.Work = body.Captcha
	in, err := s.service.Login(c.Request().Context(), req, session.API, body.Email, body.Password)
	if err != nil {
		return err
	}
	if !in.SecondFactorAwaited() {
		return s.answerTokens(c, in)
	}
	return c.JSON(http.StatusOK, struct {
		MFARequired bool     `json:"mfa_required"`
		MFAToken    string   `json:"mfa_token"`
		Methods     []string `json:"methods"`
		ExpiresIn   int64    `json:"expires_in"`
	}{true, in.Secret.Reveal(), in.Methods, seconds(security.SecondFactorLifetime)})
}

// apiSecondFactor finishes a sign-in with a code: POST /auth/mfa.
func (s *Server) apiSecondFactor(c echo.Context) error {
	var body struct {
		MFAToken secret.Text `json:"mfa_token"`
		Method   string      `json:"method"`
		Code     string      `json:"code"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if err := required(field{"mfa_token", body.MFAToken.Reveal()}, field{"method", body.Method}, field{"code", body.Code}); err != nil {
		return err
	}
	in, err := s.service.SecondFactor(c.Request().Context(), s.request(c), session.API, body.MFAToken, body.Method, body.Code)
	if err != nil {
		return err
	}
	return s.answerTokens(c, in)
}

// apiRefresh exchanges a refresh token: POST /auth/refresh.
func (s *Server) apiRefresh(c echo.Context) error {
	var body struct {
		RefreshToken secret.Text `json:"refresh_token"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if err := required(field{"refresh_token", body.RefreshToken.Reveal()}); err != nil {
		return err
	}
	in, err := s.service.Refresh(c.Request().Context(), s.request(c), body.RefreshToken)
	if err != nil {
		return err
	}
	return s.answerTokens(c, in)
}

// apiLogout ends the session of the access token: POST /auth/logout.
func (s *Server) apiLogout(c echo.Context) error {
	if err := decodeNoBody(c); err != nil {
		return err
	}
	if err := s.service.Logout(c.Request().Context(), caller(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// apiNonce confirms one critical operation: POST /auth/nonce.
func (s *Server) apiNonce(c echo.Context) error {
	var body struct {
		Action   string      `json:"action"`
		Password secret.Text `json:"password"`
		Code     string      `json:"code"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if err := required(field{"action", body.Action}); err != nil {
		return err
	}
	nonce, err := s.service.Nonce(c.Request().Context(), caller(c), body.Action, security.Proof{Password: body.Password, Code: body.Code})
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Nonce     string `json:"nonce"`
		ExpiresIn int64  `json:"expires_in"`
	}{nonce.Reveal(), seconds(stepup.Lifetime)})
}

// nonceHeader is where a nonce is sent back.
func nonceHeader(c echo.Context) secret.Text {
	return secret.NewText(c.Request().Header.Get("X-Patronus-Nonce"))
}

// field is a member of a body and what was sent for it.
type field struct{ name, value string }

// required refuses the fields that are empty, all of them at once.
func required(fields ...field) error {
	var missing []secerr.Field
	for _, f := range fields {
		if f.value == "" {
			missing = append(missing, secerr.Field{Field: f.name, Detail: "This is needed."})
		}
	}
	if missing != nil {
		return secerr.InvalidFields(missing...)
	}
	return nil
}
