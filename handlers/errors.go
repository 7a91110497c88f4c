package handlers

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/static"
)

// refusal is how one code appears in HTTP.
type refusal struct {
	Status int
	Title  string
}

// refusals is the only place where a code of package secerr becomes a status.
// A test walks the source of secerr: a code without a row fails it.
var refusals = map[secerr.Code]refusal{
	secerr.BadRequest:            {http.StatusBadRequest, "The request could not be understood"},
	secerr.Unauthenticated:       {http.StatusUnauthorized, "Sign in first"},
	secerr.TokenExpired:          {http.StatusUnauthorized, "The token has expired"},
	secerr.TokenRevoked:          {http.StatusUnauthorized, "The token was revoked"},
	secerr.InvalidCredentials:    {http.StatusUnauthorized, "Wrong e-mail address or password"},
	secerr.InvalidCode:           {http.StatusUnauthorized, "Wrong code"},
	secerr.CaptchaRequired:       {http.StatusUnauthorized, "Show that you are not a program"},
	secerr.Forbidden:             {http.StatusForbidden, "Not allowed"},
	secerr.InsufficientScope:     {http.StatusForbidden, "The API key does not allow this"},
	secerr.MFAEnrollmentRequired: {http.StatusForbidden, "Set up a second factor first"},
	secerr.CSRFFailed:            {http.StatusForbidden, "The form could not be accepted"},
	secerr.IPBlocked:             {http.StatusForbidden, "This address is blocked"},
	secerr.NonceInvalid:          {http.StatusForbidden, "The confirmation is not valid"},
	secerr.NotFound:              {http.StatusNotFound, "Not found"},
	secerr.MethodNotAllowed:      {http.StatusMethodNotAllowed, "Method not allowed"},
	secerr.Conflict:              {http.StatusConflict, "Conflict"},
	secerr.PreconditionFailed:    {http.StatusPreconditionFailed, "It was changed in the meantime"},
	secerr.PayloadTooLarge:       {http.StatusRequestEntityTooLarge, "The request is too large"},
	secerr.UnsupportedMediaType:  {http.StatusUnsupportedMediaType, "Unsupported content type"},
	secerr.ValidationFailed:      {http.StatusUnprocessableEntity, "Some of the input was not accepted"},
	secerr.NonceRequired:         {http.StatusPreconditionRequired, "Confirm this operation first"},
	secerr.RateLimited:           {http.StatusTooManyRequests, "Too many requests"},
	secerr.AccountLocked:         {http.StatusTooManyRequests, "The account is locked for a while"},
	secerr.Internal:              {http.StatusInternalServerError, "Something went wrong"},
	secerr.Unavailable:           {http.StatusServiceUnavailable, "Temporarily unavailable"},
}

const (
	problemContentType = "application/problem+json"

	internalDetail = "Something went wrong on our side. Try again; if it happens again, " +
		"tell the administrator the request id."
	busyDetail     = "The server could not finish this in time. Try again in a moment."
	tooLargeDetail = "A request may carry at most 64 KiB."

	// statusClientClosedRequest stands in the access log where the client left
	// before there was an answer. It is nginx's number; nobody receives it.
	statusClientClosedRequest = 499
)

// Problem is the answer to a refused request, as RFC 9457 §3 has it with the
// extension members code, request_id, retry_after and errors. The same value
// feeds the error page. Every text in it is meant for the person who asked.
type Problem struct {
	Type       string         `json:"type"`
	Title      string         `json:"title"`
	Status     int            `json:"status"`
	Detail     string         `json:"detail"`
	Code       secerr.Code    `json:"code"`
	RequestID  string         `json:"request_id"`
	RetryAfter int64          `json:"retry_after,omitzero"` // seconds, 0 when there is nothing to wait for
	Errors     []secerr.Field `json:"errors,omitempty"`     // only with status 422
	Captcha    any            `json:"captcha,omitzero"`     // the challenge, only with captcha_required
}

