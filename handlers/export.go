package handlers

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/export"
)

// exportParams are the filters of the list, without its pages.
var exportParams = []string{"format", "event_type", "severity", "success", "user_id", "email", "ip", "key_id", "since", "until", "q"}

// exportPause is how long the other end may take for one batch. It may take for
// ever over the whole, as long as it goes on.
const exportPause = 30 * time.Second

// exportEvents streams the log in a format of others: GET /audit/export, by API
// and page alike.
func (s *Server) exportEvents(c echo.Context) error {
	values, err := queryParams(c, exportParams...)
	if err != nil {
		return err
	}
	if values.Get("format") == "" {
		values.Set("format", string(export.JSON))
	}
	format, err := export.ParseFormat(values.Get("format"))
	if err != nil {
		return err
	}
	filter, err := s.eventFilter(values)
	if err != nil {
		return err
	}
	response := c.Response()
	deadline := http.NewResponseController(response.Writer)
	var writer export.Writer
	begin := func() {
		response.Header().Set("Content-Type", format.ContentType())
		response.Header().Set("Content-Disposition", `attachment; filename="audit-`+s.now().UTC().Format("20060102-150405")+"."+format.Extension()+`"`)
		response.WriteHeader(http.StatusOK)
		writer = export.NewWriter(format, response, export.Product{Version: s.version})
	}
	err = s.service.Export(c.Request().Context(), caller(c), filter, string(format), func(events []audit.Record) error {
		if writer == nil {
			begin()
		}
		// A writer without a deadline of its own (a test's) is one without a limit.
		_ = deadline.SetWriteDeadline(time.Now().Add(exportPause))
		for _, e := range events {
			if err := writer.Write(e); err != nil {
				return err
			}
		}
		if err := writer.Flush(); err != nil {
			return err
		}
		response.Flush()
		return nil
	})
	if err != nil {
		if writer == nil {
			return err
		}
		// What has begun must not look complete.
		logProblem(c.Request().Context(), s.log, ToProblem(err, ""), err)
		panic(http.ErrAbortHandler)
	}
	if writer == nil {
		begin()
	}
	return writer.Close()
}
