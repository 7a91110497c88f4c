package handlers

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/views"
)

// keyNotices are what the pages of keys say was done.
var keyNotices = map[string]string{
	"revoked":  "The key is revoked. It stopped working at once.",
	"deleted":  "The key is deleted. It stopped working at once.",
	"changed":  "The key is changed. What is new counts from now on.",
	"narrowed": "The key keeps only what it used. The rest stopped working at once.",
}

// pageAPIKey shows one key: one's own, or another's to who may read of it.
func (s *Server) pageAPIKey(c echo.Context) error {
	page := s.page(c, "", views.MenuAPIKeys)
	page.Notice = keyNotices[c.QueryParam("done")]
	return s.renderKey(c, http.StatusOK, page, nil)
}

// renderKey fills in what is known of a key. The form shows what was typed, or what
// the key has.
func (s *Server) renderKey(c echo.Context, status int, page views.Page, typed *views.APIKeyChangeForm) error {
	who := caller(c)
	d, err := s.service.InspectKey(c.Request().Context(), who, c.Param("id"))
	if err != nil {
		return err
	}
	page.Title = d.Key.Name
	props := views.APIKeyProps{Page: page, Key: s.keyRowNow(d.Key), Networks: networkTexts(d.Key.Networks), Limit: limitTexts(d.Key.RateLimit),
		CanChange: d.Own && d.Key.Usable(s.now()), CanEnd: d.MayEnd, Narrowing: s.narrowing(d)}
	if !d.Own {
		props.Owner = d.Owner.Email
		if who.Held().Allow(rbac.UsersRead, d.Owner.ID) {
			props.OwnerID = d.Owner.ID
		}
	}
	for _, scope := range d.Scopes {
		props.Scopes = append(props.Scopes, scopeRow(scope))
	}
	props.Form = views.APIKeyChangeForm{Name: d.Key.Name, Networks: strings.Join(props.Networks, "\n"), Limit: props.Limit}
	if typed != nil {
		props.Form = *typed
	}
	// Who sends it again has seen what stands above it by then.
	if props.Form.Seen, err = etagOf(s.keyTagged(d.Key)); err != nil {
		return err
	}
	return s.render(c, status, views.APIKey(props))
}

// narrowing is what could be taken from a key. The day of its first use is told
// while it may be too early to know all that it does.
func (s *Server) narrowing(d security.KeyDetail) *views.Narrowing {
	n := &views.Narrowing{Days: security.UsesShown, Kept: d.Kept, Taken: texts(d.Taken)}
	for _, scope := range d.Scopes {
		for _, used := range scope.Used {
			n.Used = n.Used || used.Recent
		}
	}
	if d.UsedSince != nil && apikey.DayOf(s.now())-apikey.DayOf(*d.UsedSince) < security.UsesShown {
		n.Since = d.UsedSince
	}
	return n
}

func scopeRow(scope security.ScopeDetail) views.KeyScopeRow {
	row := views.KeyScopeRow{Scope: scope.Scope, Star: strings.Contains(scope.Scope, "*"), Covers: len(scope.Covers), Lost: texts(scope.Lost)}
	for _, u := range scope.Used {
		row.Used = append(row.Used, views.PermissionUse{Permission: string(u.Permission), On: u.On, Recent: u.Recent})
	}
	return row
}

// texts are words of some type as text.
func texts[T ~string](words []T) (list []string) {
	for _, word := range words {
		list = append(list, string(word))
	}
	return list
}

func networkTexts(networks []netip.Prefix) []string {
	var list []string
	for _, n := range networks {
		list = append(list, n.String())
	}
	return list
}

func limitTexts(l *apikey.RateLimit) views.KeyLimitForm {
	if l == nil {
		return views.KeyLimitForm{}
	}
	text := func(n int64) string { return strconv.FormatInt(n, 10) }
	return views.KeyLimitForm{MaxRequests: text(l.MaxRequests), WindowSecs: text(l.WindowSecs), Burst: text(l.Burst)}
}

// limitForm is a limit as it was typed.
func limitForm(form formValues) views.KeyLimitForm {
	field := func(name string) string { return strings.TrimSpace(form.One(name)) }
	return views.KeyLimitForm{MaxRequests: field(views.LimitRequestsField), WindowSecs: field(views.LimitWindowField), Burst: field(views.LimitBurstField)}
}

