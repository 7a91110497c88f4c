package handlers

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/views"
)

// keysPerPage fits a screen or two; the API gives more at once.
const keysPerPage = 25

// defaultExpiryDays is what a new key's form offers first: long enough for a
// script, short enough that a forgotten one dies.
const defaultExpiryDays = "90"

// pageAPIKeys lists the caller's keys and offers a new one.
func (s *Server) pageAPIKeys(c echo.Context) error {
	page := s.page(c, "API keys", views.MenuAPIKeys)
	page.Notice = keyNotices[c.QueryParam("done")]
	return s.renderKeys(c, http.StatusOK, views.APIKeysProps{Page: page,
		Form: views.APIKeyForm{ExpiresInDays: defaultExpiryDays}})
}

// renderKeys fills in the list and the choices of the form.
func (s *Server) renderKeys(c echo.Context, status int, props views.APIKeysProps, chosen ...string) error {
	before, err := decodeIDCursor(c.QueryParam("cursor"))
	if err != nil {
		return err
	}
	who := caller(c)
	keys, next, err := s.service.ListUserKeys(c.Request().Context(), who, "", before, keysPerPage)
	if err != nil {
		return err
	}
	for _, k := range keys {
		props.Keys = append(props.Keys, s.keyRowNow(k))
	}
	props.NextCursor, props.Paged = encodeIDCursor(next), before != ""
	props.Form.Scopes = scopeGroups(who.Held(), chosen)
	return s.render(c, status, views.APIKeys(props))
}

func keyRow(k apikey.Key) views.APIKeyRow {
	return views.APIKeyRow{ID: k.ID, Name: k.Name, Prefix: k.KeyPrefix, Scopes: k.Scopes, CreatedAt: k.CreatedAt,
		ExpiresAt: k.ExpiresAt, LastUsedAt: k.LastUsedAt, LastUsedIP: k.LastUsedIP, RevokedAt: k.RevokedAt}
}

// keyRowNow is the row of a key that is listed, with what can be done to it now.
func (s *Server) keyRowNow(k apikey.Key) views.APIKeyRow {
	row := keyRow(k)
	row.Rotatable = k.Usable(s.now()) && !security.CoverEverything(k.Scopes)
	row.Soon = k.ExpiresSoon(s.now())
	return row
}

// scopeGroups offers what somebody may give, resource by resource.
func scopeGroups(held rbac.Held, chosen []string) []views.ScopeGroup {
	var groups []views.ScopeGroup
	for _, scope := range held.Scopable() {
		resource, action, _ := strings.Cut(string(scope), ":")
		if len(groups) == 0 || groups[len(groups)-1].Resource != resource {
			groups = append(groups, views.ScopeGroup{Resource: resource, Label: resourceLabels[resource]})
		}
		group := &groups[len(groups)-1]
		group.Options = append(group.Options, views.ScopeOption{Value: string(scope), Label: actionLabels[action],
			Checked: slices.Contains(chosen, string(scope))})
	}
	return groups
}

var actionLabels = map[string]string{"read": "Read", "write": "Write"}

var resourceLabels = map[string]string{
	"sites": "Sites", "paths": "Paths", "metrics": "Metrics", "policies": "Policies", "users": "Users",
	"audit": "Audit log", "api_keys": "API keys of others", "sessions": "Sessions of others", "ip_blocks": "IP blocks",
}

// submitCreateKey makes a key and shows its secret, this once.
func (s *Server) submitCreateKey(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	wanted := security.KeyRequest{Name: form.One("name"), Scopes: form.Many("scopes"), Networks: strings.Fields(form.One("networks"))}
	limit := limitForm(form)
	raw := form.One("expires_in_days")
	wanted.ExpiresInDays, err = parseDays(raw)
	if err == nil {
		wanted.RateLimit, err = parseKeyLimit(limit)
	}
	if err == nil {
		key, token, createErr := s.service.CreateKey(c.Request().Context(), caller(c), wanted)
		if createErr == nil {
			return s.render(c, http.StatusCreated, views.APIKeyCreated(views.APIKeyCreatedProps{
				Page: s.page(c, "API key created", views.MenuAPIKeys), Key: keyRow(key), Secret: token,
				APIURL: s.site.Origin() + "/api/v1"}))
		}
		err = createErr
	}
	props := views.APIKeysProps{Page: s.page(c, "API keys", views.MenuAPIKeys),
		Form: views.APIKeyForm{Name: wanted.Name, ExpiresInDays: raw, Networks: form.One("networks"), Limit: limit}}
	status, err := s.formProblem(c, &props.Page, err)
	if err != nil {
		return err
	}
	return s.renderKeys(c, status, props, wanted.Scopes...)
}

// parseDays reads a choice of the form; empty means that the key does not
// expire.
func parseDays(raw string) (*int64, error) {
	if raw == "" {
		return nil, nil
	}
	days, err := strconv.ParseInt(raw, 10, 64)
	if err != nil {
		return nil, secerr.Invalid("expires_in_days", "Use a whole number of days.")
	}
	return &days, nil
}

// submitRevokeKey ends a key, and shows the list or, of another's, the key.
func (s *Server) submitRevokeKey(c echo.Context) error {
	ctx, who := c.Request().Context(), caller(c)
	if err := s.service.RevokeKey(ctx, who, c.Param("id")); err != nil {
		return err
	}
	// Who may end a key and not read it is not denied what they did not ask for.
	if !who.Held().Allow(rbac.APIKeysRead, c.Param("id")) {
		return c.Redirect(http.StatusSeeOther, "/api-keys?done=revoked")
	}
	if key, err := s.service.Key(ctx, who, c.Param("id")); err == nil && key.UserID != who.User.ID {
		return c.Redirect(http.StatusSeeOther, "/api-keys/"+key.ID+"?done=revoked")
	}
	return c.Redirect(http.StatusSeeOther, "/api-keys?done=revoked")
}