// ToProblem describes err to the person who made the request requestID. What
// is no refusal becomes code internal with a fixed sentence, so nothing
// internal can leak.
func ToProblem(err error, requestID string) Problem {
	e := asRefusal(err)
	row, known := refusals[e.Code]
	if !known {
		e = secerr.New(secerr.Internal, internalDetail)
		row = refusals[e.Code]
	}
	p := Problem{
		Type:       "about:blank",
		Title:      row.Title,
		Status:     row.Status,
		Detail:     e.Detail,
		Code:       e.Code,
		RequestID:  requestID,
		RetryAfter: wholeSeconds(e.RetryAfter),
	}
	if p.Detail == "" {
		p.Detail = row.Title + "."
	}
	if e.Code == secerr.CaptchaRequired {
		p.Captcha = e.Captcha
	}
	if row.Status == http.StatusUnprocessableEntity {
		p.Errors = e.Fields
	}
	// The contract promises Retry-After on every 429 and 503.
	if p.RetryAfter == 0 && (row.Status == http.StatusTooManyRequests || row.Status == http.StatusServiceUnavailable) {
		p.RetryAfter = 1
	}
	return p
}

// asRefusal finds the refusal in err, or the one that fits what the framework
// or the clock refused: *secerr.Error, *http.MaxBytesError, *echo.HTTPError,
// an expired context. An error that nobody foresaw is internal.
func asRefusal(err error) *secerr.Error {
	if e, ok := errors.AsType[*secerr.Error](err); ok {
		return e
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return secerr.New(secerr.PayloadTooLarge, tooLargeDetail)
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		return fromEcho(e.Code)
	}
	// A cancelled context is answered only while the client still waits, as at
	// shutdown; it may come back.
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return secerr.Busy(busyDetail, time.Second, err)
	}
	return secerr.New(secerr.Internal, internalDetail)
}

// fromEcho names a status that the router or the framework chose. Its message
// is dropped: it may quote what a library said.
func fromEcho(status int) *secerr.Error {
	switch status {
	case http.StatusUnauthorized:
		return secerr.New(secerr.Unauthenticated, "Sign in to use this.")
	case http.StatusForbidden:
		return secerr.New(secerr.Forbidden, "You are not allowed to do this.")
	case http.StatusNotFound:
		return secerr.New(secerr.NotFound, "There is nothing at this address.")
	case http.StatusMethodNotAllowed:
		return secerr.New(secerr.MethodNotAllowed, "This address does not answer this method.")
	case http.StatusRequestEntityTooLarge:
		return secerr.New(secerr.PayloadTooLarge, tooLargeDetail)
	case http.StatusUnsupportedMediaType:
		return secerr.New(secerr.UnsupportedMediaType, "This address does not accept this content type.")
	case http.StatusTooManyRequests:
		return secerr.New(secerr.RateLimited, "Too many requests. Try again in a moment.")
	case http.StatusServiceUnavailable:
		return secerr.Busy(busyDetail, time.Second, nil)
	}
	if status >= 400 && status < 500 {
		return secerr.New(secerr.BadRequest, "The request could not be understood.")
	}
	return secerr.New(secerr.Internal, internalDetail)
}

// wholeSeconds rounds up, since a client that comes back early is refused
// again.
func wholeSeconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Second) + 1
}

// ErrorHandler answers for every error that a handler or a middleware
// returns: the API and whoever asks for JSON get problem+json, a browser gets
// the page that renderPage writes with the problem's status. renderPage may
// redirect instead; if it fails, the problem is sent as JSON.
//
// The cause goes to log alone, at error level from status 500 on and at info
// level below. NewLogHandler adds the id that the client was told.
func ErrorHandler(renderPage func(c echo.Context, p Problem) error, log *slog.Logger) echo.HTTPErrorHandler {
	return func(err error, c echo.Context) {
		ctx := c.Request().Context()
		if c.Response().Committed {
			log.ErrorContext(ctx, "request failed after its answer had begun", "error", err)
			return
		}
		if errors.Is(err, context.Canceled) && errors.Is(ctx.Err(), context.Canceled) {
			log.DebugContext(ctx, "client left before the answer", "error", err)
			c.Response().WriteHeader(statusClientClosedRequest)
			return
		}

		// The answer must still be written when the time for the work is over.
		ctx = context.WithoutCancel(ctx)
		c.SetRequest(c.Request().WithContext(ctx))

		p := ToProblem(err, RequestIDFrom(ctx))
		logProblem(ctx, log, p, err)
		prepareErrorHeader(c, p)
		if err := writeError(c, p, renderPage); err != nil {
			log.WarnContext(ctx, "error answer could not be written", "error", err)
		}
	}
}

