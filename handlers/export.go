package handlers

import (
	"context"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/export"
	"patronus.internal/dashboard/security/secerr"
)

// exportParams are the filters of the list, without its pages.
var exportParams = []string{"format", "event_type", "severity", "success", "user_id", "email", "ip", "key_id", "since", "until", "q"}

// exportPause is how long the other end may take for one batch. It may take for
// ever over the whole, as long as it goes on.
const exportPause = 30 * time.Second

// exportPath is that of the page.
const exportPath = "/audit/export"

// exportEvents streams the log in a format of others: GET /audit/export, by API
// and page alike.
func (s *Server) exportEvents(c echo.Context) error {
	// The cookie comes along when another site leads here, and the log would say
	// that this person took it.
	if site := c.Request().Header.Get("Sec-Fetch-Site"); c.Path() == exportPath && site != "" && site != "same-origin" && site != "none" {
		return secerr.New(secerr.Forbidden, "Another site led here. Export from the page of the audit log.")
	}
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
	// The limit of the server for a whole answer makes way for one for each batch;
	// the last one holds for what is sent after this returns. A writer without a
	// deadline (a test's) is one without a limit.
	connection := http.NewResponseController(response.Writer)
	extend := func() { _ = connection.SetWriteDeadline(fromNow(exportPause)) }
	defer extend()
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
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
	err = s.service.Export(ctx, caller(c), filter, string(format), func(events []audit.Record) error {
		if writer == nil {
			begin()
		}
		extend()
		if left = export.WriteBatch(writer, events); left == nil {
			response.Flush()
		}
		return left
	})
	if err != nil {
		if writer == nil {
			return err
		}
		switch {
		case s.stopping.Err() != nil:
			s.log.InfoContext(ctx, "an export has ended because the server is stopping")
		case left != nil || ctx.Err() != nil:
			s.log.InfoContext(ctx, "the client left before the end of an export", "error", err)
		default:
			logProblem(ctx, s.log, ToProblem(err, ""), err)
		}
		panic(http.ErrAbortHandler) // what has begun must not look complete
	}
	if writer == nil {
		begin()
	}
	extend()
	return writer.Close()
}

// exportProgress tells the page how far the person's export is:
// GET /audit/export/progress.
func (s *Server) exportProgress(c echo.Context) error {
	percent, running := s.service.ExportProgress(caller(c))
	return c.JSON(http.StatusOK, struct {
		Running bool `json:"running"`
		Percent int  `json:"percent"`
	}{running, percent})
}

// fromNow is a time on the clock of the network, which no test moves.
func fromNow(d time.Duration) time.Time {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	at, _ := ctx.Deadline()
	return at
}
