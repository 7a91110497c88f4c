package handlers

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

const (
	// maxBodyBytes is the contract's limit on a request body.
	maxBodyBytes = 64 << 10

	// requestTimeout bounds the work on one request. It is three times the
	// five seconds that storage may wait for another process, so that such a
	// wait ends with its own answer and not with this one.
	requestTimeout = 15 * time.Second

	requestIDBytes = 16 // 128 bits: never the same twice
)

type requestIDKey struct{}

// requestIDs names each request with 128 bits of random in hex, in its context
// and in the X-Request-Id of its answer. A value that the client sent is
// ignored: it could forge or confuse the log. random must be safe for
// concurrent use.
func requestIDs(random io.Reader) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			var raw [requestIDBytes]byte
			if _, err := io.ReadFull(random, raw[:]); err != nil {
				return fmt.Errorf("request id: %w", err)
			}
			id := hex.EncodeToString(raw[:])
			c.Response().Header().Set("X-Request-Id", id)
			r := c.Request()
			c.SetRequest(r.WithContext(context.WithValue(r.Context(), requestIDKey{}, id)))
			return next(c)
		}
	}
}

// requestID is the id of the request, as its answer shows it.
func requestID(c echo.Context) string {
	id, _ := c.Request().Context().Value(requestIDKey{}).(string)
	return id
}

// logHandler adds the request id to each record of a request.
type logHandler struct{ slog.Handler }

// LogRequestID wraps a slog handler so that whatever is logged with a
// request's context, in any package, carries its request_id.
func LogRequestID(next slog.Handler) slog.Handler { return logHandler{next} }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	if id, ok := ctx.Value(requestIDKey{}).(string); ok {
		record = record.Clone()
		record.AddAttrs(slog.String("request_id", id))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.Handler.WithGroup(name)}
}

// logRequests writes one line per request, at debug level for health probes.
// It names the route's pattern and not the address, since paths and queries
// may carry tokens and personal data. Errors are answered here, so that the
// line knows the status.
func logRequests(log *slog.Logger, now func() time.Time) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			start := now()
			if err := next(c); err != nil {
				c.Error(err)
			}
			level := slog.LevelInfo
			if isHealthPath(c.Path()) {
				level = slog.LevelDebug
			}
			log.LogAttrs(c.Request().Context(), level, "request",
				slog.String("method", knownMethod(c.Request().Method)),
				slog.String("route", routePattern(c)),
				slog.Int("status", c.Response().Status),
				slog.Int64("bytes", c.Response().Size),
				slog.Int64("duration_us", now().Sub(start).Microseconds()),
				slog.String("client_ip", ClientIP(c).String()))
			return nil
		}
	}
}

// routePattern is the matched route as it was registered, "unmatched" where
// there is none.
func routePattern(c echo.Context) string {
	if c.Path() == "" {
		return "unmatched"
	}
	return c.Path()
}

// knownMethod keeps the client's own words out of the log.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect:
		return method
	}
	return "OTHER"
}

// recoverPanics turns a panic into an error with code internal and logs its
// stack. http.ErrAbortHandler goes on: it is the way to cut an answer short.
func recoverPanics(log *slog.Logger) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				if cause, ok := v.(error); ok && errors.Is(cause, http.ErrAbortHandler) {
					panic(v)
				}
				log.ErrorContext(c.Request().Context(), "panic in a handler", "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
				// Without %w: a panic is our fault whatever error it carries.
				err = fmt.Errorf("panic in a handler: %v", v)
			}()
			return next(c)
		}
	}
}

// limitRequests bounds what one request may be and may take:
//
//   - TRACE and CONNECT are 405 whatever is routed. TRACE would send a client
//     its own credentials back (RFC 9110 §9.3.8), and this is no proxy.
//   - A declared length over 64 KiB is refused before any of it is read, and a
//     chunked body ends there with *http.MaxBytesError. How long a body may
//     take to arrive is the server's ReadTimeout.
//   - A request with a Transfer-Encoding is answered with "Connection: close".
//     net/http drops a Content-Length beside it unseen, and after such a pair
//     a proxy that went by the length would take what follows on the same
//     connection for another request (RFC 9112 §6.1).
//   - After requestTimeout the context ends, and what returns its error is
//     answered as unavailable.
func limitRequests() echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			outer := c.Request()
			answer := c.Response().Header()
			if outer.Method == http.MethodTrace || outer.Method == http.MethodConnect {
				answer.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
				return secerr.New(secerr.MethodNotAllowed, "This server does not answer this method.")
			}
			if len(outer.TransferEncoding) > 0 {
				answer.Set("Connection", "close")
			}
			if outer.ContentLength > maxBodyBytes {
				answer.Set("Connection", "close")
				return secerr.New(secerr.PayloadTooLarge, tooLargeDetail)
			}
			if outer.Body != nil && outer.Body != http.NoBody {
				outer.Body = http.MaxBytesReader(c.Response().Writer, outer.Body, maxBodyBytes)
			}

			ctx, cancel := context.WithTimeout(outer.Context(), requestTimeout)
			defer cancel()
			c.SetRequest(outer.WithContext(ctx))
			// An error is answered further out, where the time limit must not
			// stand, nor look like a client that left.
			defer c.SetRequest(outer)
			return next(c)
		}
	}
}
