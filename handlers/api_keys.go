package handlers

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/secret"
)

// keyJSON is the contract's *key*, with what it is bound to and where it was used
// from. Enabled is false once the key is revoked or has expired.
type keyJSON struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	KeyPrefix  string            `json:"key_prefix"`
	Scopes     []string          `json:"scopes"`
	Networks   []netip.Prefix    `json:"networks"`
	RateLimit  *apikey.RateLimit `json:"rate_limit"`
	CreatedAt  timestamp         `json:"created_at"`
	ExpiresAt  *timestamp        `json:"expires_at"`
	LastUsedAt *timestamp        `json:"last_used_at"`
	LastUsedIP *string           `json:"last_used_ip"`
	Enabled    bool              `json:"enabled"`
	UserID     string            `json:"user_id"`
}

func showKey(now time.Time) func(apikey.Key) keyJSON {
	return func(k apikey.Key) keyJSON {
		return keyJSON{ID: k.ID, Name: k.Name, KeyPrefix: k.KeyPrefix, Scopes: k.Scopes,
			Networks: append([]netip.Prefix{}, k.Networks...), RateLimit: k.RateLimit, CreatedAt: timestamp(k.CreatedAt),
			ExpiresAt: timestampOrNull(k.ExpiresAt), LastUsedAt: timestampOrNull(k.LastUsedAt), LastUsedIP: stringOrNull(k.LastUsedIP),
			Enabled: k.Usable(now), UserID: k.UserID}
	}
}

// apiCreateKey makes a key: POST /api-keys.
func (s *Server) apiCreateKey(c echo.Context) error {
	var body struct {
		Name          string            `json:"name"`
		Scopes        []string          `json:"scopes"`
		ExpiresInDays *int64            `json:"expires_in_days"`
		Networks      []string          `json:"networks"`
		RateLimit     *apikey.RateLimit `json:"rate_limit"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	key, token, err := s.service.CreateKey(c.Request().Context(), caller(c), security.KeyRequest{
		Name: body.Name, Scopes: body.Scopes, ExpiresInDays: body.ExpiresInDays, Networks: body.Networks, RateLimit: body.RateLimit, Nonce: nonceHeader(c)})
	if err != nil {
		return err
	}
	return s.answerSecret(c, key, token)
}

// answerSecret shows a key with its secret, this once.
func (s *Server) answerSecret(c echo.Context, key apikey.Key, token secret.Text) error {
	return c.JSON(http.StatusCreated, struct {
		Key    keyJSON `json:"key"`
		Secret string  `json:"secret"`
	}{showKey(s.now())(key), token.Reveal()})
}

// apiRotateKey gives a key a new secret: POST /api-keys/{id}/rotate.
func (s *Server) apiRotateKey(c echo.Context) error {
	var body struct {
		OverlapSecs int64 `json:"overlap_secs"`
	}
	if err := decodeOptional(c, &body); err != nil {
		return err
	}
	key, token, err := s.service.RotateKey(c.Request().Context(), caller(c),
		security.Rotation{KeyID: c.Param("id"), OverlapSecs: body.OverlapSecs, Nonce: nonceHeader(c)})
	if err != nil {
		return err
	}
	return s.answerSecret(c, key, token)
}

// apiListKeys lists keys, newest first: GET /api-keys.
func (s *Server) apiListKeys(c echo.Context) error {
	values, before, limit, err := listParams(c, decodeIDCursor, "user_id")
	if err != nil {
		return err
	}
	keys, next, err := s.service.ListUserKeys(c.Request().Context(), caller(c), values.Get("user_id"), before, limit)
	if err != nil {
		return err
	}
	return answerList(c, keys, encodeIDCursor(next), showKey(s.now()))
}

// scopeUseJSON is a permission that let a key in, and the day of the last time.
type scopeUseJSON struct {
	Permission string `json:"permission"`
	LastUsedOn string `json:"last_used_on"` // YYYY-MM-DD, UTC
}

// apiGetKey shows one key, with what it used of its scopes: GET /api-keys/{id}.
func (s *Server) apiGetKey(c echo.Context) error {
	found, err := s.service.InspectKey(c.Request().Context(), caller(c), c.Param("id"))
	if err != nil {
		return err
	}
	uses := make([]scopeUseJSON, 0, len(found.Uses))
	for _, u := range found.Uses {
		uses = append(uses, scopeUseJSON{u.Permission, u.Last.Time().Format(time.DateOnly)})
	}
	if err := setETag(c, s.keyTagged(found.Key)); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, struct {
		keyJSON
		ScopesUsed []scopeUseJSON `json:"scopes_used"`
	}{showKey(s.now())(found.Key), uses})
}

// keyTagged is what the entity tag of a key tells apart: all of it but its uses, or
// that of a key at work would be another with every minute.
func (s *Server) keyTagged(k apikey.Key) keyJSON {
	shown := showKey(s.now())(k)
	shown.LastUsedAt, shown.LastUsedIP = nil, nil
	return shown
}

// apiPatchKey changes a key, by RFC 7396: PATCH /api-keys/{id}. With If-Match it
// changes only the key that the client has seen.
func (s *Server) apiPatchKey(c echo.Context) error {
	condition, err := readIfMatch(c)
	if err != nil {
		return err
	}
	var body struct {
		Name      given[string]        `json:"name"`
		Scopes    given[[]string]      `json:"scopes"`
		Networks  removable[[]string]  `json:"networks"`
		RateLimit removable[limitJSON] `json:"rate_limit"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	patch := security.KeyPatch{Name: body.Name.value, Scopes: body.Scopes.value, Networks: body.Networks.value, Nonce: nonceHeader(c),
		Expected: func(now apikey.Key) bool {
			tag, err := etagOf(s.keyTagged(now))
			return err == nil && condition.met(tag)
		}}
	if body.Networks.null {
		patch.Networks = new([]string)
	}
	if limit := body.RateLimit.value; limit != nil {
		patch.RateLimit = &security.LimitPatch{MaxRequests: limit.MaxRequests.or(0), WindowSecs: limit.WindowSecs.or(0), Burst: limit.Burst.or(0)}
	} else if body.RateLimit.null {
		patch.RateLimit = &security.LimitPatch{None: true}
	}
	key, err := s.service.UpdateKey(c.Request().Context(), caller(c), c.Param("id"), patch)
	if err != nil {
		return err
	}
	if err := setETag(c, s.keyTagged(key)); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showKey(s.now())(key))
}

// limitJSON is a patch of a limit. What is removed from it is 0, which only a
// burst may be.
type limitJSON struct {
	MaxRequests removable[int64] `json:"max_requests"`
	WindowSecs  removable[int64] `json:"window_secs"`
	Burst       removable[int64] `json:"burst"`
}

// apiRevokeKey ends a key, and with ?purge=true removes it:
// DELETE /api-keys/{id}.
func (s *Server) apiRevokeKey(c echo.Context) error {
	if err := decodeNoBody(c); err != nil {
		return err
	}
	values, err := queryParams(c, "purge")
	if err != nil {
		return err
	}
	purge, err := parseSwitch("purge", values.Get("purge"))
	if err != nil {
		return err
	}
	end := s.service.RevokeKey
	if purge {
		end = s.service.DeleteKey
	}
	if err := end(c.Request().Context(), caller(c), c.Param("id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
