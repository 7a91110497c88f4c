package handlers

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/device"
	"patronus.internal/dashboard/security/secret"
)

// deviceCookie is how a browser, or a program that keeps cookies, is known
// again at its next sign-in.
type deviceCookie struct {
	secure bool
}

// name binds the cookie to this host and to https where there is https.
func (d deviceCookie) name() string {
	if d.secure {
		return "__Host-patronus-device"
	}
	return "patronus-device"
}

// read is the cookie of a request, empty without one or beside a bearer.
func (d deviceCookie) read(c echo.Context) secret.Text {
	if hasBearer(c.Request()) {
		return secret.Text{}
	}
	cookie, err := c.Cookie(d.name())
	if err != nil {
		return secret.Text{}
	}
	return secret.NewText(cookie.Value)
}

// write hands out the cookie that a sign-in has made or renewed, for as long as
// the device is known.
func (d deviceCookie) write(c echo.Context, value secret.Text) {
	if value.Empty() {
		return
	}
	c.SetCookie(&http.Cookie{Name: d.name(), Value: value.Reveal(), Path: "/", MaxAge: int(seconds(device.Lifetime)),
		HttpOnly: true, Secure: d.secure, SameSite: http.SameSiteLaxMode})
}

// hasBearer reports whether the identity of a request is a bearer, beside which
// cookies do not count. Other schemes are for a proxy in front.
func hasBearer(r *http.Request) bool {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "Bearer")
}
