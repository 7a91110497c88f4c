//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestAPIDocument has a stranger read about the API: by its contents, by a link to
// one call, and with the keyboard alone. What is refused there is a page, too.
func TestAPIDocument(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		s := startServer(t, t.TempDir())
		v := newVisitor(t, s, scripts)
		v.visit("/api/v1/docs", 200)
		v.sees("Patronus Dashboard API")
		v.inspectOnce("api-document")

		v.click(`nav[aria-label="On this page"] a[href="#calls-users"]`)
		v.showsTop("#calls-users")
		v.click(`#all-calls a[href="#deleteUser"]`)
		v.showsTop("#deleteUser")
		if text := v.text("#deleteUser"); !strings.Contains(text, "users.delete") || !strings.Contains(text, "X-Patronus-Nonce") || !strings.Contains(text, `curl -X DELETE "$URL/api/v1/users/$ID"`) {
			t.Errorf("the call is told of as\n%s", text)
		}
		// From elsewhere straight to one call, and on by the keyboard.
		v.visit("/login", 200)
		v.visit("/api/v1/docs#listEvents", 200)
		v.showsTop("#listEvents")
		v.visit("/api/v1/docs", 200)
		v.do("skip the contents", chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter), chromedp.KeyEvent(kb.Tab))
		if at := value(v, "read what has the focus", chromedp.Evaluate[string]("document.activeElement.textContent.trim()")); at != "OpenAPI document" {
			t.Errorf("behind the skip link comes %q", at)
		}

		v.visit("/api/v1/docs?version=2", 400)
		v.sees("is not known here")

		response, err := http.Get(s.url + "/api/v1/openapi.yaml")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		document, err := io.ReadAll(response.Body)
		if err != nil || response.Header.Get("Content-Type") != "application/yaml" || !strings.HasPrefix(string(document), "openapi: 3.1") {
			t.Errorf("the document is %v, %.40q, %v", response.Header, document, err)
		}
	})
}

// showsTop checks that a part of the page is at the top of the window, or that the
// page goes no further.
func (v *visitor) showsTop(selector string) {
	v.t.Helper()
	const script = `(e => { const top = e.getBoundingClientRect().top, rest = document.documentElement.scrollHeight - innerHeight - scrollY
		return top > -2 && top < 60 || rest < 2 && top < innerHeight })(document.querySelector(%s))`
	if !value(v, "look for "+selector, chromedp.Evaluate[bool](strings.ReplaceAll(script, "%s", `"`+selector+`"`))) {
		v.t.Errorf("%s is not at the top", selector)
	}
}
