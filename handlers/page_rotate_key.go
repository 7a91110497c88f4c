package handlers

import (
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/views"
)

// submitRotateKey gives a key a new secret and shows it, this once.
func (s *Server) submitRotateKey(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	wanted := security.Rotation{KeyID: c.Param("id")}
	if wanted.OverlapSecs, err = parseOverlap(form.One("overlap_secs")); err == nil {
		key, token, rotateErr := s.service.RotateKey(c.Request().Context(), caller(c), wanted)
		if rotateErr == nil {
			props := views.APIKeyCreatedProps{Page: s.page(c, "API key rotated", views.MenuAPIKeys), Key: keyRow(key), Secret: token,
				APIURL: s.site.Origin() + "/api/v1", Rotated: true}
			if wanted.OverlapSecs > 0 {
				until := s.now().Add(time.Duration(wanted.OverlapSecs) * time.Second)
				props.OldUntil = &until
			}
			return s.render(c, http.StatusCreated, views.APIKeyCreated(props))
		}
		err = rotateErr
	}
	props := views.APIKeysProps{Page: s.page(c, "API keys", views.MenuAPIKeys), Refused: wanted.KeyID, Form: views.APIKeyForm{ExpiresInDays: defaultExpiryDays}}
	status, err := s.formProblem(c, &props.Page, err)
	if err != nil {
		return err
	}
	return s.renderKeys(c, status, props)
}

// parseOverlap reads a choice of the form; empty means that the old secret ends
// at once.
func parseOverlap(raw string) (int64, error) {
	if raw == "" {
		return 0, nil
	}
	secs, err := strconv.ParseInt(raw, 10, 64)
	if err != nil {
		return 0, secerr.Invalid("overlap_secs", "Use a whole number of seconds.")
	}
	return secs, nil
}
