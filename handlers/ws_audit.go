package handlers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
)

// sessionOver is the close code of a feed whose session has ended or may not
// read the log any more: of the private range of RFC 6455 §7.4.2, after the
// status that says the same.
const sessionOver websocket.StatusCode = 4401

const (
	// feedWrite bounds how long one event may take to be taken.
	feedWrite = 10 * time.Second
	// feedPing finds connections whose other end is gone.
	feedPing = 30 * time.Second
)

// guardStream lets a WebSocket through to its handler. It takes a bearer or, as
// browsers cannot send one, the cookie; what another site's page opens is refused
// whatever it carries.
func (s *Server) guardStream(r route) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := s.csrf.checkOrigin(c.Request()); err != nil {
			return s.limitStranger(c, secerr.Wrap(secerr.Forbidden, "This page may not follow the log.", err))
		}
		if err := refuseKeyInQuery(c.Request().URL); err != nil {
			return s.limitStranger(c, err)
		}
		who, err := s.identify(c.Request().Context(), c, s.request(c))
		if err != nil {
			return s.limitStranger(c, err)
		}
		c.Set(callerKey, who)
		d, err := s.service.LimitWebSocket(c.Request().Context(), who)
		if err := limited(c, d, err); err != nil {
			return err
		}
		if who.EnrollmentRequired {
			return s.service.Deny(c.Request().Context(), who, secerr.New(secerr.MFAEnrollmentRequired, "Your account must have a second factor. Enrol one first."))
		}
		return s.enter(c, r, who)
	}
}

// checkHandshake refuses what opens no WebSocket (RFC 6455 §4.2.1) in the words of
// every other refusal.
func checkHandshake(r *http.Request) error {
	key, err := base64.StdEncoding.DecodeString(r.Header.Get("Sec-WebSocket-Key"))
	switch {
	case !headerHas(r.Header, "Connection", "upgrade"), !headerHas(r.Header, "Upgrade", "websocket"):
		return secerr.New(secerr.BadRequest, "This address is for WebSockets. Open it with a WebSocket client.")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		return secerr.New(secerr.BadRequest, "Only version 13 of the WebSocket protocol is spoken here.")
	case err != nil, len(key) != 16, len(r.Header.Values("Sec-WebSocket-Key")) != 1:
		return secerr.New(secerr.BadRequest, "Sec-WebSocket-Key must be 16 bytes in base64.")
	}
	return nil
}

// headerHas reports whether a list of tokens in a header has one, in any case.
func headerHas(h http.Header, name, token string) bool {
	for _, line := range h.Values(name) {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), token) {
				return true
			}
		}
	}
	return false
}

// identify takes either way of saying who one is. A cookie counts only where
// the browser says that the request comes from our own page.
func (s *Server) identify(ctx context.Context, c echo.Context, req security.Request) (security.Caller, error) {
	if hasBearer(c.Request()) {
		token, err := bearer(c.Request().Header)
		if err != nil {
			return security.Caller{}, err
		}
		return s.service.IdentifyBearer(ctx, req, token)
	}
	if c.Request().Header.Get("Origin") == "" {
		return security.Caller{}, secerr.New(secerr.Unauthenticated, "Sign in: send an access token or an API key as Authorization: Bearer.")
	}
	return s.service.IdentifyCookie(ctx, req, s.cookie(c))
}

// wsAudit sends the events of the log as they happen: GET /ws/audit.
func (s *Server) wsAudit(c echo.Context) error {
	values, err := queryParams(c, "after")
	if err != nil {
		return err
	}
	if err := checkHandshake(c.Request()); err != nil {
		return err
	}
	after := int64(-1)
	if text := values.Get("after"); text != "" {
		if after, err = strconv.ParseInt(text, 10, 64); err != nil || after < 0 {
			return secerr.Invalid("after", "Use the id of an event: a whole number, 0 for the whole log.")
		}
	}
	// The origin was checked, by what this server knows of its own names.
	conn, err := websocket.Accept(c.Response(), c.Request(), &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return nil // it has answered
	}
	defer conn.CloseNow()
	c.Response().Committed = true
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.Request().Context()))
	defer cancel()
	defer context.AfterFunc(s.stopping, func() { _ = conn.Close(websocket.StatusGoingAway, "the server is stopping"); cancel() })()
	ctx = conn.CloseRead(ctx) // nothing is expected; what comes ends it
	go keepAlive(ctx, conn)

	// To follow is not to be there: the session goes on idling, and a key is not
	// used anew.
	req := s.request(c)
	req.Unseen = true
	err = s.service.Follow(ctx, func(ctx context.Context) (security.Caller, error) { return s.identify(ctx, c, req) }, after,
		func(e audit.Record) error {
			text, err := json.Marshal(e.View())
			if err != nil {
				return err
			}
			writing, cancel := context.WithTimeout(ctx, feedWrite)
			defer cancel()
			return conn.Write(writing, websocket.MessageText, text)
		})
	if ctx.Err() != nil {
		return nil // the other end has gone, or we go
	}
	switch p := ToProblem(err, ""); {
	case p.Status == http.StatusUnauthorized, p.Status == http.StatusForbidden:
		_ = conn.Close(sessionOver, string(p.Code))
	default:
		s.log.WarnContext(ctx, "a live feed has ended", "error", err)
		_ = conn.Close(websocket.StatusTryAgainLater, "try again")
	}
	return nil
}

func keepAlive(ctx context.Context, conn *websocket.Conn) {
	ticker := time.NewTicker(feedPing)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			pinging, cancel := context.WithTimeout(ctx, feedWrite)
			err := conn.Ping(pinging)
			cancel()
			if err != nil {
				conn.CloseNow()
				return
			}
		}
	}
}
