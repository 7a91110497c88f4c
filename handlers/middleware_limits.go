package handlers

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/ratelimit"
	"patronus.internal/dashboard/static"
)

// refuseBlocked shuts blocked addresses out, of pages and API alike. Probes of
// the host, and what an error page is made of, are spared.
func (s *Server) refuseBlocked(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		path := c.Request().URL.Path
		if isHealthPath(path) || strings.HasPrefix(path, static.Prefix) {
			return next(c)
		}
		if err := s.service.Blocked(c.Request().Context(), s.request(c)); err != nil {
			return err
		}
		return next(c)
	}
}

// decisionKey is where limited keeps the tightest decision on a request.
const decisionKey = "decision"

// limited writes the headers of a limiter's decision, unless a tighter one was
// made on this request, and passes on what it refuses.
func limited(c echo.Context, d ratelimit.Decision, refusal error) error {
	if d.Limit == 0 { // nothing was decided
		return refusal
	}
	if before, ok := c.Get(decisionKey).(ratelimit.Decision); ok && before.Tighter(d) {
		return refusal
	}
	c.Set(decisionKey, d)
	h := c.Response().Header()
	h.Set("X-RateLimit-Limit", strconv.FormatInt(d.Limit, 10))
	h.Set("X-RateLimit-Remaining", strconv.FormatInt(d.Remaining, 10))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(wholeSeconds(d.ResetAfter), 10))
	return refusal
}

// limitPublic counts a request on a route that needs no identity.
func (s *Server) limitPublic(c echo.Context, r route) error {
	ctx := c.Request().Context()
	if r.limit == unlimited {
		return nil
	}
	d, err := s.service.LimitUnauthenticated(ctx, s.request(c))
	if err := limited(c, d, err); err != nil {
		return err
	}
	if r.limit == limitLogin {
		// This limit is counted by the handler, when it has read whose account it
		// is; an attempt that does not come so far shows it too.
		return limited(c, s.service.PeekLogin(s.request(c)), nil)
	}
	return nil
}

// limitLogin counts an attempt to sign in.
func (s *Server) limitLogin(c echo.Context, email string) error {
	c.Set(triedKey, email)
	d, err := s.service.LimitLogin(c.Request().Context(), s.request(c), email)
	return limited(c, d, err)
}

// limitStranger counts a request that was refused before anybody was known to
// make it, and returns why it was, or that there were too many.
func (s *Server) limitStranger(c echo.Context, refusal error) error {
	if ToProblem(refusal, "").Status >= http.StatusInternalServerError {
		return refusal
	}
	d, err := s.service.LimitUnauthenticated(c.Request().Context(), s.request(c))
	if err := limited(c, d, err); err != nil {
		return err
	}
	return refusal
}

// limitCaller counts a request of somebody.
func (s *Server) limitCaller(c echo.Context, r route, who security.Caller) error {
	if r.limit == unlimited {
		return nil
	}
	d, err := s.service.LimitCaller(c.Request().Context(), who)
	return limited(c, d, err)
}
