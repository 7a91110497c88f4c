package handlers

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/openapi"
	"patronus.internal/dashboard/views"
)

// mediaYAML is that of RFC 9512.
const mediaYAML = "application/yaml"

const (
	documentPath = "/api/v1/openapi.yaml"
	docsPath     = "/api/v1/docs" // a page, though it stands under the API
)

// apiDocument answers the description of the API: GET /openapi.yaml. It holds no
// secret, and is the same for everybody.
func (s *Server) apiDocument(c echo.Context) error {
	if _, err := queryParams(c); err != nil {
		return err
	}
	return c.Blob(http.StatusOK, mediaYAML, openapi.Document())
}

// pageDocument shows it to people: GET /docs.
func (s *Server) pageDocument(c echo.Context) error {
	if _, err := queryParams(c); err != nil {
		return err
	}
	page := views.Page{Title: openapi.Read().Title, Now: s.now()}
	return s.render(c, http.StatusOK, views.APIDocument(views.APIDocumentProps{Page: page, Reading: openapi.Read(), DocumentURL: documentPath}))
}
