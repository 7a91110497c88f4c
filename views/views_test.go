package views

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/a-h/templ"
	"golang.org/x/net/html"

	"patronus.internal/dashboard/openapi"
	"patronus.internal/dashboard/security/secret"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// hostile would break out of a text, an attribute, a script or a URL that was
// not escaped.
const hostile = `"><script>alert(1)</script>'&` + "`javascript:x"

// pages is every page in every state.
func pages() map[string]templ.Component {
	out := Page{Title: "Title", CSRF: "token", RequestID: "id", Now: now}
	in := out
	in.User = &Viewer{Email: hostile, Role: "admin", CanReadAudit: true, CanReadUsers: true, CanReadBlocks: true, CanReadPolicies: true}
	must := out
	must.User = &Viewer{Email: "a@example.org", Role: "admin", EnrollmentRequired: true}
	refused := func(p Page, fields ...string) Page {
		p.Problem, p.Notice = "Problem "+hostile, "Notice"
		for _, f := range fields {
			p.Summary = append(p.Summary, FieldError{Field: f, Label: f, Detail: "Detail " + hostile})
		}
		return p
	}
	event := EventRow{ID: 1, Time: now, Type: "login_attempt", Severity: "warning", Email: hostile, IP: "192.0.2.1", RequestID: "r"}
	events := []EventRow{event, {ID: 2, Time: now, Severity: "critical", Success: true}, {ID: 3, Time: now, Severity: "info"}}
	later, before := now.Add(time.Hour), now.Add(-time.Hour)
	keys := []APIKeyRow{{ID: "1", Name: hostile, Prefix: "pk_12345678", Scopes: []string{"sites:read"}, CreatedAt: now, ExpiresAt: &later, LastUsedAt: &before, LastUsedIP: "192.0.2.1", Rotatable: true, Soon: true},
		{ID: "2", ExpiresAt: &before}, {ID: "3", RevokedAt: &before}, {ID: "4"}}
	form := APIKeyForm{Name: hostile, ExpiresInDays: "90", Scopes: []ScopeGroup{{Resource: "sites", Label: "Sites", Options: []ScopeOption{{Value: "sites:read", Label: "Read", Checked: true}}}}}
	users := []UserRow{{ID: "1", Email: hostile, Role: "admin", Enabled: true, MFAEnabled: true, CreatedAt: now, LastLoginAt: &before}, {ID: "2"}, {ID: "3", Reenroll: true}}
	captcha := CaptchaProps{Challenge: `{"salt":"` + hostile + `"}`, Token: hostile, ImagePath: "/login/captcha.png?token=x", AudioPath: "/login/captcha.wav?token=x"}
	policySections := []PolicySection{{Name: "a", Title: "Part", Meaning: "Means.", Settings: []PolicySetting{
		{Name: "a.number", Group: "Group", Label: "Number", Value: "5", Default: "6", Changed: true, Kind: PolicyNumber, Typed: hostile, Was: "5"},
		{Name: "a.time", Label: "Time", Value: "1 day", Kind: PolicyNumber, Typed: "1d", Was: "1d", Duration: true},
		{Name: "a.switch", Label: "Switch", Value: "on", Kind: PolicySwitch, On: true, Was: "on"},
		{Name: "a.roles", Label: "Roles", Value: "admin", Kind: PolicyRoles, Roles: []RoleBox{{Field: "a.roles.admin", Role: "admin", Checked: true}, {Field: "a.roles.user", Role: "user"}}}}}}
	policyRows := []PolicyChangeRow{{ID: 1, Time: now, By: hostile, Undoes: 2, Values: []ValueChange{{Name: "a.number", Label: "Number", Old: hostile, New: "6", Counts: "Counts at once.", Again: true}}}, {ID: 3, By: "a command of the host"}}
	fresh := in
	fresh.NewDevice = true
	return map[string]templ.Component{
		"policies":              Policies(PoliciesProps{Page: in, Sections: policySections, CanWrite: true}),
		"policies to read":      Policies(PoliciesProps{Page: in, Sections: policySections}),
		"policy form":           PolicyForm(PolicyFormProps{Page: in, Section: policySections[0], Version: "3"}),
		"policy form refused":   PolicyForm(PolicyFormProps{Page: refused(in, "a.number", "a.switch", "a.roles", "a.time"), Section: policySections[0], Version: "3"}),
		"policy form stale":     PolicyForm(PolicyFormProps{Page: in, Section: policySections[0], Between: policyRows}),
		"policy history":        PolicyHistory(PolicyHistoryProps{Page: in, Changes: policyRows, NextURL: "/policies/history?cursor=x", Paged: true, CanWrite: true}),
		"policy history, empty": PolicyHistory(PolicyHistoryProps{Page: in}),
		"confirm a policy":      Confirm(ConfirmProps{Page: in, Path: "/policies", Back: "/policies/a", Values: policyRows[0].Values, Effects: []string{hostile}, Hidden: []KeyValue{{"patch", hostile}}, ProofNeeded: true}),
		"ip blocks empty":       IPBlocks(IPBlocksProps{Page: in}),
		"ip blocks": IPBlocks(IPBlocksProps{Page: refused(in, "ip", "duration", "reason", "about"), About: hostile, NextURL: "/ip-blocks?cursor=x", CanWrite: true, Form: BlockForm{IP: hostile, Force: true},
			Blocks: []BlockRow{{ID: "1", Network: "192.0.2.1", Reason: hostile, CreatedAt: now, ExpiresAt: later}, {ID: "2", Network: "2001:db8::/64", Automatic: true}},
			Explanation: &Explanation{IP: "192.0.2.1", Trusted: true, Block: &BlockRow{ID: "1", Reason: hostile}, Login: LimitRow{Limit: 5, ResetAfter: time.Minute}, Events: events,
				Callers: []LimitRow{{Name: hostile}}, Refusals: []RefusalRow{{RequestID: "r", Email: hostile, Code: "rate_limited", IP: "192.0.2.1", Peer: "127.0.0.1:1", Forwarded: []string{hostile}}, {IP: "::1", Peer: "[::1]:1", Forwarded: []string{"x"}}, {Peer: "x"}}}}),
		"api document":        APIDocument(APIDocumentProps{Page: out, Reading: openapi.Read(), DocumentURL: "/api/v1/openapi.yaml"}),
		"forgot":              Forgot(ForgotProps{Page: out, SendsMail: true}),
		"forgot without mail": Forgot(ForgotProps{Page: out}),
		"forgot refused":      Forgot(ForgotProps{Page: refused(out, "email"), Email: hostile}),
		"forgot asked":        Forgot(ForgotProps{Page: out, Email: hostile, SendsMail: true, Asked: true}),
		"forgot recorded":     Forgot(ForgotProps{Page: out, Asked: true}),
		"confirm":             Confirm(ConfirmProps{Page: in, Text: []string{hostile}, Button: hostile, Path: "/x", Back: "/y", ProofNeeded: true, CodeNeeded: true}),
		"confirm refused":     Confirm(ConfirmProps{Page: refused(in, "password"), Path: "/x", Back: "/y", ProofNeeded: true}),
		"confirm a role":      Confirm(ConfirmProps{Page: refused(in, "role"), Path: "/x", Back: "/y", Roles: []string{"admin", "user"}, Role: "user", ProofNeeded: true}),
		"confirm unproved":    Confirm(ConfirmProps{Page: in, Text: []string{hostile}, Button: hostile, Path: "/x", Back: "/y"}),
		"users":               Users(UsersProps{Page: in, Text: hostile, Role: hostile, Users: users, NextURL: "/users?cursor=x", CanRevokeAll: true, CanReenrollAll: true, CanAdd: true}),
		"users refused":       Users(UsersProps{Page: refused(in, RoleFilterID)}),
		"user not added":      Users(UsersProps{Page: refused(in, AddEmailID, "role"), CanAdd: true, Form: UserForm{Email: hostile, Role: "user", Roles: []string{"admin", "user"}}}),
		"user": User(UserProps{Page: refused(in, "permission", "resource_id"), User: users[0], CanRevoke: true, CanWrite: true, Keys: keys, Grants: []GrantRow{{ID: "1", Permission: hostile, ResourceID: hostile, Label: hostile, GrantedBy: hostile}, {ID: "2"}},
			Grant: GrantForm{Permission: hostile, ResourceID: hostile, Choices: []GrantChoice{{hostile, hostile}}}}),
		"user disabled":         User(UserProps{Page: in, User: users[1]}),
		"enrolment link":        EnrollLink(EnrollLinkProps{Page: out, Token: hostile, Email: hostile}),
		"enrolment link over":   EnrollLink(EnrollLinkProps{Page: out, Invalid: true}),
		"one-time link":         OneTimeLink(OneTimeLinkProps{Page: in, Link: secret.NewText("http://localhost/reset-password?token=x"), About: hostile, Lifetime: "24 hours", Back: "/users/1"}),
		"new devices":           Overview(OverviewProps{Page: fresh, NewDevices: []DeviceRow{{Name: hostile, IP: "192.0.2.1", FirstSeenAt: now}, {}}}),
		"mfa anew":              MFA(MFAProps{Page: must, Reenroll: true}),
		"setup":                 Setup(SetupProps{Page: out, Token: hostile, Rules: PasswordRules{MinLength: 15, MinScore: 3, Product: hostile}}),
		"setup refused":         Setup(SetupProps{Page: refused(out, "email", "password", "password_confirm"), Email: hostile}),
		"setup over":            Setup(SetupProps{Page: out, Invalid: true}),
		"login":                 Login(LoginProps{Page: out, Email: hostile, Next: hostile}),
		"login refused":         Login(LoginProps{Page: refused(out, "email", "password")}),
		"login with a captcha":  Login(LoginProps{Page: out, Captcha: &captcha}),
		"login captcha refused": Login(LoginProps{Page: refused(out, "captcha", "captcha_digits"), Captcha: &captcha}),
		"second factor":         SecondFactor(SecondFactorProps{Page: out, Next: hostile}),
		"second factor refused": SecondFactor(SecondFactorProps{Page: refused(out, "code"), Method: MethodTOTP}),
		"backup code refused":   SecondFactor(SecondFactorProps{Page: refused(out, "code"), Method: MethodBackupCode}),
		"set password":          SetPassword(SetPasswordProps{Page: out, Token: hostile, Email: hostile, Rules: PasswordRules{MinLength: 12, RequireClasses: true}}),
		"set password refused":  SetPassword(SetPasswordProps{Page: refused(out, "password", "password_confirm")}),
		"set password over":     SetPassword(SetPasswordProps{Page: out, Invalid: true}),
		"overview":              Overview(OverviewProps{Page: in, MFAEnabled: true, BackupCodesRemaining: 2, ActiveAPIKeys: 1, Recent: events}),
		"overview of old keys":  Overview(OverviewProps{Page: in, Expiring: keys[:1], MoreExpire: true}),
		"overview empty":        Overview(OverviewProps{Page: in}),
		"keys":                  APIKeys(APIKeysProps{Page: in, Keys: keys, NextCursor: hostile, Paged: true, Form: form}),
		"keys empty":            APIKeys(APIKeysProps{Page: in, Form: form}),
		"keys refused":          APIKeys(APIKeysProps{Page: refused(in, "name", "scopes", "expires_in_days", "networks", LimitRequestsField, LimitWindowField, LimitBurstField), Form: form}),
		"rotation refused":      APIKeys(APIKeysProps{Page: refused(in, "overlap_secs"), Refused: "1", Keys: keys, Form: form}),
		"key": APIKey(APIKeyProps{Page: refused(in, "name", "networks", LimitRequestsField, LimitWindowField, LimitBurstField), Key: keys[0], Networks: []string{hostile}, Limit: KeyLimitForm{"1", "2", "3"}, CanChange: true, CanEnd: true,
			Scopes:    []KeyScopeRow{{Scope: hostile, Covers: 1, Used: []PermissionUse{{hostile, now, true}}}, {Scope: "*:*", Star: true, Covers: 3, Used: []PermissionUse{{hostile, now, true}, {"x", now, false}}, Lost: []string{hostile}}, {Covers: 1, Lost: []string{"x"}}},
			Narrowing: &Narrowing{Days: 30, Kept: []string{hostile}, Taken: []string{hostile}, Used: true, Since: &before}, Form: APIKeyChangeForm{Name: hostile, Networks: hostile + "\n", Limit: KeyLimitForm{hostile, hostile, hostile}}}),
		"key of another":       APIKey(APIKeyProps{Page: in, Key: keys[2], Owner: hostile, OwnerID: "1", Scopes: []KeyScopeRow{{Covers: 1, Lost: []string{"x"}}}}),
		"key that is used":     APIKey(APIKeyProps{Page: in, Key: keys[3], CanChange: true, Narrowing: &Narrowing{Days: 30, Used: true}}),
		"key created":          APIKeyCreated(APIKeyCreatedProps{Page: in, Key: keys[0], Secret: secret.NewText("pk_secret"), APIURL: "http://localhost/api/v1"}),
		"key rotated":          APIKeyCreated(APIKeyCreatedProps{Page: in, Key: keys[3], Secret: secret.NewText("pk_secret"), Rotated: true}),
		"key rotated, overlap": APIKeyCreated(APIKeyCreatedProps{Page: in, Key: keys[0], Secret: secret.NewText("pk_secret"), Rotated: true, OldUntil: &later}),
		"audit":                Audit(AuditProps{Page: in, EventTypes: []string{"logout"}, Severities: []string{"info"}, Events: events, OlderURL: "/audit?cursor=x", NewestURL: "/audit"}),
		"audit counted": Audit(AuditProps{Page: in, Events: events, Reached: now, OlderURL: "/audit?cursor=x", Histogram: &Histogram{Unit: "hour",
			Bars:   []HistogramBar{{From: now, To: later, URL: "/audit?since=x", Info: 1234567, Warning: 3, Critical: 1}, {From: later, To: later}},
			Ranges: []RangeLink{{Name: hostile, URL: "/audit?since=24h", Current: true}}}}),
		"audit counts none": Audit(AuditProps{Page: in, Histogram: &Histogram{Unit: "day", Bars: []HistogramBar{{From: now, To: later}}}}),
		"audit views": Audit(AuditProps{Page: refused(in, "name"), Views: Views{BuiltIn: []ViewLink{{Name: hostile, URL: "/audit?x=y", Current: true}},
			Own: []ViewLink{{ID: "1", Name: hostile, URL: "/audit?x=y"}, {ID: "2", Name: "b", URL: "/audit?q=z", Current: true}}, Name: hostile, Save: []KeyValue{{"q", hostile}}}}),
		"audit uncounted":       Audit(AuditProps{Page: in, Reached: now, OlderURL: "/audit?cursor=x", Uncounted: true}),
		"audit live":            Audit(AuditProps{Page: in, Severities: []string{"info", "warning", "critical"}, Events: events, Live: &LiveLog{After: 3, URL: "/audit"}}),
		"audit live, empty":     Audit(AuditProps{Page: in, Filter: AuditFilter{Email: hostile}, Severities: []string{"info"}, Live: &LiveLog{Email: hostile, UserID: hostile, URL: "/audit?email=x"}}),
		"audit empty":           Audit(AuditProps{Page: in}),
		"audit nothing matches": Audit(AuditProps{Page: in, Filter: AuditFilter{Search: hostile}}),
		"audit refused":         Audit(AuditProps{Page: refused(in, "event_type", "severity", "success", "email", "ip", "since", "until", "q"), Filter: AuditFilter{IP: hostile}}),
		"event":                 AuditEvent(AuditEventProps{Page: in, Event: event, UserAgent: hostile, Details: []KeyValue{{hostile, hostile}}}),
		"event with neighbours": AuditEvent(AuditEventProps{Page: in, Event: event, RequestURL: "/audit?q=r", ErasedBy: 7,
			Neighbours: []EventGroup{{ID: "same-request", Title: "Of the same request", Events: events, URL: "/audit?q=r", Link: hostile}}}),
		"account":          Account(AccountProps{Page: in, Permissions: []string{"audit:read"}, CreatedAt: now, MFAEnabled: true}),
		"account refused":  Account(AccountProps{Page: refused(in, "current_password", "password", "password_confirm"), Rules: PasswordRules{MinLength: 15, MinScore: 3, Product: hostile}}),
		"sessions":         Sessions(SessionsProps{Page: in, Sessions: []SessionRow{{ID: "1", Device: hostile, IP: "192.0.2.1", CreatedAt: before, LastSeenAt: now, Current: true, Kind: "browser"}, {ID: "2", Kind: "api"}}}),
		"sessions alone":   Sessions(SessionsProps{Page: in, Sessions: []SessionRow{{ID: "1", Current: true}}}),
		"mfa":              MFA(MFAProps{Page: must}),
		"mfa enrolling":    MFA(MFAProps{Page: refused(in, "code"), Enrollment: &Enrollment{QRPNG: "AA==", Secret: secret.NewText("ABCDEFGH"), Account: hostile}}),
		"mfa on":           MFA(MFAProps{Page: in, Enabled: true, Factors: []FactorRow{{Name: hostile, Kind: "totp", CreatedAt: now, LastUsedAt: &before}, {Kind: "passkey"}}}),
		"backup codes":     BackupCodes(BackupCodesProps{Page: in, Codes: []string{"aaaa-bbbb"}}),
		"error":            Error(ErrorProps{Page: refused(in), Status: 404}),
		"error signed out": Error(ErrorProps{Page: refused(out), Status: 503}),
	}
}

