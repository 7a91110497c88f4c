package handlers

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/ipblock"
	"patronus.internal/dashboard/security/ratelimit"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/views"
)

// blocksPerPage is how many blocks one page lists.
const blocksPerPage = 50

// rememberRefusal keeps a 403 or 429 with how its address was found, for who
// asks why.
func (s *Server) rememberRefusal(c echo.Context, err error) {
	p := ToProblem(err, RequestIDFrom(c.Request().Context()))
	if p.Status != http.StatusForbidden && p.Status != http.StatusTooManyRequests {
		return
	}
	r := c.Request()
	who := caller(c)
	one := security.Refusal{RequestID: p.RequestID, Code: p.Code, Route: r.Method + " " + c.Path(), Email: who.User.Email, UserID: who.User.ID,
		IP: ClientIP(c), Peer: r.RemoteAddr}
	if who.Key != nil {
		one.APIKeyID = who.Key.ID
	}
	if tried, ok := c.Get(triedKey).(string); ok && one.Email == "" {
		one.Email = tried[:min(len(tried), maxForwardedBytes)]
	}
	for _, line := range r.Header.Values("X-Forwarded-For") {
		if len(one.Forwarded) < maxForwardedLines {
			one.Forwarded = append(one.Forwarded, line[:min(len(line), maxForwardedBytes)])
		}
	}
	s.service.Refused(one)
}

// triedKey is where a sign-in leaves whose account it tried.
const triedKey = "tried"

// What is kept of a header that a client writes, and so may be long.
const (
	maxForwardedLines = 4
	maxForwardedBytes = 200
)

// pageIPBlocks lists the blocks, and explains an address or a refused request.
func (s *Server) pageIPBlocks(c echo.Context) error {
	page := s.page(c, "IP blocks", views.MenuIPBlocks)
	switch c.QueryParam("done") {
	case "blocked":
		page.Notice = "The address is blocked."
	case "removed":
		page.Notice = "The block is lifted."
	case "forgotten":
		page.Notice = "What the address had used up is forgotten."
	}
	return s.renderIPBlocks(c, http.StatusOK, page, views.BlockForm{Duration: "1h"})
}

func (s *Server) renderIPBlocks(c echo.Context, status int, page views.Page, form views.BlockForm) error {
	before, err := decodeIDCursor(c.QueryParam("cursor"))
	if err != nil {
		return err
	}
	ctx, who := c.Request().Context(), caller(c)
	props := views.IPBlocksProps{Page: page, Form: form, About: strings.TrimSpace(c.QueryParam("about")), CanWrite: who.Reach(rbac.IPBlocksWrite) == rbac.All}
	if props.About != "" {
		e, err := s.service.Explain(ctx, who, props.About)
		if err != nil {
			if status, err = s.formProblem(c, &props.Page, err); err != nil {
				return err
			}
		} else {
			props.Explanation = explanation(e)
		}
	}
	blocks, next, err := s.service.Blocks(ctx, who, before, blocksPerPage)
	if err != nil {
		return err
	}
	for _, b := range blocks {
		props.Blocks = append(props.Blocks, blockRow(b))
	}
	if next != "" {
		props.NextURL = pageURL("/ip-blocks", url.Values{}, "cursor", encodeIDCursor(next))
	}
	return s.render(c, status, views.IPBlocks(props))
}

func blockRow(b ipblock.Block) views.BlockRow {
	return views.BlockRow{ID: b.ID, Network: networkText(b), Reason: b.Reason, Automatic: b.Source == ipblock.Automatic, CreatedAt: b.CreatedAt, ExpiresAt: b.ExpiresAt}
}

func explanation(e security.Explanation) *views.Explanation {
	shown := &views.Explanation{IP: e.IP.String(), Trusted: e.Trusted, Login: limitRow(e.Login), Requests: limitRow(e.Requests), Events: eventRows(e.Events)}
	if shown.Failed = len(e.FailedLogins); shown.Failed > 0 {
		shown.FailedURL = "/audit?" + url.Values{"event_type": {string(audit.LoginAttempt)}, "success": {"false"}, "ip": {shown.IP}, "since": {"1d"}}.Encode()
	}
	for _, failed := range e.FailedLogins {
		if email := failed.Actor.Email; email != "" && !slices.Contains(shown.FailedAccounts, email) {
			shown.FailedAccounts = append(shown.FailedAccounts, email)
		}
	}
	if e.Block != nil {
		row := blockRow(*e.Block)
		shown.Block = &row
	}
	for _, name := range slices.Sorted(maps.Keys(e.Callers)) {
		row := limitRow(e.Callers[name])
		row.Name = name
		shown.Callers = append(shown.Callers, row)
	}
	for _, r := range e.Refusals {
		shown.Refusals = append(shown.Refusals, views.RefusalRow{RequestID: r.RequestID, At: r.At, Code: string(r.Code), Route: r.Route, Email: r.Email,
			IP: r.IP.String(), Peer: r.Peer, Forwarded: r.Forwarded})
	}
	return shown
}

func limitRow(d ratelimit.Decision) views.LimitRow {
	return views.LimitRow{Limit: d.Limit, Remaining: d.Remaining, ResetAfter: d.ResetAfter.Round(time.Second)}
}

// submitBlockIP blocks an address.
func (s *Server) submitBlockIP(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	// What is copied from elsewhere often has a space around it.
	typed := views.BlockForm{IP: strings.TrimSpace(form.One("ip")), Duration: strings.TrimSpace(form.One("duration")), Reason: form.One("reason"), Force: form.One("force") != ""}
	if err = required(field{"ip", typed.IP}, field{"duration", typed.Duration}); err == nil {
		var duration time.Duration
		if duration, err = blockDuration(typed.Duration); err == nil {
			_, err = s.service.BlockIP(c.Request().Context(), caller(c), security.BlockRequest{Network: typed.IP, Duration: duration, Reason: typed.Reason, Force: typed.Force})
		}
	}
	if err == nil {
		return c.Redirect(http.StatusSeeOther, "/ip-blocks?done=blocked")
	}
	page := s.page(c, "IP blocks", views.MenuIPBlocks)
	status, err := s.formProblem(c, &page, err)
	if err != nil {
		return err
	}
	return s.renderIPBlocks(c, status, page, typed)
}

// submitUnblockIP lifts a block.
func (s *Server) submitUnblockIP(c echo.Context) error {
	if err := s.service.UnblockIP(c.Request().Context(), caller(c), c.Param("id")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/ip-blocks?done=removed")
}

// submitForgetAddress makes the limiters forget an address.
func (s *Server) submitForgetAddress(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	if err := s.service.ForgetAddress(c.Request().Context(), caller(c), form.One("about")); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/ip-blocks?done=forgotten&about="+url.QueryEscape(form.One("about")))
}
