package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/views"
)

// pageAudit lists the log. The filters live in the address, so a view can be
// kept as a bookmark.
func (s *Server) pageAudit(c echo.Context) error {
	values, err := queryParams(c, eventParams...)
	if err != nil {
		return err
	}
	props := views.AuditProps{Page: s.page(c, "Audit log", views.MenuAudit), Filter: auditFilter(values)}
	for _, t := range audit.Types {
		props.EventTypes = append(props.EventTypes, string(t))
	}
	for _, severity := range audit.Severities {
		props.Severities = append(props.Severities, string(severity))
	}
	filter, err := s.eventFilter(values)
	if err == nil {
		var events []audit.Record
		var next int64
		if events, next, err = s.service.Events(c.Request().Context(), caller(c), filter); err == nil {
			props.Events = eventRows(events)
			if next > 0 {
				props.OlderURL = pageURL("/audit", values, "cursor", encodeCursor(next))
			}
			if values.Get("cursor") != "" {
				props.NewestURL = pageURL("/audit", values, "cursor", "")
			}
			return s.render(c, http.StatusOK, views.Audit(props))
		}
	}
	status, err := s.formProblem(c, &props.Page, err)
	if err != nil {
		return err
	}
	return s.render(c, status, views.Audit(props))
}

func auditFilter(values url.Values) views.AuditFilter {
	return views.AuditFilter{EventType: values.Get("event_type"), Severity: values.Get("severity"), Success: values.Get("success"),
		Email: values.Get("email"), IP: values.Get("ip"), Since: values.Get("since"), Until: values.Get("until"), Search: values.Get("q"),
		UserID: values.Get("user_id"), KeyID: values.Get("key_id")}
}

// pageURL is the address of a page with one parameter set anew, or without it
// when value is empty. Empty parameters are left out.
func pageURL(path string, values url.Values, name, value string) string {
	changed := url.Values{}
	for key := range values {
		if v := values.Get(key); v != "" && key != name {
			changed.Set(key, v)
		}
	}
	if value != "" {
		changed.Set(name, value)
	}
	if len(changed) == 0 {
		return path
	}
	return path + "?" + changed.Encode()
}

// pageAuditEvent shows everything about one event.
func (s *Server) pageAuditEvent(c echo.Context) error {
	e, err := s.eventByParam(c)
	if err != nil {
		return err
	}
	details, err := detailRows(e.Details)
	if err != nil {
		return err
	}
	return s.render(c, http.StatusOK, views.AuditEvent(views.AuditEventProps{
		Page: s.page(c, "Event", views.MenuAudit), Event: eventRows([]audit.Record{e})[0], UserID: e.Actor.UserID,
		UserAgent: e.Actor.UserAgent, SessionID: e.Actor.SessionID, APIKeyID: e.Actor.APIKeyID, Details: details}))
}

// detailRows lists the members of a JSON object in the order in which they are
// stored, each value as JSON; a plain text without its quotes.
func detailRows(raw json.RawMessage) ([]views.KeyValue, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if _, err := decoder.Token(); err != nil { // the opening brace
		return nil, err
	}
	var rows []views.KeyValue
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, err
		}
		text := string(value)
		var plain string
		if json.Unmarshal(value, &plain) == nil {
			text = plain
		}
		rows = append(rows, views.KeyValue{Key: name.(string), Value: text})
	}
	return rows, nil
}
