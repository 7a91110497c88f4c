package handlers

import (
	"net/http"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/policy"
)

// apiGetPolicy shows the policy in force: GET /policies.
func (s *Server) apiGetPolicy(c echo.Context) error {
	return answerPolicy(c, s.service.StoredPolicy())
}

// answerPolicy writes a policy with its entity tag.
func answerPolicy(c echo.Context, p policy.Stored) error {
	if err := setETag(c, p.Version, p.Policy); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, p.Policy)
}

// apiPatchPolicy changes it: PATCH /policies. With If-Match it changes only the
// policy that the client has seen.
func (s *Server) apiPatchPolicy(c echo.Context) error {
	condition, err := readIfMatch(c)
	if err != nil {
		return err
	}
	var patch jsontext.Value
	if err := decodeJSON(c, &patch); err != nil {
		return err
	}
	changed, err := s.service.ChangePolicy(c.Request().Context(), caller(c), nonceHeader(c), security.PolicyPatch{Patch: patch,
		Expected: func(now policy.Stored) bool {
			tag, err := etagOf(now.Version, now.Policy)
			return err == nil && condition.met(tag)
		}})
	if err != nil {
		return err
	}
	return answerPolicy(c, changed)
}

type policyChangeJSON struct {
	ID      int64           `json:"id"` // of the event
	Time    timestamp       `json:"time"`
	UserID  *string         `json:"user_id"`
	Email   *string         `json:"email"`
	Version int64           `json:"version"`
	Changes []policy.Change `json:"changes"`
	Undoes  *int64          `json:"undoes"`
}

func showPolicyChange(of security.PolicyChange) policyChangeJSON {
	shown := policyChangeJSON{ID: of.ID, Time: timestamp(of.Time), UserID: stringOrNull(of.UserID), Email: stringOrNull(of.Email), Version: of.Version,
		Changes: of.Changes}
	if shown.Changes == nil {
		shown.Changes = []policy.Change{}
	}
	if of.Undoes != 0 {
		shown.Undoes = &of.Undoes
	}
	return shown
}

// apiPolicyHistory lists its changes, newest first: GET /policies/history.
func (s *Server) apiPolicyHistory(c echo.Context) error {
	_, before, limit, err := listParams(c, decodeCursor)
	if err != nil {
		return err
	}
	changes, next, err := s.service.PolicyHistory(c.Request().Context(), caller(c), before, limit)
	if err != nil {
		return err
	}
	return answerList(c, changes, encodeCursor(next), showPolicyChange)
}
