// Package views turns what a handler has found out into pages. It takes plain
// values, does no I/O and decides nothing: who may see a page was settled
// before it is drawn. A page is a templ component beside the page_<feature>.go
// of package handlers that uses it; `go tool templ generate -path ./views`
// writes the _templ.go files.
//
// The pages hold no inline style, no inline handler and nothing from another
// host, so that the Content-Security-Policy can forbid all three. Each works
// without JavaScript.
package views

import (
	"strconv"
	"time"

	"patronus.internal/dashboard/openapi"
	"patronus.internal/dashboard/security/secret"
)

// Menu entries, the values of Page.Active.
const (
	MenuOverview = "overview"
	MenuAudit    = "audit"
	MenuAPIKeys  = "api-keys"
	MenuMFA      = "mfa"
	MenuSessions = "sessions"
	MenuUsers    = "users"
	MenuIPBlocks = "ip-blocks"
	MenuNotice   = "notice"
	MenuPolicies = "policies"
	MenuAccount  = "account"
)

// Page is what every page needs beside its own content.
type Page struct {
	Title     string       // the heading of the page and, before " · Patronus", of the window
	Active    string       // the menu entry to mark, one of the Menu constants; empty marks none
	User      *Viewer      // nil draws the page of a signed-out person
	CSRF      string       // the value of csrf_token in each form
	RequestID string       // shown on error pages
	Notice    string       // one sentence on what has just been done
	Problem   string       // one sentence on why the form was refused as a whole
	Summary   []FieldError // refused fields, listed at the top and shown beside each field
	Now       time.Time    // decides what has expired
	NewDevice bool         // says that the account was not used from this browser before
}

// Viewer is the signed-in person as the layout shows them.
type Viewer struct {
	Email string
	Role  string
	// CanReadAudit says that the log shows everyone's events. Without it the
	// same page shows the person's own.
	CanReadAudit     bool
	CanReadUsers     bool
	CanReadBlocks    bool
	CanReadPolicies  bool
	CanWritePolicies bool
	// ConsentRequired leaves nothing in the menu but the notice.
	ConsentRequired bool
	// EnrollmentRequired leaves nothing in the menu but the second factor.
	EnrollmentRequired bool
}

// FieldError is one refused field. Field is the name of its input; Detail is
// a sentence that is clear without the label. Label is put before Detail in
// the summary when it is set.
type FieldError struct {
	Field, Label, Detail string
}

// PasswordRules is what a new password is held against, as far as a page says
// it while the password is typed.
type PasswordRules struct {
	MinLength      int // characters
	MinScore       int // zxcvbn, 0 to 4
	RequireClasses bool
	Product        string // counts for nothing, as the own address does
}

// SetupProps is the page that creates the first admin.
type SetupProps struct {
	Page
	Token   string // of the first-run link
	Email   string // as typed before
	Rules   PasswordRules
	Invalid bool // the link is used up or too old: no form, only what to do
}

// LoginProps is the page that asks for e-mail and password.
type LoginProps struct {
	Page
	Email string // as typed before
	Next  string // local path to go to afterwards
	// Captcha is shown when it is demanded. It answers by the fields captcha,
	// or captcha_token and captcha_digits.
	Captcha *CaptchaProps
}

// CaptchaProps is a piece of work for browsers with JavaScript, and digits for
// the others.
type CaptchaProps struct {
	Challenge            string // of ALTCHA, as JSON
	Token                string // of the digits
	ImagePath, AudioPath string // of the same digits
}

// The values of SecondFactorProps.Method and of the form field "method".
const (
	MethodTOTP       = "totp"
	MethodBackupCode = "backup_code"
)

// SecondFactorProps is the second step of signing in.
type SecondFactorProps struct {
	Page
	Next   string
	Method string // the form that was sent last; the errors of field "code" belong to it
}

// EnrollLinkProps is the page behind a link that stands in for a second factor.
type EnrollLinkProps struct {
	Page
	Token   string
	Email   string // whose second factor it is
	Invalid bool   // the link is used up or too old: no form, only what to do
}

// SetPasswordProps is the page behind a one-time password link.
type SetPasswordProps struct {
	Page
	Token   string
	Email   string // whose password it is
	Rules   PasswordRules
	Invalid bool // the link is used up or too old: no form, only what to do
}

// ForgotProps is the page that asks for a link to a new password.
type ForgotProps struct {
	Page
	Email     string // as typed before
	SendsMail bool   // otherwise an admin makes the link
	Asked     bool   // the answer, the same whether there is such an account
}

// ConfirmProps is the page before an operation with consequences.
type ConfirmProps struct {
	Page
	Text        []string // what will happen, in sentences
	Button      string   // what to do, in a few words
	Path        string   // where the form goes
	Back        string   // where to go instead
	Roles       []string // to choose one from; nil where there is nothing to choose
	Role        string   // the one that is chosen
	ProofNeeded bool     // it is a critical one
	CodeNeeded  bool     // and a second factor is enrolled

	Values  []ValueChange // what it changes in the policy
	Effects []string      // what that means for people
	Hidden  []KeyValue    // fields that the form sends along
}

// OneTimeLinkProps shows a link to a password, the only time that it can be.
type OneTimeLinkProps struct {
	Page
	Link     secret.Text
	About    string // whom it is for; empty when the page says so already
	Lifetime string // in words, behind "for"
	Back     string
}

// DeviceRow is a browser or program that signed in as the person.
type DeviceRow struct {
	Name, IP    string
	FirstSeenAt time.Time
}

