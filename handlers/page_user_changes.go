package handlers

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/grant"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/views"
)

// changeRole gives a user another role.
func (s *Server) changeRole() confirmation {
	return confirmation{action: stepup.ChangeRole, title: "Change a role", menu: views.MenuUsers, button: "Change it",
		about: s.aboutRole("The role counts at once, also for their API keys. They are signed out everywhere."),
		roles: func(c echo.Context) ([]string, string, error) {
			roles := rolesFor(caller(c))
			if c.Request().Method == http.MethodPost {
				form, err := parseForm(c)
				return roles, form.One("role"), err
			}
			u, err := s.service.User(c.Request().Context(), c.Param("id"))
			return roles, u.Role, err
		},
		check: func(c echo.Context, form formValues) error {
			if _, err := rbac.ParseRole(form.One("role")); err != nil {
				return err
			}
			u, err := s.service.User(c.Request().Context(), c.Param("id"))
			if err == nil && u.Role == form.One("role") {
				return secerr.Invalid("role", "This is the role that they have. Choose another.")
			}
			return err
		},
		do: func(c echo.Context, nonce secret.Text) error {
			form, err := parseForm(c)
			if err != nil {
				return err
			}
			role := form.One("role")
			return s.updateUser(c, nonce, security.UserPatch{Role: &role}, "role")
		}}
}

// aboutRole says also what a change of role leaves as it is.
func (s *Server) aboutRole(text ...string) func(echo.Context) ([]string, string, error) {
	return func(c echo.Context) ([]string, string, error) {
		grants, _, err := s.service.Grants(c.Request().Context(), c.Param("id"), "", grant.MaxPerUser)
		if err != nil {
			return nil, "", err
		}
		var named []string
		for _, g := range grants {
			if name := permissionLabel(g.Permission); !slices.Contains(named, name) {
				named = append(named, name)
			}
		}
		if len(named) > 0 {
			text = append(slices.Clone(text), "What is granted to them beyond the role stays: "+strings.Join(named, "; ")+".")
		}
		return s.aboutUser(text...)(c)
	}
}

// disableUser shuts a user out.
func (s *Server) disableUser() confirmation {
	return confirmation{title: "Disable a user", menu: views.MenuUsers, button: "Disable them",
		about: s.aboutUser("They are signed out at once and cannot sign in, and their API keys stop working. Nothing of theirs is lost, and you can enable them again."),
		do: func(c echo.Context, nonce secret.Text) error {
			return s.updateUser(c, nonce, security.UserPatch{Enabled: new(bool)}, "disabled")
		}}
}

// submitEnable lets a user in again.
func (s *Server) submitEnable(c echo.Context) error {
	enabled := true
	return s.updateUser(c, secret.Text{}, security.UserPatch{Enabled: &enabled}, "enabled")
}

// updateUser makes a change and shows the user. Who shut themselves out by it
// comes to the sign-in.
func (s *Server) updateUser(c echo.Context, nonce secret.Text, patch security.UserPatch, done string) error {
	u, err := s.service.UpdateUser(c.Request().Context(), caller(c), nonce, c.Param("id"), patch)
	if err != nil {
		return err
	}
	if signedOut := patch.Role != nil || !u.Enabled; signedOut && u.ID == caller(c).User.ID {
		if err := s.dropCookie(c); err != nil {
			return err
		}
		return c.Redirect(http.StatusSeeOther, "/login")
	}
	return c.Redirect(http.StatusSeeOther, "/users/"+u.ID+"?done="+done)
}
