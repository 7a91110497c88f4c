package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

// apiRevokeAllTokens ends every session of a user or of everyone:
// POST /admin/revoke-all-tokens.
func (s *Server) apiRevokeAllTokens(c echo.Context) error {
	var body struct {
		UserID given[string] `json:"user_id"`
		Reason string        `json:"reason"`
	}
	if err := decodeOptional(c, &body); err != nil {
		return err
	}
	userID, err := namedUser(body.UserID)
	if err != nil {
		return err
	}
	revoked, err := s.service.RevokeAllTokens(c.Request().Context(), caller(c), nonceHeader(c), userID, body.Reason)
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
		UserID given[string] `json:"user_id"`
	}
	if err := decodeOptional(c, &body); err != nil {
		return err
	}
	userID, err := namedUser(body.UserID)
	if err != nil {
		return err
	}
	users, err := s.service.ForceReenrollment(c.Request().Context(), caller(c), nonceHeader(c), userID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		Users int `json:"users"`
	}{users})
}

// namedUser is the user whom an operation is about, or empty for everybody. An id
// that was given and is empty is a mistake: whoever made it did not mean everybody.
func namedUser(id given[string]) (string, error) {
	if id.value == nil {
		return "", nil
	}
	if *id.value == "" {
		return "", secerr.Invalid("user_id", "Give the id of a user, or leave it out to mean everybody.")
	}
	return *id.value, nil
}
