package handlers

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"
)

// apiGetPolicy shows the policy in force: GET /policies.
func (s *Server) apiGetPolicy(c echo.Context) error {
	return c.JSON(http.StatusOK, s.service.Policy())
}

// apiPatchPolicy changes it: PATCH /policies.
func (s *Server) apiPatchPolicy(c echo.Context) error {
	var patch jsontext.Value
	if err := decodeJSON(c, &patch); err != nil {
		return err
	}
	changed, err := s.service.PatchPolicy(c.Request().Context(), caller(c), nonceHeader(c), patch)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, changed)
}
