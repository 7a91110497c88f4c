package handlers

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/notice"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/views"
)

// The addresses of the notice.
const (
	noticePath     = "/notice"
	editNoticePath = "/notice/edit"
)

// beforeConsent are the pages that stay open to who has not agreed to the notice:
// the notice itself and what one needs to sign in, to leave, and to take one's data
// along.
var beforeConsent = []string{noticePath, "/logout", ownExportPath, alivePath, "/account/mfa", "/account/mfa/totp", "/account/mfa/totp/verify"}

// heldUp reports whether the notice stands between a person and a page.
func heldUp(r route) bool { return !slices.Contains(beforeConsent, r.path) }

// noticeURL leads to the notice and from there on to what was asked for. Only a GET
// can be repeated.
func noticeURL(r *http.Request) string {
	if r.Method != http.MethodGet || r.URL.RequestURI() == "/" {
		return noticePath
	}
	return noticePath + "?next=" + url.QueryEscape(r.URL.RequestURI())
}

// pageNotice shows the notice and asks who has not agreed to it.
func (s *Server) pageNotice(c echo.Context) error {
	return s.renderNotice(c, http.StatusOK, s.page(c, "Notice", views.MenuNotice), safeNext(c.QueryParam("next")))
}

func (s *Server) renderNotice(c echo.Context, status int, page views.Page, next string) error {
	n, acceptedAt, err := s.service.Notice(c.Request().Context(), caller(c))
	if err != nil {
		return err
	}
	if acceptedAt == nil {
		page.Title = "Please read this first"
	}
	return s.render(c, status, views.Notice(views.NoticeProps{Page: page, Version: n.Version, Text: n.Text, CreatedAt: n.CreatedAt, AcceptedAt: acceptedAt, Next: next}))
}

// submitNotice notes that somebody agrees, and goes on to where they wanted to.
func (s *Server) submitNotice(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	next := safeNext(form.One("next"))
	version, err := strconv.ParseInt(form.One("version"), 10, 64)
	if err != nil {
		return secerr.New(secerr.BadRequest, "The form does not say which notice it is about.")
	}
	err = s.service.AcceptNotice(c.Request().Context(), caller(c), version)
	if err == nil {
		return c.Redirect(http.StatusSeeOther, next)
	}
	page := s.page(c, "Notice", views.MenuNotice)
	status, err := s.formProblem(c, &page, err)
	if err != nil {
		return err
	}
	return s.renderNotice(c, status, page, next)
}

// pageEditNotice shows the form for another notice, and how many agreed to the one
// of now.
func (s *Server) pageEditNotice(c echo.Context) error {
	page := s.page(c, "Edit the notice", views.MenuNotice)
	switch c.QueryParam("done") {
	case "set":
		page.Notice = "The notice is set. Everybody is asked to agree before they go on."
	case "removed":
		page.Notice = "The notice is taken away. Nobody is asked any more."
	}
	props, err := s.noticeOfNow(c)
	if err != nil {
		return err
	}
	props.Page = page
	return s.render(c, http.StatusOK, views.EditNotice(props))
}

func (s *Server) noticeOfNow(c echo.Context) (views.EditNoticeProps, error) {
	ctx := c.Request().Context()
	n, _, err := s.service.Notice(ctx, caller(c))
	if secerr.Is(err, secerr.NotFound) {
		return views.EditNoticeProps{Seen: "0"}, nil
	}
	if err != nil {
		return views.EditNoticeProps{}, err
	}
	props := views.EditNoticeProps{Text: n.Text, Seen: strconv.FormatInt(n.Version, 10), Version: n.Version, CreatedAt: n.CreatedAt}
	props.Accepted, props.People, err = s.service.CountConsents(ctx, n.Version)
	return props, err
}

// submitEditNotice first shows what people would see, and sets it when that was
// confirmed.
func (s *Server) submitEditNotice(c echo.Context) error {
	form, err := parseForm(c)
	if err != nil {
		return err
	}
	text, err := notice.Check(form.One("text"))
	if err == nil && form.One("confirmed") == "yes" {
		var set notice.Notice
		set, err = s.service.SetNotice(c.Request().Context(), caller(c), text, func(now notice.Notice) bool {
			return strconv.FormatInt(now.Version, 10) == form.One("version")
		})
		if err == nil {
			done := "set"
			if set.Version == 0 {
				done = "removed"
			}
			return c.Redirect(http.StatusSeeOther, editNoticePath+"?done="+done)
		}
	}
	props, nowErr := s.noticeOfNow(c)
	if nowErr != nil {
		return nowErr
	}
	props.Page = s.page(c, "Edit the notice", views.MenuNotice)
	status := http.StatusOK
	if err != nil {
		if status, err = s.noticeRefused(c, &props, err); err != nil {
			return err
		}
		props.Text = form.One("text") // as it was typed
		return s.render(c, status, views.EditNotice(props))
	}
	props.Unchanged = text == props.Text
	props.Text, props.Preview = text, form.One("again") == "" && !props.Unchanged
	// Still of the notice that was seen, which may not be the one of now.
	props.Seen = form.One("version")
	return s.render(c, status, views.EditNotice(props))
}

// noticeRefused puts a refusal on the page. Where somebody else was faster, the text
// of now stands beside the one that was typed.
func (s *Server) noticeRefused(c echo.Context, props *views.EditNoticeProps, refused error) (int, error) {
	if !secerr.Is(refused, secerr.PreconditionFailed) {
		return s.formProblem(c, &props.Page, refused)
	}
	props.TextOfNow = props.Text
	return s.showProblem(c, &props.Page, secerr.New(secerr.PreconditionFailed,
		"Somebody else changed the notice in the meantime. Nothing of yours is lost: it stands in the field below. Look at it, and send it again.")), nil
}
