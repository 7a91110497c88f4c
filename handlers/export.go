package handlers

import (
	"context"
	"io"
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
	if err := refuseLed(c); err != nil {
		return err
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
	var writer export.Writer
	open := func(w io.Writer) {
		if writer == nil {
			writer = export.NewWriter(format, w, export.Product{Version: s.version})
		}
	}
	return s.sendFile(c, format.ContentType(), "audit", format.Extension(), func(ctx context.Context, send func(func(io.Writer) error) error) error {
		err := s.service.Export(ctx, caller(c), filter, string(format), func(events []audit.Record) error {
			return send(func(w io.Writer) error {
				open(w)
				return export.WriteBatch(writer, events)
			})
		})
		if err != nil {
			return err
		}
		return send(func(w io.Writer) error {
			open(w)
			return writer.Close()
		})
	})
}

// refuseLed refuses a page that makes a file when another site led to it: the
// cookie comes along then, and the log would say that this person took it.
func refuseLed(c echo.Context) error {
	if site := c.Request().Header.Get("Sec-Fetch-Site"); !isMachinePath(c.Path()) && site != "" && site != "same-origin" && site != "none" {
		return secerr.New(secerr.Forbidden, "Another site led here. Export from the page itself.")
	}
	return nil
}

// sendFile answers with a file that is made while it is sent, a piece with each
// call of send. What produce returns before the first of them is a refusal like any
// other; afterwards the connection breaks, since what has begun must not look
// complete.
func (s *Server) sendFile(c echo.Context, contentType, name, extension string, produce func(ctx context.Context, send func(write func(io.Writer) error) error) error) error {
	response := c.Response()
	// The limit of the server for a whole answer makes way for one for each piece;
	// the last one holds for what is sent after this returns. A writer without a
	// deadline (a test's) is one without a limit.
	connection := http.NewResponseController(response.Writer)
	extend := func() { _ = connection.SetWriteDeadline(fromNow(exportPause)) }
	defer extend()
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	var (
		begun bool
		left  error // why the client takes no more
	)
	err := produce(ctx, func(write func(io.Writer) error) error {
		if !begun {
			begun = true
			response.Header().Set("Content-Type", contentType)
			response.Header().Set("Content-Disposition", `attachment; filename="`+name+"-"+s.now().UTC().Format("20060102-150405")+"."+extension+`"`)
			response.WriteHeader(http.StatusOK)
		}
		extend()
		if left = write(response); left == nil {
			response.Flush()
		}
		return left
	})
	if err == nil || !begun {
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
	panic(http.ErrAbortHandler)
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
