//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

const (
	liveButton = ".live > button"
	liveWords  = ".live > p"
)

// TestLiveLog watches the log while things happen.
func TestLiveLog(t *testing.T) {
	s := startServer(t, t.TempDir())
	p := newAdmin(t, s, true)
	p.visit("/audit", 200)
	before := p.eventIDs()
	s.failsToSignIn("between@example.org") // between the page and its connection
	p.keepsSockets()
	p.click(liveButton)
	p.says(liveWords, "1 new event.")
	s.failsToSignIn("nobody@example.org")
	p.says(liveWords, "2 new events.")
	if rows := p.texts("main tbody tr"); !strings.Contains(rows[0], "nobody@example.org") || !strings.Contains(rows[1], "between@example.org") {
		t.Errorf("on top are %q", rows[:2])
	}
	if ids := p.eventIDs(); !slices.Equal(ids[2:], before) || ids[0] != before[0]+2 || ids[1] != before[0]+1 {
		t.Errorf("the events %v became %v", before, ids)
	}
	p.inspect("audit-live")

	// What happens while the connection is lost comes once it is back.
	p.do("lose the connection", evaluate("sockets.at(-1).close()"))
	p.says(liveWords, "The connection is lost.")
	s.failsToSignIn("missed@example.org")
	p.says(liveWords, "3 new events.")
	drawn := p.rowsHTML()

	p.click(liveButton)
	p.says(liveWords, "")
	p.do("have the server refuse", evaluate("spoilt = 'x'"))
	p.click(liveButton)
	p.says(liveWords, "The server is busy.")

	// The server draws the same rows.
	p.visit("/audit", 200)
	if again := p.rowsHTML(); !slices.Equal(drawn, again) {
		t.Errorf("the rows of the script are\n%s\nthose of the server\n%s", strings.Join(drawn[:3], "\n"), strings.Join(again[:3], "\n"))
	}

	// Ended from elsewhere, the page leaves before it would ask by itself.
	p.click(liveButton)
	p.says(liveWords, "New events appear on top.")
	here := p.visitor
	p.uses(newVisitor(t, s, true))
	p.signsIn()
	p.visit("/account/sessions", 200)
	p.submit("/account/sessions/end-others", 200)
	p.uses(here)
	p.says("h1", "Sign in")
	if at := value(here, "read the address", chromedp.Evaluate[string]("location.pathname + location.search")); at != "/login?done=ended&next=%2Faudit" {
		t.Errorf("it went to %s", at)
	}
}

// TestLiveLogFiltered shows only what the page asks for, in a list that may be
// empty at first, and is not offered where the script could not tell.
func TestLiveLogFiltered(t *testing.T) {
	s := startServer(t, t.TempDir())
	p := newAdmin(t, s, true)
	p.visit("/audit?email=Wanted%40Example.org&success=false&ip=%3A%3Affff%3A127.0.0.1&event_type=login_attempt&severity=warning", 200)
	if rows := p.texts("main tbody tr"); len(rows) != 0 {
		t.Fatalf("there are %q", rows)
	}
	p.click(liveButton)
	p.says(liveWords, "New events appear on top.")
	s.failsToSignIn("other@example.org")
	s.failsToSignIn("wanted@example.org")
	p.says(liveWords, "1 new event.")
	if rows := p.texts("main tbody tr"); len(rows) != 1 || !strings.Contains(rows[0], "wanted@example.org") {
		t.Errorf("the list holds %q", rows)
	}
	p.inspect("audit-live-filtered")

	for _, query := range []string{"?q=wanted", "?since=1h", "?until=2999-01-01T00:00:00Z"} {
		p.visit("/audit"+query, 200)
		if n := p.loaded("live"); n != 0 || len(p.texts(liveButton)) != 0 {
			t.Errorf("%s has a switch", query)
		}
	}
	p.visit("/audit?limit=2", 200)
	if n := p.loaded("live"); n != 1 {
		t.Errorf("the script is loaded %d times", n)
	}
	p.follow(`main a[rel="next"]`, 200)
	if len(p.texts(liveButton)) != 0 {
		t.Error("an older page has a switch")
	}
}

// TestLongLiveLog keeps the newest rows and says what has become of the others.
func TestLongLiveLog(t *testing.T) {
	s := startServer(t, t.TempDir())
	p := newAdmin(t, s, true)
	p.visit("/audit?limit=2", 200)
	p.click(liveButton)
	p.says(liveWords, "New events appear on top.")
	for range 199 {
		s.failsToSignIn("nobody@example.org")
	}
	p.says(liveWords, "199 new events.")
	if rows := p.texts("main tbody tr"); len(rows) != 200 {
		t.Errorf("%d rows", len(rows))
	}
	p.says(".live-cut", "Older events have left this list.")
	p.follow(".live-cut a", 200)
	if rows := p.texts("main tbody tr"); len(rows) != 2 {
		t.Errorf("%d rows in the list anew", len(rows))
	}
}

// TestNoLiveLogWithoutScripts: a switch that nothing turns is not shown.
func TestNoLiveLogWithoutScripts(t *testing.T) {
	s := startServer(t, t.TempDir())
	p := newAdmin(t, s, false)
	p.visit("/audit", 200)
	if value(p.visitor, "look for the switch", chromedp.Evaluate[bool](`document.querySelector('.live > button').checkVisibility()`)) {
		t.Error("there is a switch")
	}
}

// failsToSignIn types a wrong password without a browser.
func (s *server) failsToSignIn(email string) {
	s.t.Helper()
	body := strings.NewReader(fmt.Sprintf(`{"email":%q,"password":"wrong lantern gravel 93"}`, email))
	response, err := http.Post(s.url+"/api/v1/auth/login", "application/json", body)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		s.t.Fatalf("a wrong password is answered with %d", response.StatusCode)
	}
}

// keepsSockets has the page keep its connections where a test can end them, and
// spoil the address of the next.
func (v *visitor) keepsSockets() {
	v.t.Helper()
	v.do("keep the sockets", evaluate(`
		window.sockets = []
		window.spoilt = ''
		window.WebSocket = class extends WebSocket {
			constructor(url) { super(url + spoilt); sockets.push(this) }
		}`))
}

// rowsHTML is the markup of each row, with the time in its words, which must be
// those of the viewer's zone.
func (v *visitor) rowsHTML() []string {
	v.t.Helper()
	return value(v, "read the rows", chromedp.Evaluate[[]string](`
		Array.from(document.querySelectorAll('main tbody tr'), row => row.outerHTML.replace(/datetime="([^"]*)"/, (_, time) => 'datetime="' + new Date(time).toISOString() + '"').replace(/\s+/g, ' '))`))
}