func TestPages(t *testing.T) {
	css, err := os.ReadFile("../static/app.css")
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]bool{}
	for _, found := range regexp.MustCompile(`\.(-?[_a-zA-Z][-_a-zA-Z0-9]*)`).FindAllSubmatch(css, -1) {
		classes[string(found[1])] = true
	}
	for name, page := range pages() {
		t.Run(name, func(t *testing.T) {
			var body bytes.Buffer
			if err := page.Render(templ.WithNonce(context.Background(), "nonce"), &body); err != nil {
				t.Fatal(err)
			}
			document, err := html.Parse(&body)
			if err != nil {
				t.Fatal(err)
			}
			c := checker{t: t, classes: classes, ids: map[string]bool{}, labelled: map[string]bool{}}
			c.collect(document)
			c.check(document)
			if c.headings != 1 || c.mains != 1 {
				t.Errorf("%d h1 and %d main", c.headings, c.mains)
			}
		})
	}
}

// checker walks one page.
type checker struct {
	t               *testing.T
	classes         map[string]bool
	ids, labelled   map[string]bool
	headings, mains int
}

func attributes(n *html.Node) map[string]string {
	found := map[string]string{}
	for _, a := range n.Attr {
		found[a.Key] = a.Val
	}
	return found
}

// collect finds what other elements refer to.
func (c *checker) collect(n *html.Node) {
	for e := range n.Descendants() {
		a := attributes(e)
		if id, ok := a["id"]; ok {
			if c.ids[id] {
				c.t.Errorf("the id %q is there twice", id)
			}
			c.ids[id] = true
		}
		if e.Data == "label" {
			c.labelled[a["for"]] = true
		}
	}
}

