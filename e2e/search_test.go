//go:build e2e

package e2e

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/securitytest"
)

// TestSearch narrows the log by its bars, and goes on where a search came to its
// bound, with JavaScript and without.
func TestSearch(t *testing.T) { eitherWay(t, searches) }

func searches(t *testing.T, scripts bool) {
	data := t.TempDir()
	s := startServer(t, data)
	p := newAdmin(t, s, scripts)
	s.failsToSignIn("nobody@example.org")
	deniesMany(t, data)

	p.visit("/audit", 200)
	p.inspect("audit-histogram")
	if legend, bars := p.texts(".legend li"), p.bars(); len(legend) != 3 || !strings.Contains(legend[1], "10,10") || len(bars) == 0 || !strings.Contains(bars[0], "warning") {
		t.Errorf("the legend is %q, the bars %q", legend, bars)
	}
	p.follow(`.ranges a[href="/audit?since=7d"]`, 200)
	p.sees("Events by day")
	p.visit("/audit?event_type=login_attempt&success=false", 200)
	if n := len(p.bars()); n == 0 || n > 2 { // at the turn of an hour there are two
		t.Errorf("%d bars have a failed sign-in", n)
	}
	p.click(".chart-list > summary")
	p.inspect("audit-histogram-list")
	p.follow(".chart-list li:last-child a", 200)
	if at := p.query(); !strings.Contains(at, "since=") || !strings.Contains(at, "until=") || !strings.Contains(at, "event_type=login_attempt") {
		t.Errorf("a bar leads to %s", at)
	}
	if rows := p.texts("main tbody tr"); len(rows) == 0 || !strings.Contains(rows[0], "nobody@example.org") {
		t.Errorf("the bar leads to %q", rows)
	}
	p.inspect("audit-histogram-hour")
	p.visit("/audit?severity=critical", 200)
	p.sees("None from")
	p.inspect("audit-histogram-empty")

	// Bars count nothing by text, and a search by text ends after a while.
	p.visit("/audit?event_type=authorization_failed&q=first@example", 200)
	p.sees("No bars over time here")
	p.sees("Nothing found yet")
	p.sees("Searched back to")
	p.inspect("audit-searched-back")
	p.follow(".reached a", 200)
	if rows := p.texts("main tbody tr"); len(rows) != 1 || !strings.Contains(rows[0], "first@example.org") {
		t.Errorf("going on found %q", rows)
	}
	if len(p.texts(".reached")) != 0 {
		t.Error("there is still more to search")
	}

	p.savesViews()

	// The bars are for the pointer, where it can be clicked.
	p.visit("/audit?event_type=authorization_failed", 200)
	p.follow(".chart a .bar-warning", 200)
	if at := p.query(); !strings.Contains(at, "since=") {
		t.Errorf("a click on a bar leads to %s", at)
	}
}

// savesViews gives filters a name, comes back by it, and deletes it.
func (p *person) savesViews() {
	p.visit("/audit", 200)
	p.follow(`.views a[href^="/audit?event_type=login_attempt"]`, 200)
	if rows := p.texts("main tbody tr"); len(rows) == 0 || !strings.Contains(rows[0], "nobody@example.org") {
		p.t.Errorf("the view has %q", rows)
	}
	p.visit("/audit?ip=127.0.0.1&success=false", 200)
	p.click(".save-view > summary")
	p.fill("name", "Guesses from here")
	p.inspect("audit-save-view")
	p.submit("/audit/views", 200)
	p.sees("The view is saved.")
	p.inspect("audit-view-saved")
	p.visit("/audit?severity=warning&since=24h", 200)
	p.click(".save-view > summary")
	p.fill("name", "Guesses from here")
	p.submit("/audit/views", 409)
	p.sees("You have a view of that name")
	p.fill("name", " ")
	p.submit("/audit/views", 422)
	p.refuses("name")
	p.inspect("audit-view-refused")
	p.visit("/audit", 200)
	p.follow(`.views a[href="/audit?ip=127.0.0.1&success=false"]`, 200)
	p.follow(`.views form[action$="/delete"] button`, 200)
	p.sees("The view is deleted.")
	p.seesNot("Guesses from here")
}

// bars are the words of each bar.
func (p *person) bars() []string {
	p.t.Helper()
	return value(p.visitor, "read the bars", chromedp.Evaluate[[]string](`Array.from(document.querySelectorAll('.chart a title'), title => title.textContent)`))
}

// query is the one of the address.
func (p *person) query() string {
	p.t.Helper()
	return value(p.visitor, "read the address", chromedp.Evaluate[string]("location.search"))
}

// deniesMany has a log be longer than a search goes.
func deniesMany(t *testing.T, data string) {
	t.Helper()
	service, err := security.Open(context.Background(), security.Options{DataDir: data, PublicURL: &url.URL{Scheme: "http", Host: "localhost"},
		Hashing: securitytest.CheapHashing, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	securitytest.Denials(service, securitytest.SearchedByIndex)
	if err := service.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
