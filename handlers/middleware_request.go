package handlers

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
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

// BaseOptions are the dependencies of Base. All but TrustedProxies are
// required.
type BaseOptions struct {
	Site           Site
	TrustedProxies []netip.Prefix
	Now            func() time.Time
	Rand           io.Reader    // safe for concurrent use
	Log            *slog.Logger // over NewLogHandler
}

// Base is what every request passes first, in this order, for echo's Use (the
// route is matched by then). The time limit stands outermost because its end
// cancels the context that an error is still answered under. What identifies
// the request comes before the log line that names it, and the headers before
// everything that may refuse.
func Base(o BaseOptions) []echo.MiddlewareFunc {
	return []echo.MiddlewareFunc{
		timeLimit(requestTimeout),
		requestIDs(o.Rand),
		clientIPs(o.TrustedProxies),
		logRequests(o.Log, o.Now),
		securityHeaders(o.Site, o.Rand),
		recoverPanics(o.Log),
		closeChunked,
		refuseMethods,
		allowedHosts(o.Site),
		limitBody,
	}
}

// streamed are the routes that take as long as there is something to send; each
// bounds its parts itself.
var streamed = []string{"/api/v1/audit/export", "/audit/export", "/ws/audit"}

// timeLimit ends the request's context after d; what still runs then returns
// context.DeadlineExceeded, which is answered as unavailable.
func timeLimit(d time.Duration) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if slices.Contains(streamed, c.Path()) {
				return next(c)
			}
			ctx, cancel := context.WithTimeout(c.Request().Context(), d)
			defer cancel()
			c.SetRequest(c.Request().WithContext(ctx))
			return next(c)
		}
	}
}

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

// RequestIDFrom is the id of the request that ctx belongs to, as its answer
// shows it, and "" outside one.
func RequestIDFrom(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// logHandler adds the request id to each record of a request.
type logHandler struct{ slog.Handler }

// NewLogHandler wraps a slog handler so that whatever is logged with a
// request's context, in any package, carries its request_id.
func NewLogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	if id := RequestIDFrom(ctx); id != "" {
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
			// Deferred, for an answer that is cut short by http.ErrAbortHandler.
			defer func() {
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
			}()
			if err := next(c); err != nil {
				c.Error(err)
			}
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

// refuseMethods answers TRACE and CONNECT with 405, whatever is routed. TRACE
// would send a client its own credentials back (RFC 9110 §9.3.8), and this is
// no proxy.
func refuseMethods(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if m := c.Request().Method; m != http.MethodTrace && m != http.MethodConnect {
			return next(c)
		}
		// Of a known path the router has already named the methods.
		if h := c.Response().Header(); h.Get("Allow") == "" {
			h.Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		}
		return secerr.New(secerr.MethodNotAllowed, "This server does not answer this method.")
	}
}

// closeChunked answers a request with a Transfer-Encoding with "Connection:
// close", whatever the answer. net/http drops a Content-Length beside it
// unseen, and after such a pair a proxy that went by the length would take what
// follows on the same connection for another request (RFC 9112 §6.1).
func closeChunked(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if len(c.Request().TransferEncoding) > 0 {
			c.Response().Header().Set("Connection", "close")
		}
		return next(c)
	}
}

// limitBody refuses a declared length over maxBodyBytes before any of the body
// is read, and ends a chunked one there with *http.MaxBytesError. How long a
// body may take to arrive is the server's ReadTimeout.
func limitBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, h := c.Request(), c.Response().Header()
		if r.ContentLength > maxBodyBytes {
			h.Set("Connection", "close")
			return secerr.New(secerr.PayloadTooLarge, tooLargeDetail)
		}
		if r.Body != nil && r.Body != http.NoBody {
			r.Body = http.MaxBytesReader(c.Response().Writer, r.Body, maxBodyBytes)
		}
		return next(c)
	}
}
