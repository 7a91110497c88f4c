package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"
)

// apiRevokeAllTokens ends every session of a user or of everyone:
// POST /admin/revoke-all-tokens.
func (s *Server) apiRevokeAllTokens(c echo.Context) error {
	var body struct {
		UserID string `json:"user_id"`
		Reason string `json:"reason"`
	}
	if err := decodeOptional(c, &body); err != nil {
		return err
	}
	revoked, err := s.service.RevokeAllTokens(c.Request().Context(), caller(c), nonceHeader(c), body.UserID, body.Reason)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Revoked int64 `json:"revoked"`
	}{revoked})
}

// apiForceReenrollment demands new second factors:
// POST /admin/force-mfa-reenroll.
func (s *Server) apiForceReenrollment(c echo.Context) error {
	var body struct {
		UserID string `json:"user_id"`
	}
	if err := decodeOptional(c, &body); err != nil {
		return err
	}
	users, err := s.service.ForceReenrollment(c.Request().Context(), caller(c), nonceHeader(c), body.UserID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Users int `json:"users"`
	}{users})
}