// OverviewProps is the first page after signing in.
type OverviewProps struct {
	Page
	MFAEnabled           bool
	BackupCodesRemaining int
	ActiveAPIKeys        int
	Sessions             int
	Since                time.Time  // since when events are counted
	Warnings, Criticals  int64      // events since then that the viewer may read
	Recent               []EventRow // newest first
	NewDevices           []DeviceRow
	Expiring             []APIKeyRow // keys that expire soon, soonest first
	MoreExpire           bool        // than are shown
}

// APIKeysProps is the list of a person's keys and the form that makes one.
type APIKeysProps struct {
	Page
	Keys       []APIKeyRow
	NextCursor string // empty on the last page
	Paged      bool   // this is not the first page
	Refused    string // the id of the key whose rotation was refused
	Form       APIKeyForm
}

// APIKeyForm is the form that makes a key, with what was typed before.
type APIKeyForm struct {
	Name          string
	Scopes        []ScopeGroup // what the person may give to a key
	ExpiresInDays string       // "30", "90", "365", or "" for never
	Networks      string       // one in a line
	Limit         KeyLimitForm
}

// ScopeGroup is the scopes of one resource.
type ScopeGroup struct {
	Resource string // "audit"
	Label    string // "Audit log"
	Options  []ScopeOption
}

// ScopeOption is one checkbox.
type ScopeOption struct {
	Value   string // "audit:read"
	Label   string // "Read"
	Checked bool
}

// APIKeyRow is one key in the list.
type APIKeyRow struct {
	ID         string
	Name       string
	Prefix     string // "pk_" and eight characters
	Scopes     []string
	CreatedAt  time.Time
	ExpiresAt  *time.Time // nil: never
	LastUsedAt *time.Time // nil: not yet
	LastUsedIP string
	RevokedAt  *time.Time // nil: not revoked
	Soon       bool       // it works, and expires soon
	Rotatable  bool       // on the page: it works, and is not one for everything
}

// state is the word for what the key can do at now, and its colour.
func (k APIKeyRow) state(now time.Time) (word, tone string) {
	switch {
	case k.RevokedAt != nil:
		return "Revoked", "red"
	case k.ExpiresAt != nil && !now.Before(*k.ExpiresAt):
		return "Expired", "secondary"
	default:
		return "Active", "green"
	}
}

// expiresIn says how long a key that expires still works, in whole days.
func (k APIKeyRow) expiresIn(now time.Time) string {
	switch days := int(k.ExpiresAt.Sub(now) / (24 * time.Hour)); days {
	case 0:
		return "expires within a day"
	case 1:
		return "expires in 1 day"
	default:
		return "expires in " + strconv.Itoa(days) + " days"
	}
}

// APIKeyCreatedProps shows a new key, or the new secret of one, the only time
// that it can be.
type APIKeyCreatedProps struct {
	Page
	Key      APIKeyRow
	Secret   secret.Text
	Rotated  bool       // the key had another secret before
	OldUntil *time.Time // until when that one works; nil: not any more
	// APIURL is the base of the API in the example, with scheme and without
	// a slash at the end: "https://dash.example.org/api/v1".
	APIURL string
}

// LiveLog is what a script needs to go on with a list: the event behind which it
// continues, and the filters in the form in which events carry them.
type LiveLog struct {
	After                       int64
	EventType, Severity, UserID string // empty: any
	Success, Email, IP          string
	URL                         string // the list anew
}

// AuditFilter is the filters as they were typed, so that a refused one can be
// corrected.
type AuditFilter struct {
	EventType, Severity  string
	Success              string // "", "true" or "false"
	Email, IP            string
	Since, Until, Search string // form fields since, until, q
	UserID, KeyID        string // form fields user_id, key_id; shown when they are set
}

// empty reports that nothing is filtered.
func (f AuditFilter) empty() bool { return f == AuditFilter{} }

// EventRow is one event in a list.
type EventRow struct {
	ID        int64
	Time      time.Time
	Type      string
	Severity  string // "info", "warning" or "critical"
	Success   bool
	Email     string // empty: nobody known
	IP        string
	RequestID string
}

// AccountProps is the person's own page.
type AccountProps struct {
	Page
	Permissions []string
	MFAEnabled  bool
	CreatedAt   time.Time // the zero time is not shown
	Rules       PasswordRules
	HasNotice   bool // there is one, and they agreed to it
}

// SessionsProps is the devices that a person is signed in on.
type SessionsProps struct {
	Page
	Sessions []SessionRow // newest first; the current one is among them
}

// SessionRow is one device.
type SessionRow struct {
	ID, Device, IP        string
	CreatedAt, LastSeenAt time.Time
	Current               bool
	Kind                  string // "browser" or "api"
}

// MFAProps is the page on the second factor. With Enrollment it shows the code
// to scan; otherwise what is set up, or how to begin.
type MFAProps struct {
	Page
	Enabled              bool
	Reenroll             bool // a new one is demanded; the old one signs in until then
	Factors              []FactorRow
	BackupCodesRemaining int
	Enrollment           *Enrollment
}

// FactorRow is one second factor in the list.
type FactorRow struct {
	ID         string
	Name       string
	Kind       string // "totp" or "passkey"
	CreatedAt  time.Time
	LastUsedAt *time.Time // nil: not yet
}

// Enrollment is an authenticator app being set up.
type Enrollment struct {
	QRPNG   string      // the picture, base64
	Secret  secret.Text // base32, without padding
	Account string      // the name that the app will show
}

// BackupCodesProps shows new backup codes, the only time that they can be.
type BackupCodesProps struct {
	Page
	Codes []string // as people copy them
}

// ErrorProps is the page of a refusal. Page.Title is what happened in a few
// words and Page.Problem the sentence that says what to do.
type ErrorProps struct {
	Page
	Status int // 400–599
}

// APIDocumentProps is the page on the API.
type APIDocumentProps struct {
	Page
	Reading     openapi.Reading
	DocumentURL string // of the document for programs
}