func (c *checker) check(n *html.Node) {
	for e := range n.Descendants() {
		if e.Type != html.ElementNode {
			continue
		}
		a := attributes(e)
		for name, value := range a {
			if name == "style" || strings.HasPrefix(name, "on") {
				c.t.Errorf("<%s %s=%q> would need an unsafe policy", e.Data, name, value)
			}
			if (name == "href" || name == "src" || name == "action") && !regexp.MustCompile(`^(/[^/\\]|/$|#|data:image/png;base64,)`).MatchString(value) {
				c.t.Errorf("<%s %s=%q> leads elsewhere", e.Data, name, value)
			}
		}
		for class := range strings.FieldsSeq(a["class"]) {
			if !c.classes[class] && !withoutRule[class] {
				c.t.Errorf("the class %q of <%s> is not in app.css", class, e.Data)
			}
		}
		for id := range strings.FieldsSeq(a["aria-describedby"] + " " + a["aria-labelledby"]) {
			if !c.ids[id] {
				c.t.Errorf("<%s> refers to %q, which is not there", e.Data, id)
			}
		}
		if id, ok := strings.CutPrefix(a["href"], "#"); ok && !c.ids[id] {
			c.t.Errorf("the link to %q leads nowhere", id)
		}
		c.element(e, a)
	}
}

