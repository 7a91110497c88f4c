package handlers

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/views"
)

// captcha is what the page of a sign-in shows when a CAPTCHA is demanded, and
// nil for any other refusal, which it passes on as it is.
func (s *Server) captcha(email string, refusal error) (*views.CaptchaProps, error) {
	if !secerr.Is(refusal, secerr.CaptchaRequired) {
		return nil, refusal
	}
	props, err := s.captchaFor(email, asRefusal(refusal).Captcha)
	if err != nil {
		return nil, err
	}
	return props, refusal
}

// captchaFor shows a challenge, and digits for who has no JavaScript. Without a
// challenge there is nothing to show.
func (s *Server) captchaFor(email string, challenge any) (*views.CaptchaProps, error) {
	if challenge == nil {
		return nil, nil
	}
	text, err := json.Marshal(challenge)
	if err != nil {
		return nil, err
	}
	token, err := s.service.CaptchaDigits(email)
	if err != nil {
		return nil, err
	}
	query := "?token=" + url.QueryEscape(token)
	return &views.CaptchaProps{Challenge: string(text), Token: token,
		ImagePath: "/login/captcha.png" + query, AudioPath: "/login/captcha.wav" + query}, nil
}

// captchaImage draws the digits of a CAPTCHA.
func (s *Server) captchaImage(c echo.Context) error {
	picture, err := s.service.CaptchaImage(c.QueryParam("token"))
	if err != nil {
		return noCaptcha(err)
	}
	return c.Blob(http.StatusOK, "image/png", picture)
}

// captchaAudio speaks them.
func (s *Server) captchaAudio(c echo.Context) error {
	recording, err := s.service.CaptchaAudio(c.QueryParam("token"))
	if err != nil {
		return noCaptcha(err)
	}
	// Browsers ask for it in parts.
	c.Response().Header().Set("Content-Type", "audio/wav")
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, bytes.NewReader(recording))
	return nil
}

// noCaptcha answers a token that is none, or not any more.
func noCaptcha(err error) error {
	if secerr.Is(err, secerr.ValidationFailed) {
		return secerr.Wrap(secerr.NotFound, "There is no such picture any more.", err)
	}
	return err
}
