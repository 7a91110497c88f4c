package handlers

import (
	"context"
	"io"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/export"
)

// The addresses of the pages.
const (
	ownExportPath  = "/account/export"
	userExportPath = "/users/:id/export"
)

// exportOwn sends what is held about the caller: a zip from the page, GET
// /account/export, and one JSON from GET /api/v1/me/export.
func (s *Server) exportOwn(c echo.Context) error {
	if err := refuseLed(c); err != nil {
		return err
	}
	format := export.PersonZip
	if isMachinePath(c.Path()) {
		format = export.PersonJSON
	}
	return s.exportPerson(c, format, func(ctx context.Context, who security.Caller, begin func(export.Person) error, take func([]audit.Record) error) error {
		return s.service.ExportOwn(ctx, who, format, begin, take)
	})
}

// exportUser sends what is held about a user as a zip: GET /users/{id}/export, by
// API and page alike.
func (s *Server) exportUser(c echo.Context) error {
	if err := refuseLed(c); err != nil {
		return err
	}
	return s.exportPerson(c, export.PersonZip, func(ctx context.Context, who security.Caller, begin func(export.Person) error, take func([]audit.Record) error) error {
		return s.service.ExportUser(ctx, who, c.Param("id"), export.PersonZip, begin, take)
	})
}

func (s *Server) exportPerson(c echo.Context, format export.PersonFormat,
	get func(ctx context.Context, who security.Caller, begin func(export.Person) error, take func([]audit.Record) error) error) error {
	if _, err := queryParams(c); err != nil {
		return err
	}
	var writer export.PersonWriter
	return s.sendFile(c, format.ContentType(), "patronus-data", string(format), func(ctx context.Context, send func(func(io.Writer) error) error) error {
		begin := func(p export.Person) error {
			return send(func(w io.Writer) error {
				writer = export.NewPersonWriter(format, w, export.Product{Version: s.version})
				return writer.Begin(p)
			})
		}
		take := func(events []audit.Record) error {
			return send(func(io.Writer) error { return writer.Events(events) })
		}
		if err := get(ctx, caller(c), begin, take); err != nil {
			return err
		}
		return send(func(io.Writer) error { return writer.Close() })
	})
}