// withoutRule are classes of Tabler that only stand for what is there by
// default.
var withoutRule = map[string]bool{"no-print": true}

func (c *checker) element(e *html.Node, a map[string]string) {
	switch e.Data {
	case "h1":
		c.headings++
	case "main":
		c.mains++
	case "script":
		if a["nonce"] != "nonce" || e.FirstChild != nil {
			c.t.Errorf("a script is not one of ours: %v", a)
		}
	case "form":
		token := 0
		for f := range e.Descendants() {
			if attributes(f)["name"] == "csrf_token" {
				token++
			}
		}
		if (a["method"] == "post") != (token == 1) {
			c.t.Errorf("form %s %s has %d tokens", a["method"], a["action"], token)
		}
	case "input", "select", "textarea":
		if a["type"] != "hidden" && !c.labelled[a["id"]] && !within(e, "label") {
			c.t.Errorf("the field %q has no label", a["name"])
		}
	}
}

func within(e *html.Node, name string) bool {
	for parent := range e.Ancestors() {
		if parent.Data == name {
			return true
		}
	}
	return false
}

// TestTimesCarryTheInstant: the text is for people, the attribute and the
// title are exact.
func TestTimesCarryTheInstant(t *testing.T) {
	var body bytes.Buffer
	at := time.Date(2026, 1, 2, 5, 4, 5, 678_901_000, time.FixedZone("", 2*60*60))
	if err := instant(at).Render(context.Background(), &body); err != nil {
		t.Fatal(err)
	}
	const want = `<time datetime="2026-01-02T03:04:05.678901Z" title="2026-01-02 03:04:05.678 UTC">2 Jan 2026, 03:04:05 UTC</time>`
	if body.String() != want {
		t.Error(body.String())
	}
}

