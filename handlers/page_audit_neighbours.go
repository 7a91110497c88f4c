package handlers

import (
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/views"
)

// requestTime is how far from one of its events a request has others at most.
const requestTime = time.Hour

// neighbours are short lists of what is related to an event.
func (s *Server) neighbours(c echo.Context, e audit.Record) ([]views.EventGroup, error) {
	n, err := s.service.Neighbours(c.Request().Context(), caller(c), e)
	if err != nil {
		return nil, err
	}
	var groups []views.EventGroup
	for _, g := range []struct {
		events           []audit.Record
		id, title, words string
		url              string
	}{
		{n.Request, "same-request", "Of the same request", "All of this request", requestURL(e)},
		{n.Session, "same-session", "Of the same session", "All of this user", pageURL("/audit", url.Values{}, "user_id", e.Actor.UserID)},
		{n.Address, "same-address", "From the same address", "All from this address", pageURL("/audit", url.Values{}, "ip", e.Actor.IPAddress)},
	} {
		if len(g.events) > 0 {
			groups = append(groups, views.EventGroup{ID: g.id, Title: g.title, Events: eventRows(g.events), URL: g.url, Link: g.words})
		}
	}
	return groups, nil
}

// requestURL leads to the events of the request of an event. They lie close
// together, so that is all that has to be searched.
func requestURL(e audit.Record) string {
	if e.Actor.RequestID == "" {
		return ""
	}
	around := url.Values{"since": {e.Time.Add(-requestTime).UTC().Format(time.RFC3339)}, "until": {e.Time.Add(requestTime).UTC().Format(time.RFC3339)}}
	return pageURL("/audit", around, "q", e.Actor.RequestID)
}
