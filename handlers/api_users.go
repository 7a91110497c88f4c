package handlers

import (
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/user"
)

type userJSON struct {
	ID          string     `json:"id"`
	Email       string     `json:"email"`
	Role        string     `json:"role"`
	Enabled     bool       `json:"enabled"`
	MFAEnabled  bool       `json:"mfa_enabled"`
	CreatedAt   timestamp  `json:"created_at"`
	LastLoginAt *timestamp `json:"last_login_at"`
}

func showUser(u user.User) userJSON {
	return userJSON{u.ID, u.Email, u.Role, u.Enabled, u.MFAEnabled, timestamp(u.CreatedAt), timestampOrNull(u.LastLoginAt)}
}

// apiListUsers lists the users, oldest first: GET /users.
func (s *Server) apiListUsers(c echo.Context) error {
	values, err := queryParams(c, "email", "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := parseLimit(values.Get("limit"))
	if err != nil {
		return err
	}
	after, err := decodeIDCursor(values.Get("cursor"))
	if err != nil {
		return err
	}
	users, next, err := s.service.Users(c.Request().Context(), values.Get("email"), after, limit)
	if err != nil {
		return err
	}
	return answerList(c, users, encodeIDCursor(next), showUser)
}
