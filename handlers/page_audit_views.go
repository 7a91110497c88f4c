package handlers

import (
	"net/http"
	"net/url"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/views"
)

// viewParams are the filters that a view keeps, as they are typed: "24h" is the last
// day on every day.
var viewParams = []string{"event_type", "severity", "success", "user_id", "email", "ip", "key_id", "since", "until", "q"}

// builtInViews are those that everybody has.
var builtInViews = []struct {
	name  string
	query url.Values
}{
	{"Critical, last week", url.Values{"severity": {"critical"}, "since": {"7d"}}},
	{"Failed sign-ins, last day", url.Values{"event_type": {"login_attempt"}, "success": {"false"}, "since": {"24h"}}},
	{"Denied access, last day", url.Values{"event_type": {"authorization_failed"}, "since": {"24h"}}},
	{"New devices", url.Values{"event_type": {"new_device"}}},
	{"Changes of the policy", url.Values{"event_type": {"policy_change"}}},
}

// viewQuery takes the filters of a view out of values, always encoded in the same
// way. Whatever else is there does not come along.
func viewQuery(values url.Values) string {
	kept := url.Values{}
	for _, name := range viewParams {
		if v := values.Get(name); v != "" {
			kept.Set(name, v)
		}
	}
	return kept.Encode()
}

// savedViews are the links above the log and, unless its filters have a name
// already, what a form needs to give them one.
func (s *Server) savedViews(c echo.Context, values url.Values, name string) (views.Views, error) {
	saved, err := s.service.SavedViews(c.Request().Context(), caller(c))
	if err != nil {
		return views.Views{}, err
	}
	shown, here, known := views.Views{Name: name}, viewQuery(values), false
	link := func(id, name, query string) views.ViewLink {
		known = known || query == here
		return views.ViewLink{ID: id, Name: name, URL: "/audit?" + query, Current: query == here}
	}
	for _, v := range builtInViews {
		shown.BuiltIn = append(shown.BuiltIn, link("", v.name, v.query.Encode()))
	}
	for _, v := range saved {
		stored, err := url.ParseQuery(v.Query)
		if err != nil {
			continue // nothing that was saved here
		}
		shown.Own = append(shown.Own, link(v.ID, v.Name, viewQuery(stored)))
	}
	if known && name == "" {
		return shown, nil
	}
	for _, param := range viewParams {
		if v := values.Get(param); v != "" {
			shown.Save = append(shown.Save, views.KeyValue{Key: param, Value: v})
		}
	}
	return shown, nil
}

// submitSaveView gives filters a name.
func (s *Server) submitSaveView(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	values := url.Values{}
	for _, param := range viewParams {
		if v := form.One(param); v != "" {
			values.Set(param, v)
		}
	}
	filter, err := s.eventFilter(values)
	if err == nil {
		err = filter.Validate()
	}
	if err == nil {
		_, err = s.service.SaveView(c.Request().Context(), caller(c), form.One("name"), viewQuery(values))
	}
	if err == nil {
		return c.Redirect(http.StatusSeeOther, "/audit?"+viewQuery(values)+"&done=saved")
	}
	page := s.page(c, "Audit log", views.MenuAudit)
	status, err := s.formProblem(c, &page, err)
	if err != nil {
		return err
	}
	return s.renderAudit(c, status, page, values, form.One("name"))
}

// submitDeleteView removes one.
func (s *Server) submitDeleteView(c echo.Context) error {
	if err := s.service.DeleteView(c.Request().Context(), caller(c), c.Param("id")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/audit?done=deleted")
}
