package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/grant"
	"patronus.internal/dashboard/security/secerr"
)

type grantJSON struct {
	ID         string    `json:"id"`
	Permission string    `json:"permission"`
	ResourceID *string   `json:"resource_id"`
	GrantedBy  string    `json:"granted_by"`
	CreatedAt  timestamp `json:"created_at"`
}

func showGrant(g grant.Grant) grantJSON {
	return grantJSON{g.ID, g.Permission, stringOrNull(g.ResourceID), g.GrantedBy, timestamp(g.CreatedAt)}
}

// apiListGrants lists what a user may do beyond their role, oldest first:
// GET /users/{id}/grants.
func (s *Server) apiListGrants(c echo.Context) error {
	_, after, limit, err := listParams(c, decodeIDCursor)
	if err != nil {
		return err
	}
	grants, next, err := s.service.Grants(c.Request().Context(), c.Param("id"), after, limit)
	if err != nil {
		return err
	}
	return answerList(c, grants, encodeIDCursor(next), showGrant)
}

// apiGrant grants a permission: POST /users/{id}/grants.
func (s *Server) apiGrant(c echo.Context) error {
	var body struct {
		Permission string  `json:"permission"`
		ResourceID *string `json:"resource_id"` // none: for everything
	}
	if err := decodeJSON(c, &body); err != nil {
		return err
	}
	var resourceID string
	if body.ResourceID != nil {
		if resourceID = *body.ResourceID; resourceID == "" {
			return secerr.Invalid("resource_id", "Leave it out to grant the permission for everything.")
		}
	}
	g, err := s.service.Grant(c.Request().Context(), caller(c), c.Param("id"), body.Permission, resourceID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusCreated, showGrant(g))
}

// apiRevokeGrant ends one: DELETE /users/{id}/grants/{grant_id}.
func (s *Server) apiRevokeGrant(c echo.Context) error {
	if err := decodeNoBody(c); err != nil {
		return err
	}
	if err := s.service.Revoke(c.Request().Context(), caller(c), c.Param("id"), c.Param("grant_id")); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}
