package handlers

import (
	"net/http"
	"sort"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/session"
)

// sessionJSON is one signed-in device.
type sessionJSON struct {
	ID         string       `json:"id"`
	Device     string       `json:"device"`
	IPAddress  *string      `json:"ip_address"`
	CreatedAt  timestamp    `json:"created_at"`
	LastSeenAt timestamp    `json:"last_seen_at"`
	Current    bool         `json:"current"`
	Kind       session.Kind `json:"kind"`
}

// apiListSessions lists live sessions, the newest first: GET /sessions.
func (s *Server) apiListSessions(c echo.Context) error {
	values, before, limit, err := listParams(c, decodeIDCursor, "user_id")
	if err != nil {
		return err
	}
	who := caller(c)
	live, err := s.service.Sessions(c.Request().Context(), who, values.Get("user_id"))
	if err != nil {
		return err
	}
	page, next := pageOf(live, before, limit)
	return answerList(c, page, encodeIDCursor(next), func(of session.Session) sessionJSON {
		return sessionJSON{ID: of.ID, Device: of.Device(), IPAddress: stringOrNull(of.IPAddress), CreatedAt: timestamp(of.CreatedAt),
			LastSeenAt: timestamp(of.LastSeenAt), Current: of.ID == who.Session.ID, Kind: of.Kind}
	})
}

// pageOf cuts a page out of a whole list, which the policy's cap keeps short,
// and returns the id to go on behind ("" at the end).
func pageOf(live []session.Session, before string, limit int) (page []session.Session, next string) {
	if before != "" {
		live = live[min(len(live), sort.Search(len(live), func(i int) bool { return live[i].ID < before })):]
	}
	if len(live) <= limit {
		return live, ""
	}
	return live[:limit], live[limit-1].ID
}

// apiEndSession ends one: DELETE /sessions/{id}.
func (s *Server) apiEndSession(c echo.Context) error {
	if err := decodeNoBody(c); err != nil {
		return err
	}
	if err := s.service.EndSession(c.Request().Context(), caller(c), c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
