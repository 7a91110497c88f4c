package handlers

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/static"
)

const (
	// nonceBytes is the 128 bits that CSP Level 3 §7.1 asks of a nonce.
	nonceBytes = 16

	// strictTransportSecurity lasts two years, what hstspreload.org recommends
	// (it demands one).
	strictTransportSecurity = "max-age=63072000; includeSubDomains"

	// machinePolicy is the CSP of what is never rendered as a page: JSON, and
	// a static file opened on its own (an SVG could hold a script).
	machinePolicy = "default-src 'none'; frame-ancestors 'none'"

	// referrerPolicy: "same-origin" tells no other site anything, not even our
	// name, and leaves the Origin header on our own form posts. Under
	// "no-referrer" browsers send "Origin: null" there (Fetch, "append a
	// request `Origin` header").
	referrerPolicy = "same-origin"

	// tokenReferrerPolicy hides the address of a page behind a one-time link
	// from the log of a proxy of ours, too. Its form posts with "Origin: null"
	// and passes by Sec-Fetch-Site, so it is for https alone: over plain http
	// not every browser sends Fetch Metadata, and the form would be lost.
	tokenReferrerPolicy = "no-referrer"
)

// permissionsPolicy turns off the browser features that no page uses. What
// stays is for ourselves only: passkeys and the copy buttons.
var permissionsPolicy = strings.Join([]string{
	"accelerometer=()", "autoplay=()", "browsing-topics=()", "camera=()",
	"clipboard-read=()", "clipboard-write=(self)", "display-capture=()", "encrypted-media=()",
	"fullscreen=()", "gamepad=()", "geolocation=()", "gyroscope=()", "hid=()",
	"identity-credentials-get=()", "idle-detection=()", "local-fonts=()", "magnetometer=()",
	"microphone=()", "midi=()", "payment=()", "picture-in-picture=()",
	"publickey-credentials-create=(self)", "publickey-credentials-get=(self)",
	"screen-wake-lock=()", "serial=()", "storage-access=()", "usb=()",
	"window-management=()", "xr-spatial-tracking=()",
}, ", ")

// pagePolicy is the CSP of a page whose scripts carry the nonce. Without
// 'unsafe-inline', 'unsafe-eval' or a foreign host, an injected tag does
// nothing. img-src has data: for the QR picture, which is drawn in process
// and must not have an address of its own. media-src is for the spoken CAPTCHA;
// its worker is a script of our own, so script-src lets it run. In connect-src,
// 'self' is also the WebSocket of our own origin (CSP 3 §6.7.2.8).
func (s Site) pagePolicy(nonce string) string {
	policy := "default-src 'none'; script-src 'self' 'nonce-" + nonce + "'; style-src 'self'; " +
		"img-src 'self' data:; media-src 'self'; font-src 'self'; connect-src 'self'; form-action 'self'; " +
		"base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
	if s.https {
		policy += "; upgrade-insecure-requests"
	}
	return policy
}

// securityHeaders sets the security headers on every response before anything
// else can answer, so that refusals and static files have them too. A page
// gets a fresh nonce from random, which templ reads from the request's
// context. Answers are no-store by default; only static files may be kept,
// and their handler says for how long. random must be safe for concurrent
// use.
func securityHeaders(own Site, random io.Reader) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			h := c.Response().Header()
			h.Set("X-Frame-Options", "DENY")
			h.Set("X-Content-Type-Options", "nosniff")
			h.Set("Referrer-Policy", referrerPolicy)
			h.Set("Permissions-Policy", permissionsPolicy)
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Cross-Origin-Resource-Policy", "same-origin")
			// The filter it once switched on could itself be abused to leak
			// (OWASP HTTP Headers Cheat Sheet).
			h.Set("X-XSS-Protection", "0")
			h.Set("Content-Security-Policy", machinePolicy)
			if own.https {
				h.Set("Strict-Transport-Security", strictTransportSecurity)
			}
			path := c.Request().URL.Path
			if strings.HasPrefix(path, static.Prefix) {
				return next(c)
			}
			h.Set("Cache-Control", "no-store")
			if isMachinePath(path) {
				return next(c)
			}

			nonce, err := newNonce(random)
			if err != nil {
				return err
			}
			h.Set("Content-Security-Policy", own.pagePolicy(nonce))
			r := c.Request()
			if own.https && r.URL.Query().Has("token") {
				h.Set("Referrer-Policy", tokenReferrerPolicy)
			}
			c.SetRequest(r.WithContext(templ.WithNonce(r.Context(), nonce)))
			return next(c)
		}
	}
}

func newNonce(random io.Reader) (string, error) {
	var raw [nonceBytes]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("CSP nonce: %w", err)
	}
	return base64.StdEncoding.EncodeToString(raw[:]), nil
}

// allowedHosts refuses requests for a host that is not ours: a name that an
// attacker points at this address (DNS rebinding), a scan by address, or a
// forged Host meant for a link in a mail. Health probes are exempt, since
// they ask by address.
func allowedHosts(own Site) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			if isHealthPath(r.URL.Path) || own.servesHost(r.Host) {
				return next(c)
			}
			return secerr.New(secerr.BadRequest,
				"This server does not answer for that host name. Use the address it was set up with.")
		}
	}
}

func isHealthPath(path string) bool {
	return path == "/healthz" || path == "/readyz"
}
