package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/export"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/user"
	"patronus.internal/dashboard/views"
)

// pageAudit lists the log. The filters live in the address, so a view can be
// kept as a bookmark.
func (s *Server) pageAudit(c echo.Context) error {
	values, err := queryParams(c, append([]string{"done"}, eventParams...)...)
	if err != nil {
		return err
	}
	page := s.page(c, "Audit log", views.MenuAudit)
	switch values.Get("done") {
	case "saved":
		page.Notice = "The view is saved."
	case "deleted":
		page.Notice = "The view is deleted."
	}
	values.Del("done")
	return s.renderAudit(c, http.StatusOK, page, values, "")
}

// renderAudit shows the log with the filters of values, and the name for them as it
// was typed.
func (s *Server) renderAudit(c echo.Context, status int, page views.Page, values url.Values, name string) error {
	props := views.AuditProps{Page: page, Filter: auditFilter(values)}
	for _, t := range audit.Types {
		props.EventTypes = append(props.EventTypes, string(t))
	}
	for _, severity := range audit.Severities {
		props.Severities = append(props.Severities, string(severity))
	}
	for _, format := range export.Formats {
		props.ExportFormats = append(props.ExportFormats, string(format))
	}
	filter, err := s.eventFilter(values)
	if err == nil {
		props.ExplainURL = explainURL(c, filter.IP)
		err = s.listEvents(c, &props, values, filter)
	}
	if err != nil {
		props.Live = nil
		if status, err = s.formProblem(c, &props.Page, err); err != nil {
			return err
		}
	}
	if props.Views, err = s.savedViews(c, values, name); err != nil {
		return err
	}
	return s.render(c, status, views.Audit(props))
}

// listEvents puts on the page what the filter finds.
func (s *Server) listEvents(c echo.Context, props *views.AuditProps, values url.Values, filter audit.Filter) (err error) {
	if props.Live, err = s.liveLog(c, values, filter); err != nil {
		return err
	}
	late, err := s.service.LateSinks(c.Request().Context(), caller(c))
	if err != nil {
		return err
	}
	for _, sink := range late {
		props.Late = append(props.Late, views.LateSink{Sink: sink.Sink, Events: sink.Events, Since: s.now().Add(-sink.Age)})
	}
	found, err := s.service.Search(c.Request().Context(), caller(c), filter)
	if err != nil {
		return err
	}
	props.Events, props.Reached = eventRows(found.Events), found.Reached
	if props.Live != nil && len(found.Events) > 0 {
		props.Live.After = max(props.Live.After, found.Events[0].Seq)
	}
	if found.Next > 0 {
		props.OlderURL = pageURL("/audit", values, "cursor", encodeCursor(found.Next))
	}
	if values.Get("cursor") != "" {
		props.NewestURL = pageURL("/audit", values, "cursor", "")
	}
	props.Uncounted = !filter.Counted() && props.User.CanReadAudit
	props.Histogram, err = s.histogram(c, values, filter)
	return err
}

// liveLog is what the first page of the log needs to go on by itself, nil for any
// other page and for filters that only the database can apply. It is asked before
// the list is read, so no event falls between them.
func (s *Server) liveLog(c echo.Context, values url.Values, f audit.Filter) (*views.LiveLog, error) {
	for _, name := range []string{"cursor", "key_id", "since", "until", "q"} {
		if values.Get(name) != "" {
			return nil, nil
		}
	}
	l := views.LiveLog{EventType: string(f.Type), Severity: string(f.Severity), Success: values.Get("success"), IP: f.IP, UserID: f.UserID}
	if f.Email != "" {
		var err error
		if l.Email, err = user.CanonicalEmail(f.Email); err != nil {
			return nil, nil // the list refuses it
		}
	}
	unfiltered := l == views.LiveLog{}
	l.URL = pageURL("/audit", values, "cursor", "")
	if unfiltered {
		return &l, nil // the list begins with the newest event of all
	}
	// What matches may be rare: a page does not go through all that lies behind it.
	newest, _, err := s.service.Events(c.Request().Context(), caller(c), audit.Filter{Limit: 1})
	if err != nil {
		return nil, err
	}
	if len(newest) > 0 {
		l.After = newest[0].Seq
	}
	return &l, nil
}

// explainURL leads to the explanation of an address, for who may read it.
func explainURL(c echo.Context, ip string) string {
	if ip == "" || caller(c).Reach(rbac.IPBlocksRead) != rbac.All {
		return ""
	}
	return pageURL("/ip-blocks", url.Values{}, "about", ip)
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
	values, err := queryParams(c, "verify")
	if err != nil {
		return err
	}
	e, err := s.eventByParam(c)
	if err != nil {
		return err
	}
	proof, err := s.eventProof(c, values)
	if err != nil {
		return err
	}
	details, err := detailRows(e.Details)
	if err != nil {
		return err
	}
	around, err := s.neighbours(c, e)
	if err != nil {
		return err
	}
	explain := ""
	if !e.Success {
		explain = explainURL(c, e.Actor.IPAddress)
	}
	return s.render(c, http.StatusOK, views.AuditEvent(views.AuditEventProps{
		Page: s.page(c, "Event", views.MenuAudit), ExplainURL: explain, Event: eventRows([]audit.Record{e})[0], UserID: e.Actor.UserID,
		UserAgent: e.Actor.UserAgent, SessionID: e.Actor.SessionID, APIKeyID: e.Actor.APIKeyID, Details: details, Proof: proof,
		RequestURL: requestURL(e), ErasedBy: e.ErasedBy, Neighbours: around}))
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
