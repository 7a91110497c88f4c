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

// keyJSON is the contract's *key*, and the networks it is bound to. Enabled is
// false once the key is revoked or has expired.
type keyJSON struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	KeyPrefix  string         `json:"key_prefix"`
	Scopes     []string       `json:"scopes"`
	Networks   []netip.Prefix `json:"networks"`
	CreatedAt  timestamp      `json:"created_at"`
	ExpiresAt  *timestamp     `json:"expires_at"`
	LastUsedAt *timestamp     `json:"last_used_at"`
	Enabled    bool           `json:"enabled"`
	UserID     string         `json:"user_id"`
}

func showKey(now time.Time) func(apikey.Key) keyJSON {
	return func(k apikey.Key) keyJSON {
		return keyJSON{ID: k.ID, Name: k.Name, KeyPrefix: k.KeyPrefix, Scopes: k.Scopes,
			Networks: append([]netip.Prefix{}, k.Networks...), CreatedAt: timestamp(k.CreatedAt),
			ExpiresAt: timestampOrNull(k.ExpiresAt), LastUsedAt: timestampOrNull(k.LastUsedAt),
			Enabled: k.Usable(now), UserID: k.UserID}
	}
}

// apiCreateKey makes a key: POST /api-keys.
func (s *Server) apiCreateKey(c echo.Context) error {
	var body struct {
		Name          string   `json:"name"`
		Scopes        []string `json:"scopes"`
		ExpiresInDays *int64   `json:"expires_in_days"`
		Networks      []string `json:"networks"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	key, token, err := s.service.CreateKey(c.Request().Context(), caller(c), security.KeyRequest{
		Name: body.Name, Scopes: body.Scopes, ExpiresInDays: body.ExpiresInDays, Networks: body.Networks, Nonce: nonceHeader(c)})
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
	values, before, limit, err := listParams(c, "user_id")
	if err != nil {
		return err
	}
	keys, next, err := s.service.ListUserKeys(c.Request().Context(), caller(c), values.Get("user_id"), before, limit)
	if err != nil {
		return err
	}
	return answerList(c, keys, encodeIDCursor(next), showKey(s.now()))
}

// apiGetKey shows one key: GET /api-keys/{id}.
func (s *Server) apiGetKey(c echo.Context) error {
	key, err := s.service.Key(c.Request().Context(), caller(c), c.Param("id"))
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showKey(s.now())(key))
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
