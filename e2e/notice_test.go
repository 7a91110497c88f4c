//go:build e2e

package e2e

import (
	"archive/zip"
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
)

const terms = "Welcome to the homelab of Ada.\n\nWe keep a log of who signs in, from where and when, for 90 days. Only Ada reads it.\n\nBe kind, and do not share your account."

// TestNotice: an admin sets a notice, everybody agrees before they go on, and takes
// their data along whether they agree or not.
func TestNotice(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServer(t, data)
		admin := newAdmin(t, s, scripts)
		user := newUser(t, s, data, scripts)

		user.visit("/notice", 404)
		user.visit("/notice/edit", 403)
		admin.clicks("/notice/edit")
		admin.sees("There is no notice, and nobody is asked")
		admin.inspect("notice-edit-none")
		admin.writes("Not\u202eyet")
		admin.submit("/notice/edit", 422)
		admin.sees("cannot be seen")
		admin.inspect("notice-edit-refused")
		admin.writes(terms)
		admin.submit("/notice/edit", 200)
		admin.sees("This is what people will read")
		admin.inspect("notice-preview")
		admin.follow(`button[name="again"]`, 200)
		admin.writes(terms + "\n\nThank you.")
		admin.submit("/notice/edit", 200)
		admin.follow(`button[name="confirmed"]`, 200)
		admin.at("/notice") // who set it is asked, too
		admin.agrees()
		admin.at("/notice/edit")
		admin.sees("The notice is set.")
		admin.sees("1 of 2 who may sign in")
		admin.inspect("notice-edit")

		user.visit("/audit?severity=info", 200)
		user.at("/notice")
		user.sees("Be kind, and do not share your account.")
		user.inspect("notice")
		user.takesDataAlong("main", user.email)
		user.leaves()
		user.visit("/login", 200)
		user.typesPassword()
		user.at("/notice")
		user.visit("/audit?severity=info", 200)
		user.agrees()
		user.at("/audit")
		user.visit("/account", 200)
		user.inspect("account-data")
		user.takesDataAlong("#own-data", user.email)
		user.follow(`main a[href="/notice"]`, 200)
		user.sees("You agreed to it on ")
		user.inspectOnce("notice-agreed")

		admin.visit("/users?q="+user.email, 200)
		admin.follow(`main tbody a[href^="/users/"]`, 200)
		admin.inspect("user-data")
		admin.takesDataAlong("#their-data", user.email)

		admin.clicks("/notice/edit")
		admin.sees("2 of 2 who may sign in")
		admin.writes(" ") // which is as good as nothing
		admin.submit("/notice/edit", 200)
		admin.sees("Take the notice away?")
		admin.inspectOnce("notice-remove")
		admin.follow(`button[name="confirmed"]`, 200)
		admin.sees("Nobody is asked any more.")
		user.visit("/notice", 404)
	})
}

// writes puts a text into the form for another notice.
func (p *person) writes(text string) {
	p.t.Helper()
	p.do("write the text", chromedp.SetValue(chromedp.CSS("#text"), text))
}

// agrees presses the button on the page of the notice.
func (p *person) agrees() {
	p.t.Helper()
	p.submit("/notice", 200)
}

// leaves signs out in the place of agreeing.
func (p *person) leaves() {
	p.t.Helper()
	p.follow(`main form[action="/logout"] button`, 200)
	p.at("/login")
}

// takesDataAlong presses the link to a zip under a heading or in a part of the page,
// and reads what the browser saves.
func (p *person) takesDataAlong(under, email string) {
	p.t.Helper()
	downloads := p.t.TempDir()
	p.call("save downloads", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow,
			BrowserContextID: chromedp.FromContext(ctx).BrowserContextID, DownloadPath: downloads})
		return err
	})
	link := `main a[href$="/export"]`
	if under != "main" {
		link = `section:has(` + under + `) a[href$="/export"]`
	}
	p.click(link)
	var archive *zip.ReadCloser
	p.call("wait for the file", func(ctx context.Context) (err error) {
		for archive == nil && err == nil {
			if _, err = chromedp.Run(ctx, chromedp.Evaluate[int]("1")); err != nil {
				return err
			}
			saved, err := filepath.Glob(filepath.Join(downloads, "*.zip"))
			if err != nil {
				return err
			}
			for _, name := range saved { // the browser is still writing one that does not open
				if whole, err := zip.OpenReader(name); err == nil {
					archive = whole
				}
			}
		}
		return err
	})
	defer archive.Close()
	found := map[string]string{}
	for _, file := range archive.File {
		r, err := file.Open()
		if err != nil {
			p.t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			p.t.Fatal(err)
		}
		found[file.Name] = string(text)
	}
	for name, holds := range map[string]string{"README.txt": "events.json: ", "account.json": email, "events.json": "login_attempt"} {
		if !strings.Contains(found[name], holds) {
			p.t.Errorf("%s does not hold %q: %.500s", name, holds, found[name])
		}
	}
}
