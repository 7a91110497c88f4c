package handlers

import (
	"errors"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// apiMe tells who the caller is: GET /me.
func (s *Server) apiMe(c echo.Context) error {
	who := caller(c)
	return c.JSON(http.StatusOK, struct {
		ID          string            `json:"id"`
		Email       string            `json:"email"`
		Role        string            `json:"role"`
		Permissions []rbac.Permission `json:"permissions"`
		MFAEnabled  bool              `json:"mfa_enabled"`
		SessionID   string            `json:"session_id,omitempty"`
	}{who.User.ID, who.User.Email, who.User.Role, who.Held().Permissions(), who.User.MFAEnabled, who.Session.ID})
}

// apiChangePassword sets a new password: POST /me/password.
func (s *Server) apiChangePassword(c echo.Context) error {
	var body struct {
		CurrentPassword secret.Text `json:"current_password"`
		NewPassword     secret.Text `json:"new_password"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if err := required(field{"current_password", body.CurrentPassword.Reveal()}, field{"new_password", body.NewPassword.Reveal()}); err != nil {
		return err
	}
	err := s.service.ChangePassword(c.Request().Context(), caller(c), body.CurrentPassword, body.NewPassword)
	if err != nil {
		return renameField(err, "password", "new_password")
	}
	return c.NoContent(http.StatusNoContent)
}

// renameField calls a refused field by the name that it has in this request.
func renameField(err error, from, to string) error {
	refusal, ok := errors.AsType[*secerr.Error](err)
	if !ok {
		return err
	}
	renamed := *refusal
	renamed.Fields = slices.Clone(refusal.Fields)
	for i := range renamed.Fields {
		if renamed.Fields[i].Field == from {
			renamed.Fields[i].Field = to
		}
	}
	return &renamed
}

type factorJSON struct {
	ID         string     `json:"id"`
	Kind       string     `json:"kind"`
	Name       string     `json:"name"`
	CreatedAt  timestamp  `json:"created_at"`
	LastUsedAt *timestamp `json:"last_used_at"`
}

// apiMFA shows the caller's second factor: GET /mfa.
func (s *Server) apiMFA(c echo.Context) error {
	state, err := s.service.MFA(c.Request().Context(), caller(c))
	if err != nil {
		return err
	}
	answer := struct {
		Enabled              bool         `json:"enabled"`
		Methods              []string     `json:"methods"`
		BackupCodesRemaining int          `json:"backup_codes_remaining"`
		Factors              []factorJSON `json:"factors"`
	}{Enabled: len(state.Factors) > 0, Methods: []string{}, BackupCodesRemaining: state.BackupCodesLeft, Factors: []factorJSON{}}
	if answer.Enabled {
		answer.Methods = append(answer.Methods, mfa.TOTP)
	}
	if state.BackupCodesLeft > 0 {
		answer.Methods = append(answer.Methods, mfa.BackupCode)
	}
	for _, f := range state.Factors {
		answer.Factors = append(answer.Factors, factorJSON{f.ID, f.Kind, f.Name, timestamp(f.CreatedAt), timestampOrNull(f.LastUsedAt)})
	}
	return c.JSON(http.StatusOK, answer)
}

// apiRenewBackupCodes makes ten new backup codes: POST /mfa/backup-codes.
func (s *Server) apiRenewBackupCodes(c echo.Context) error {
	if err := decodeNoBody(c); err != nil {
		return err
	}
	codes, err := s.service.RenewBackupCodes(c.Request().Context(), caller(c), nonceHeader(c))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		BackupCodes []string `json:"backup_codes"`
	}{groupCodes(codes)})
}

// apiDisableMFA removes every second factor: DELETE /mfa.
func (s *Server) apiDisableMFA(c echo.Context) error {
	if err := decodeNoBody(c); err != nil {
		return err
	}
	if err := s.service.DisableMFA(c.Request().Context(), caller(c), nonceHeader(c)); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// apiRemoveFactor removes one: DELETE /mfa/factors/{id}.
func (s *Server) apiRemoveFactor(c echo.Context) error {
	if err := decodeNoBody(c); err != nil {
		return err
	}
	if err := s.service.RemoveFactor(c.Request().Context(), caller(c), nonceHeader(c), c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// apiBeginTOTP starts the enrollment of an authenticator app: POST /mfa/totp.
func (s *Server) apiBeginTOTP(c echo.Context) error {
	var body struct {
		Name string `json:"name"`
	}
	if err := decodeOptional(c, &body); err != nil {
		return err
	}
	enrollment, err := s.service.BeginTOTP(c.Request().Context(), caller(c), body.Name)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Secret     string `json:"secret"`
		OtpauthURL string `json:"otpauth_url"`
		QRPNG      []byte `json:"qr_png"`
	}{enrollment.Secret.Reveal(), enrollment.URL.Reveal(), enrollment.QR})
}

// apiVerifyTOTP finishes it: POST /mfa/totp/verify.
func (s *Server) apiVerifyTOTP(c echo.Context) error {
	var body struct {
		Code string `json:"code"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if err := required(field{"code", body.Code}); err != nil {
		return err
	}
	enrolled, err := s.service.VerifyTOTP(c.Request().Context(), caller(c), body.Code)
	if err != nil {
		return err
	}
	tokens, err := s.tokens(enrolled.SignIn)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		BackupCodes []string   `json:"backup_codes"`
		Tokens      tokensJSON `json:"tokens"`
	}{groupCodes(enrolled.BackupCodes), tokens})
}
