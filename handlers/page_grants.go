package handlers

import (
	"context"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/grant"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/views"
)

// grantChoices are the permissions to choose from.
func grantChoices(permissions []rbac.Permission) []views.GrantChoice {
	var choices []views.GrantChoice
	for _, p := range permissions {
		choices = append(choices, views.GrantChoice{Permission: string(p), Label: permissionLabel(string(p))})
	}
	return choices
}

// permissionLabel is a permission in words.
func permissionLabel(permission string) string {
	resource, action, _ := strings.Cut(permission, ":")
	label, known := resourceLabels[resource]
	if !known {
		label = "Everything"
	}
	switch action {
	case "read":
		return label + ": read"
	case "write":
		return label + ": change"
	}
	return label + ": read and change"
}

// grantRows lists what is granted to a user. Who granted it is named to those who
// may read of them.
func (s *Server) grantRows(ctx context.Context, who security.Caller, userID string) ([]views.GrantRow, error) {
	grants, _, err := s.service.Grants(ctx, userID, "", grant.MaxPerUser)
	if err != nil {
		return nil, err
	}
	var rows []views.GrantRow
	names := map[string]string{} // many grants are of few people
	for _, g := range grants {
		if _, known := names[g.GrantedBy]; !known {
			if names[g.GrantedBy], err = s.nameOf(ctx, who, g.GrantedBy); err != nil {
				return nil, err
			}
		}
		rows = append(rows, views.GrantRow{ID: g.ID, Permission: g.Permission, ResourceID: g.ResourceID, Label: permissionLabel(g.Permission),
			GrantedBy: names[g.GrantedBy], CreatedAt: g.CreatedAt})
	}
	return rows, nil
}

// nameOf is the address of a user, or the id where they are gone or somebody may
// not read of them.
func (s *Server) nameOf(ctx context.Context, who security.Caller, id string) (string, error) {
	if !who.Held().Allow(rbac.UsersRead, id) {
		return id, nil
	}
	u, err := s.service.User(ctx, id)
	if secerr.Is(err, secerr.NotFound) {
		return id, nil
	}
	return u.Email, err
}

// submitGrant grants a permission.
func (s *Server) submitGrant(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	wanted := views.GrantForm{Permission: form.One("permission"), ResourceID: strings.TrimSpace(form.One("resource_id"))}
	_, err = s.service.Grant(c.Request().Context(), caller(c), c.Param("id"), wanted.Permission, wanted.ResourceID)
	if err == nil {
		return c.Redirect(http.StatusSeeOther, "/users/"+c.Param("id")+"?done=granted")
	}
	u, unknown := s.service.User(c.Request().Context(), c.Param("id"))
	if unknown != nil {
		return unknown
	}
	if !caller(c).Held().Allow(rbac.UsersRead, u.ID) { // who may not see the page
		return err
	}
	page := s.page(c, u.Email, views.MenuUsers)
	status, err := s.formProblem(c, &page, err)
	if err != nil {
		return err
	}
	return s.renderUser(c, status, page, u, wanted)
}

// submitRevokeGrant ends a grant.
func (s *Server) submitRevokeGrant(c echo.Context) error {
	if err := s.service.Revoke(c.Request().Context(), caller(c), c.Param("id"), c.Param("grant_id")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/users/"+c.Param("id")+"?done=revoked")
}