func logProblem(ctx context.Context, log *slog.Logger, p Problem, err error) {
	if p.Status >= http.StatusInternalServerError {
		log.ErrorContext(ctx, "request failed", "code", string(p.Code), "status", p.Status, "error", err)
		return
	}
	log.InfoContext(ctx, "request refused", "code", string(p.Code), "status", p.Status, "error", err)
}

// prepareErrorHeader drops what a handler had set about the answer it did not
// give, and adds what the status demands.
func prepareErrorHeader(c echo.Context, p Problem) {
	h := c.Response().Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Disposition", "ETag", "Last-Modified", "Accept-Ranges", "Location"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(p.RetryAfter, 10))
		// A lock or a budget may be tighter than the limiter that let it through.
		if p.Status == http.StatusTooManyRequests && h.Get("X-RateLimit-Limit") != "" {
			h.Set("X-RateLimit-Remaining", "0")
			if reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err == nil {
				h.Set("X-RateLimit-Reset", strconv.FormatInt(max(reset, p.RetryAfter), 10))
			}
		}
	}
	if challenge := bearerChallenge(c.Request(), p); challenge != "" && answersJSON(c.Request()) {
		h.Set("WWW-Authenticate", challenge)
	}
}

// bearerChallenge is the WWW-Authenticate value of RFC 6750 §3. A request
// that carried no credentials is told no error code (§3.1).
func bearerChallenge(r *http.Request, p Problem) string {
	const realm = `Bearer realm="patronus"`
	switch {
	case p.Code == secerr.InsufficientScope:
		return realm + `, error="insufficient_scope"`
	case p.Status != http.StatusUnauthorized:
		return ""
	case p.Code == secerr.TokenExpired, p.Code == secerr.TokenRevoked,
		p.Code == secerr.Unauthenticated && r.Header.Get("Authorization") != "":
		return realm + `, error="invalid_token"`
	}
	return realm
}

func writeError(c echo.Context, p Problem, renderPage func(echo.Context, Problem) error) error {
	if answersJSON(c.Request()) {
		return writeProblem(c, p)
	}
	if c.Request().Method == http.MethodHead {
		c.Response().Header().Set("Content-Type", "text/html; charset=utf-8")
		c.Response().WriteHeader(p.Status)
		return nil
	}
	if err := renderPage(c, p); err != nil {
		if c.Response().Committed {
			return err
		}
		return errors.Join(err, writeProblem(c, p))
	}
	return nil
}

func writeProblem(c echo.Context, p Problem) error {
	// A detail that is not UTF-8 must not turn a refusal into no answer.
	body, err := json.Marshal(p, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return err
	}
	c.Response().Header().Set("Content-Type", problemContentType)
	c.Response().WriteHeader(p.Status)
	if c.Request().Method == http.MethodHead {
		return nil
	}
	_, err = c.Response().Write(body)
	return err
}

// answersJSON reports whether errors of this request are problem+json: under
// the paths that programs use, and where the client asks for JSON and not for
// a page.
func answersJSON(r *http.Request) bool {
	if isMachinePath(r.URL.Path) {
		return true
	}
	accept := strings.ToLower(strings.Join(r.Header.Values("Accept"), ","))
	return !strings.Contains(accept, "text/html") &&
		(strings.Contains(accept, "application/json") || strings.Contains(accept, problemContentType))
}

// isMachinePath reports whether a path serves programs and never a page.
func isMachinePath(path string) bool {
	if path == docsPath { // for people
		return false
	}
	if slices.Contains([]string{"/api", "/healthz", "/readyz", "/metrics", "/ws"}, path) {
		return true
	}
	return strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/ws/") || strings.HasPrefix(path, static.Prefix)
}
