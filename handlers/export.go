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
	// The limit of the server for a whole answer makes way for one for each batch.
	// A writer without a deadline (a test's) is one without a limit.
	connection := http.NewResponseController(response.Writer)
	_ = connection.SetWriteDeadline(time.Time{})
	pause := time.AfterFunc(exportPause, func() { _ = connection.SetWriteDeadline(time.Unix(1, 0)) })
	defer pause.Stop()
	var (
		writer export.Writer
		left   error // why the client takes no more
	)
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
		pause.Reset(exportPause)
		for _, e := range events {
			if left = writer.Write(e); left != nil {
				return left
			}
		}
		if left = writer.Flush(); left == nil {
			response.Flush()
		}
		return left
	})
	if err != nil {
		if writer == nil {
			return err
		}
		if ctx := c.Request().Context(); left != nil || ctx.Err() != nil {
			s.log.InfoContext(ctx, "the client left before the end of an export", "error", err)
		} else {
			logProblem(ctx, s.log, ToProblem(err, ""), err)
		}
		panic(http.ErrAbortHandler) // what has begun must not look complete
	}
	if writer == nil {
		begin()
	}
	return writer.Close()
}
