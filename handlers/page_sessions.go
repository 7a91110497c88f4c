package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/views"
)

// alivePath is where an open page asks whether its session lives.
const alivePath = "/account/alive"

// pageAlive answers an open page, so that it does not stay on the screen when
// its session has ended. Asking does not keep the session from idling.
func (s *Server) pageAlive(c echo.Context) error { return c.NoContent(http.StatusNoContent) }

// pageSessions lists the devices that one is signed in on.
func (s *Server) pageSessions(c echo.Context) error {
	who := caller(c)
	live, err := s.service.Sessions(c.Request().Context(), who, "")
	if err != nil {
		return err
	}
	props := views.SessionsProps{Page: s.page(c, "Sessions", views.MenuSessions)}
	if c.QueryParam("done") == "ended" {
		props.Notice = "It is signed out."
	}
	props.Sessions = sessionRows(live, who)
	return s.render(c, http.StatusOK, views.Sessions(props))
}

func sessionRows(live []session.Session, who security.Caller) []views.SessionRow {
	var rows []views.SessionRow
	for _, of := range live {
		rows = append(rows, views.SessionRow{ID: of.ID, Device: of.Device(), IP: of.IPAddress, CreatedAt: of.CreatedAt,
			LastSeenAt: of.LastSeenAt, Current: of.ID == who.Session.ID, Kind: string(of.Kind)})
	}
	return rows
}

// submitEndSessionOf ends a session of somebody else.
func (s *Server) submitEndSessionOf(c echo.Context) error {
	if err := s.service.EndSession(c.Request().Context(), caller(c), c.Param("session_id")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/users/"+c.Param("id")+"?done=device-signed-out")
}

// submitEndSession ends one of them.
func (s *Server) submitEndSession(c echo.Context) error {
	if err := s.service.EndSession(c.Request().Context(), caller(c), c.Param("id")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/account/sessions?done=ended")
}

// submitEndOtherSessions ends all but this one.
func (s *Server) submitEndOtherSessions(c echo.Context) error {
	if err := s.service.EndOtherSessions(c.Request().Context(), caller(c)); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/account/sessions?done=ended")
}
