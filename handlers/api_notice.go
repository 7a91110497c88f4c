package handlers

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/notice"
	"patronus.internal/dashboard/security/secerr"
)

type noticeJSON struct {
	Version    int64      `json:"version"`
	Text       string     `json:"text"`
	CreatedAt  timestamp  `json:"created_at"`
	AcceptedAt *timestamp `json:"accepted_at"`
}

func showNotice(n notice.Notice, acceptedAt *time.Time) noticeJSON {
	return noticeJSON{n.Version, n.Text, timestamp(n.CreatedAt), timestampOrNull(acceptedAt)}
}

// apiNotice shows the notice of now, and when the caller agreed to it: GET /notice.
func (s *Server) apiNotice(c echo.Context) error {
	n, acceptedAt, err := s.service.Notice(c.Request().Context(), caller(c))
	if err != nil {
		return err
	}
	if err := setETag(c, n.Version); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showNotice(n, acceptedAt))
}

// apiSetNotice puts another one in its place, or takes it away: PUT /notice. With
// If-Match it does so only to the notice that the client has seen.
func (s *Server) apiSetNotice(c echo.Context) error {
	condition, err := readIfMatch(c)
	if err != nil {
		return err
	}
	var body struct {
		Text given[string] `json:"text"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if body.Text.value == nil {
		return secerr.Invalid("text", "Send the text. An empty one takes the notice away.")
	}
	ctx, who := c.Request().Context(), caller(c)
	set, err := s.service.SetNotice(ctx, who, *body.Text.value, func(now notice.Notice) bool {
		if now.Version == 0 { // nothing is there that a tag, or "*", could name
			return !condition.given
		}
		tag, err := etagOf(now.Version)
		return err == nil && condition.met(tag)
	})
	if err != nil {
		return err
	}
	if set.Version == 0 {
		return c.NoContent(http.StatusNoContent)
	}
	if err := setETag(c, set.Version); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showNotice(set, nil))
}

// apiAcceptNotice notes that the caller agrees: POST /notice/accept.
func (s *Server) apiAcceptNotice(c echo.Context) error {
	var body struct {
		Version given[int64] `json:"version"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	if body.Version.value == nil {
		return secerr.Invalid("version", "Send the version of the notice that you have read.")
	}
	if err := s.service.AcceptNotice(c.Request().Context(), caller(c), *body.Version.value); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
