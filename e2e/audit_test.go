//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/chromedp/chromedp"
)

// readsAuditLog finds each thing that the walk did, filters the log in every
// way and pages through all of it.
func (p *person) readsAuditLog(s *server) {
	p.visit("/audit", 200)
	p.inspect("audit")
	p.findsEachEvent()
	p.filters()
	p.pages()

	p.visit("/audit", 200)
	p.follow(`main a[href^="/audit/"]`, 200)
	p.sees("mfa_verify")
	p.sees(p.email)
	p.sees("From the same address")
	p.inspect("audit-event")
	p.follow(`form[action$="#proof"] button`, 200)
	p.sees("Verified: this event is as it was written.")
	p.inspect("audit-event-verified")
	p.follow(`main a[href^="/audit?q="]`, 200) // what else its request did
	if n := len(p.eventIDs()); n == 0 {
		p.t.Error("no event has the request of the one that led here")
	}
	p.visit("/audit?event_type=api_key_create", 200)
	p.follow(`main tbody a[href^="/audit/"]`, 200)
	p.sees("Of the same session")
	p.follow(`section[aria-labelledby="same-session"] tbody a`, 200)
	p.sees("Of the same session")
	p.visit("/audit?success=false", 200)
	p.follow(`main a[href^="/audit/"]`, 200)
	p.inspect("audit-event-refused")
	p.follow(`main a[href^="/ip-blocks?about="]`, 200)
	p.visit("/audit/999999999", 404)
	p.exports()
}

// findsEachEvent asks for each kind of event by the form.
func (p *person) findsEachEvent() {
	for _, happened := range []struct {
		eventType, severity, success string
		times                        int
		by                           string // shown in each row
	}{
		{"system_start", "info", "true", 1, ""},
		{"user_create", "info", "true", 1, ""},
		{"login_attempt", "info", "true", 4, p.email}, // at the set-up and three times since
		{"login_attempt", "warning", "false", 1, p.email},
		{"mfa_enroll", "info", "true", 1, p.email},
		{"mfa_enroll", "warning", "false", 1, p.email},
		{"mfa_verify", "info", "true", 3, p.email},
		{"mfa_verify", "warning", "false", 2, p.email},
		{"logout", "info", "true", 3, p.email},
		{"api_key_create", "info", "true", 1, p.email},
		{"key_rotate", "info", "true", 2, p.email},
		{"api_key_usage", "info", "true", 1, p.email},
		{"authorization_failed", "warning", "false", 1, p.email},
		{"api_key_revoke", "info", "true", 1, p.email},
	} {
		p.visit("/audit", 200)
		p.choose("event_type", happened.eventType)
		p.choose("severity", happened.severity)
		p.choose("success", happened.success)
		p.submit("/audit", 200)
		rows := p.texts("main tbody tr")
		if len(rows) < happened.times {
			p.t.Errorf("%s, success %s: %d events, want %d\n%s", happened.eventType, happened.success, len(rows), happened.times, p.page())
		}
		for _, row := range rows {
			if !strings.Contains(row, happened.eventType) || !strings.Contains(row, happened.by) {
				p.t.Errorf("%s, success %s, by %s: the list holds %s", happened.eventType, happened.success, happened.by, row)
			}
		}
	}
}

// filters tries the filters that are typed.
func (p *person) filters() {
	for _, filter := range []struct {
		name, text string
		some       bool
	}{
		{"email", p.email, true},
		{"email", "nobody@example.org", false},
		{"ip", "127.0.0.1", true},
		{"ip", "192.0.2.1", false},
		{"since", "1h", true},
		{"since", "2999-01-01T00:00:00Z", false},
		{"until", "1h", false},
		{"until", "2999-01-01T00:00:00Z", true},
	} {
		p.visit("/audit", 200)
		p.fill(filter.name, filter.text)
		p.submit("/audit", 200)
		if rows := p.texts("main tbody tr"); (len(rows) > 0) != filter.some {
			p.t.Errorf("%s=%s: %d events\n%s", filter.name, filter.text, len(rows), p.page())
		}
	}
	p.inspect("audit-filtered")

	p.visit("/audit?ip=192.0.2.1", 200)
	p.inspect("audit-nothing-matches")
	p.follow(`main a[href="/ip-blocks?about=192.0.2.1"]`, 200)
	for _, wrong := range []struct{ name, text string }{{"ip", "localhost"}, {"since", "yesterday"}} {
		p.visit("/audit", 200)
		p.fill(wrong.name, wrong.text)
		p.submit("/audit", 422)
		p.refuses(wrong.name)
	}
	p.inspect("audit-refused")
}

// exports takes the log along in each format, with the filters as they are typed
// and not yet shown.
func (p *person) exports() {
	p.t.Helper()
	if !p.scripts {
		return // what the buttons send is read with a script
	}
	p.visit("/audit", 200)
	p.fill("email", p.email)
	for format, begin := range map[string]string{"json": `[{"id":`, "ndjson": `{"id":`, "csv": "id,time,", "cef": "CEF:0|", "ocsf": `{"category_uid":`} {
		answer := value(p.visitor, "export as "+format, chromedp.Evaluate[string](`(async () => {
			const button = document.querySelector('button[name="format"][value="`+format+`"]')
			const address = new URL(button.formAction)
			address.search = new URLSearchParams(new FormData(button.form, button))
			const answer = await fetch(address)
			return answer.headers.get('Content-Disposition') + ' ' + await answer.text()
		})()`, chromedp.EvalAwaitPromise))
		head, body, _ := strings.Cut(answer, `" `)
		if !strings.HasPrefix(head, `attachment; filename="audit-`) || !strings.HasPrefix(body, begin) {
			p.t.Errorf("%s: %.300s", format, answer)
		}
		if !strings.Contains(body, p.email) || strings.Contains(body, "system_start") {
			p.t.Errorf("%s does not keep to the filters: %.300s", format, answer)
		}
	}
}

// pages walks from the newest event to the first: the sequence has no gap and
// nothing is shown twice.
func (p *person) pages() {
	const older = `main a[href*="cursor="]`
	p.visit("/audit?limit=5", 200)
	ids := p.eventIDs()
	for len(p.texts(older)) > 0 {
		p.follow(older, 200)
		ids = append(ids, p.eventIDs()...)
	}
	if len(ids) < 20 {
		p.t.Fatalf("the log has %d events, want one for each thing that happened", len(ids))
	}
	for i, id := range ids {
		if id != len(ids)-i {
			p.t.Fatalf("the events, newest first, are %v", ids)
		}
	}
}

// eventIDs are the sequence numbers of the events on the page, in order.
func (p *person) eventIDs() []int {
	p.t.Helper()
	links := value(p.visitor, "read the links", chromedp.Evaluate[[]string](
		`Array.from(document.querySelectorAll('main tbody a[href^="/audit/"]'), a => a.pathname)`))
	var ids []int
	for _, link := range slices.Compact(links) {
		id, err := strconv.Atoi(strings.TrimPrefix(link, "/audit/"))
		if err != nil {
			p.t.Fatal(fmt.Errorf("the link %s: %w", link, err))
		}
		ids = append(ids, id)
	}
	return ids
}