func TestIconsExist(t *testing.T) {
	for name, page := range pages() {
		var body bytes.Buffer
		if err := page.Render(context.Background(), &body); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(body.String(), `aria-hidden="true"></svg>`) {
			t.Errorf("%s draws an icon that is not in icons.go", name)
		}
	}
}

// TestLiveListWaitsForItsScript: without one nothing of it is seen, and the
// script has a row of each kind to draw with.
func TestLiveListWaitsForItsScript(t *testing.T) {
	for live, want := range map[bool]int{false: 0, true: 1} {
		p := AuditProps{Page: Page{User: &Viewer{}}, Severities: []string{"info", "warning", "critical"}}
		if live {
			p.Live = &LiveLog{After: 41, Email: hostile, URL: "/audit"}
		}
		var body bytes.Buffer
		if err := Audit(p).Render(context.Background(), &body); err != nil {
			t.Fatal(err)
		}
		document, err := html.Parse(&body)
		if err != nil {
			t.Fatal(err)
		}
		switches, rows := 0, 0
		for e := range document.Descendants() {
			a := attributes(e)
			_, hidden := a["hidden"]
			switch {
			case strings.HasPrefix(a["class"], "live"):
				if !hidden {
					t.Errorf("%v is seen", a)
				}
				if newest, ok := a["data-newest"]; ok && newest == "41" && a["data-email"] == hostile && a["data-ip"] == "" {
					switches++
				}
			case e.Data == "tr" && within(e, "tbody") && within(e, "template"):
				rows++
			}
		}
		if switches != want || rows != 6*want {
			t.Errorf("live %t: %d switches, %d rows to draw with", live, switches, rows)
		}
	}
}
