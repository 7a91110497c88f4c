package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
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
	values, after, limit, err := listParams(c, decodeIDCursor, "email", "q", "role", "enabled")
	if err != nil {
		return err
	}
	f := user.Filter{Email: values.Get("email"), Text: values.Get("q"), Role: values.Get("role"), After: after, Limit: limit}
	if values.Has("enabled") {
		enabled, err := parseSwitch("enabled", values.Get("enabled"))
		if err != nil {
			return err
		}
		f.Enabled = &enabled
	}
	users, next, err := s.service.Users(c.Request().Context(), caller(c), f)
	if err != nil {
		return err
	}
	return answerList(c, users, encodeIDCursor(next), showUser)
}

// apiInviteUser adds one: POST /users. The link to the first password is in the
// answer where it is not in a mail.
func (s *Server) apiInviteUser(c echo.Context) error {
	var body struct {
		Email string `json:"email"`
		Role  string `json:"role"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	u, link, err := s.service.InviteUser(c.Request().Context(), caller(c), body.Email, body.Role)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, struct {
		userJSON
		InvitationURL string `json:"invitation_url,omitempty"`
	}{showUser(u), link.Reveal()})
}

// apiGetUser shows one: GET /users/{id}.
func (s *Server) apiGetUser(c echo.Context) error {
	u, err := s.service.User(c.Request().Context(), c.Param("id"))
	if err != nil {
		return err
	}
	return answerUser(c, u)
}

// userTagged is what the entity tag of a user tells apart: all but their last
// sign-in, or it would be another with each.
func userTagged(u user.User) userJSON {
	shown := showUser(u)
	shown.LastLoginAt = nil
	return shown
}

// answerUser shows a user with their entity tag.
func answerUser(c echo.Context, u user.User) error {
	if err := setETag(c, userTagged(u)); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, showUser(u))
}

// apiPatchUser changes their role, lets them in or shuts them out:
// PATCH /users/{id}. With If-Match it changes only the user whom the client has
// seen.
func (s *Server) apiPatchUser(c echo.Context) error {
	condition, err := readIfMatch(c)
	if err != nil {
		return err
	}
	var body struct {
		Role    given[string] `json:"role"`
		Enabled given[bool]   `json:"enabled"`
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	u, err := s.service.UpdateUser(c.Request().Context(), caller(c), nonceHeader(c), c.Param("id"), security.UserPatch{Role: body.Role.value, Enabled: body.Enabled.value,
		Expected: func(now user.User) bool {
			tag, err := etagOf(userTagged(now))
			return err == nil && condition.met(tag)
		}})
	if err != nil {
		return err
	}
	return answerUser(c, u)
}

// apiDeleteUser deletes them: DELETE /users/{id}.
func (s *Server) apiDeleteUser(c echo.Context) error {
	values, err := queryParams(c, "erase")
	if err != nil {
		return err
	}
	erase, err := parseSwitch("erase", values.Get("erase"))
	if err != nil {
		return err
	}
	if err := decodeNoBody(c); err != nil {
		return err
	}
	if err := s.service.DeleteUser(c.Request().Context(), caller(c), nonceHeader(c), c.Param("id"), erase); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
