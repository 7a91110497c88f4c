package handlers

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/user"
)

var eventParams = []string{"event_type", "severity", "success", "user_id", "email", "ip", "key_id", "since", "until", "q", "limit", "cursor"}

// apiListEvents lists the log, newest first: GET /audit.
func (s *Server) apiListEvents(c echo.Context) error {
	values, err := queryParams(c, eventParams...)
	if err != nil {
		return err
	}
	filter, err := s.eventFilter(values)
	if err != nil {
		return err
	}
	return answerEvents(c, filter, s.service.Events)
}

// apiCriticalEvents lists what a person should look at now:
// GET /admin/audit/critical.
func (s *Server) apiCriticalEvents(c echo.Context) error {
	values, err := queryParams(c, "since", "until", "limit", "cursor")
	if err != nil {
		return err
	}
	filter, err := s.eventFilter(values)
	if err != nil {
		return err
	}
	return answerEvents(c, filter, s.service.CriticalEvents)
}

func answerEvents(c echo.Context, filter audit.Filter, list func(context.Context, security.Caller, audit.Filter) ([]audit.Record, int64, error)) error {
	events, next, err := list(c.Request().Context(), caller(c), filter)
	if err != nil {
		return err
	}
	return answerList(c, events, encodeCursor(next), audit.Record.View)
}

// apiGetEvent shows one event: GET /audit/{id}.
func (s *Server) apiGetEvent(c echo.Context) error {
	event, err := s.eventByParam(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, event.View())
}

func (s *Server) eventByParam(c echo.Context) (audit.Record, error) {
	seq, err := eventNumber(c)
	if err != nil {
		return audit.Record{}, err
	}
	return s.service.Event(c.Request().Context(), caller(c), seq)
}

func eventNumber(c echo.Context) (int64, error) {
	seq, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil || seq < 1 {
		return 0, secerr.Wrap(secerr.NotFound, "There is no such event.", err)
	}
	return seq, nil
}

// eventFilter reads the filters of the log, for the API and the page alike. It
// names every parameter that is refused.
func (s *Server) eventFilter(values url.Values) (audit.Filter, error) {
	f := audit.Filter{Type: audit.Type(values.Get("event_type")), Severity: audit.Severity(values.Get("severity")),
		UserID: values.Get("user_id"), Email: values.Get("email"), APIKeyID: values.Get("key_id"), Text: values.Get("q")}
	var fields []secerr.Field
	switch values.Get("success") {
	case "":
	case "true", "false":
		success := values.Get("success") == "true"
		f.Success = &success
	default:
		fields = append(fields, secerr.Field{Field: "success", Detail: "Use true or false."})
	}
	if raw := values.Get("ip"); raw != "" {
		ip, err := netip.ParseAddr(raw)
		if err != nil {
			fields = append(fields, secerr.Field{Field: "ip", Detail: "Write an address, for example 192.0.2.7 or 2001:db8::1."})
		}
		f.IP = ip.Unmap().WithZone("").String()
	}
	var err error
	f.Since, err = ParseTime("since", values.Get("since"), s.now())
	fields = append(fields, secerr.FieldsOf(err)...)
	f.Until, err = ParseTime("until", values.Get("until"), s.now())
	fields = append(fields, secerr.FieldsOf(err)...)
	f.Limit, err = parseLimit(values.Get("limit"))
	fields = append(fields, secerr.FieldsOf(err)...)
	f.Before, err = decodeCursor(values.Get("cursor"))
	fields = append(fields, secerr.FieldsOf(err)...)
	// What the log itself refuses is named together with the rest.
	if f.Email != "" {
		_, err = user.CanonicalEmail(f.Email)
		fields = append(fields, secerr.FieldsOf(err)...)
	}
	if fields = append(fields, secerr.FieldsOf(f.Validate())...); fields != nil {
		return audit.Filter{}, secerr.InvalidFields(fields...)
	}
	return f, nil
}
