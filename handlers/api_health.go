package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

type healthJSON struct {
	Status string `json:"status"`
}

// healthz says that the process answers.
func (s *Server) healthz(c echo.Context) error {
	return c.JSON(http.StatusOK, healthJSON{"ok"})
}

// readyz says that the database answers too.
func (s *Server) readyz(c echo.Context) error {
	if err := s.service.Ready(c.Request().Context()); err != nil {
		return secerr.Busy("The database does not answer.", 0, err)
	}
	return c.JSON(http.StatusOK, healthJSON{"ready"})
}