// parseKeyLimit reads a limit; nil where nothing was typed. A field that stays empty
// beside another is 0, which only a burst may be.
func parseKeyLimit(f views.KeyLimitForm) (*apikey.RateLimit, error) {
	if f == (views.KeyLimitForm{}) {
		return nil, nil
	}
	var limit apikey.RateLimit
	var fields []secerr.Field
	for _, part := range []struct {
		name, raw string
		to        *int64
	}{{views.LimitRequestsField, f.MaxRequests, &limit.MaxRequests}, {views.LimitWindowField, f.WindowSecs, &limit.WindowSecs}, {views.LimitBurstField, f.Burst, &limit.Burst}} {
		if part.raw == "" {
			continue
		}
		n, err := strconv.ParseInt(part.raw, 10, 64)
		if err != nil {
			fields = append(fields, secerr.Field{Field: part.name, Detail: "Use a whole number."})
		}
		*part.to = n
	}
	if len(fields) > 0 {
		return nil, secerr.InvalidFields(fields...)
	}
	return &limit, nil
}

// submitChangeKey changes the name, the networks and the limit of a key.
func (s *Server) submitChangeKey(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	typed := views.APIKeyChangeForm{Name: form.One("name"), Networks: form.One("networks"), Limit: limitForm(form)}
	limit, err := parseKeyLimit(typed.Limit)
	if err == nil {
		networks := strings.Fields(typed.Networks)
		patch := security.KeyPatch{Name: &typed.Name, Networks: &networks, RateLimit: &security.LimitPatch{None: limit == nil}, Expected: s.keySeen(form)}
		if limit != nil {
			patch.RateLimit = &security.LimitPatch{MaxRequests: &limit.MaxRequests, WindowSecs: &limit.WindowSecs, Burst: &limit.Burst}
		}
		if _, err = s.service.UpdateKey(c.Request().Context(), caller(c), c.Param("id"), patch); err == nil {
			return c.Redirect(http.StatusSeeOther, "/api-keys/"+c.Param("id")+"?done=changed")
		}
	}
	if secerr.Is(err, secerr.NonceRequired) {
		err = secerr.Invalid("networks", "Here, a key for everything can only be bound to less. To use it from elsewhere, change it through the API, which asks for your password again.")
	}
	return s.renderKeyRefused(c, err, &typed)
}

// keySeen says whether a key is as a form was made of it: an old tab undoes nothing
// that was changed since.
func (s *Server) keySeen(form formValues) func(apikey.Key) bool {
	return func(now apikey.Key) bool {
		tag, err := etagOf(s.keyTagged(now))
		return err == nil && tag == form.One("seen")
	}
}

// submitNarrowKey takes from a key what it did not use.
func (s *Server) submitNarrowKey(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	if _, err := s.service.NarrowKey(c.Request().Context(), caller(c), c.Param("id"), s.keySeen(form)); err != nil {
		return s.renderKeyRefused(c, err, nil)
	}
	return c.Redirect(http.StatusSeeOther, "/api-keys/"+c.Param("id")+"?done=narrowed")
}

// renderKeyRefused shows the page of a key again after a refusal.
func (s *Server) renderKeyRefused(c echo.Context, refused error, typed *views.APIKeyChangeForm) error {
	page := s.page(c, "", views.MenuAPIKeys)
	status, err := s.formProblem(c, &page, refused)
	if err != nil {
		return err
	}
	return s.renderKey(c, status, page, typed)
}

// deleteKey removes a key from the list.
func (s *Server) deleteKey() confirmation {
	return confirmation{title: "Delete an API key", menu: views.MenuAPIKeys, button: "Delete it",
		about: func(c echo.Context) ([]string, string, error) {
			key, err := s.service.Key(c.Request().Context(), caller(c), c.Param("id"))
			if err != nil {
				return nil, "", err
			}
			return []string{"API key: " + key.Name + " (" + key.KeyPrefix + "…)",
				"It stops working at once and is gone from the list, with what is known of its use. The audit log keeps what it did. To end it and still see it here for 30 days, revoke it instead."}, "/api-keys/" + key.ID, nil
		},
		do: func(c echo.Context, _ secret.Text) error {
			if err := s.service.DeleteKey(c.Request().Context(), caller(c), c.Param("id")); err != nil {
				return err
			}
			return c.Redirect(http.StatusSeeOther, "/api-keys?done=deleted")
		}}
}
