package export

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"

	"patronus.internal/dashboard/security/audit"
)

const ocsfVersion = "1.3.0"

// The classes that are used, of https://schema.ocsf.io/1.3.0/classes, each with
// its category as the thousands.
const (
	accountChange  = 3001
	authentication = 3002
	apiActivity    = 6003
)

// otherActivity is for what a class has no activity for; activity_name then
// holds the name of the source.
const otherActivity = 99

// activity is a class and what happened in its terms.
type activity struct {
	class, id int
	name      string // empty for other activities
}

// activities has no entry for what its class names no activity for. OCSF 1.3.0
// knows no unlocking of an account (Enable is not that) and no tokens beside
// those of Kerberos.
var activities = map[audit.Type]activity{
	audit.LoginAttempt: {authentication, 1, "Logon"},
	audit.MFAVerify:    {authentication, 1, "Logon"},
	audit.Logout:       {authentication, 2, "Logoff"},
	audit.SessionEnd:   {authentication, 2, "Logoff"},
	audit.TokenRefresh: {authentication, otherActivity, ""},
	audit.TokenRevoke:  {authentication, otherActivity, ""},
	audit.NewDevice:    {authentication, otherActivity, ""},

	audit.UserCreate:       {accountChange, 1, "Create"},
	audit.UserUpdate:       {accountChange, otherActivity, ""},
	audit.UserDelete:       {accountChange, 6, "Delete"},
	audit.PasswordChange:   {accountChange, 3, "Password Change"},
	audit.PasswordReset:    {accountChange, 4, "Password Reset"},
	audit.PermissionGrant:  {accountChange, 7, "Attach Policy"},
	audit.PermissionRevoke: {accountChange, 8, "Detach Policy"},
	audit.AccountLock:      {accountChange, 9, "Lock"},
	audit.AccountUnlock:    {accountChange, otherActivity, ""},
	audit.MFAEnroll:        {accountChange, 10, "MFA Factor Enable"},
	audit.MFADisable:       {accountChange, 11, "MFA Factor Disable"},
	audit.APIKeyCreate:     {accountChange, otherActivity, ""},
	audit.APIKeyUpdate:     {accountChange, otherActivity, ""},
	audit.APIKeyRevoke:     {accountChange, otherActivity, ""},

	audit.IPBlock:      {apiActivity, 1, "Create"},
	audit.DataExport:   {apiActivity, 2, "Read"},
	audit.PolicyChange: {apiActivity, 3, "Update"},
	audit.KeyRotate:    {apiActivity, 3, "Update"},
	audit.IPUnblock:    {apiActivity, 4, "Delete"},
	audit.AuditPrune:   {apiActivity, 4, "Delete"},
}

// activityOf looks at the details where the type alone would mislead: a right
// password that still awaits a second factor is no logon, nor is a fresh
// confirmation within a session, nor is a factor in use that was only begun.
func activityOf(e audit.Record, f facts) activity {
	a, ok := activities[e.Type]
	switch {
	case !ok:
		a = activity{apiActivity, otherActivity, ""}
	case e.Type == audit.LoginAttempt && f.SecondFactor == "awaited":
		a = activity{authentication, 6, "Preauth"}
	case e.Type == audit.MFAVerify && f.Purpose == "step_up", e.Type == audit.MFAEnroll && f.Stage == "begun":
		a.id = otherActivity
	case e.Type == audit.UserUpdate && f.Enabled != nil && *f.Enabled:
		a = activity{accountChange, 2, "Enable"}
	case e.Type == audit.UserUpdate && f.Enabled != nil:
		a = activity{accountChange, 5, "Disable"}
	}
	if a.id == otherActivity {
		a.name = name(e.Type)
	}
	return a
}

var ocsfSeverity = map[audit.Severity]int{audit.Info: 1, audit.Warning: 3, audit.Critical: 5}

// ocsfEvent has the members of the three classes; what does not apply is left
// out, as OCSF wants it.
type ocsfEvent struct {
	CategoryUID  int           `json:"category_uid"`
	ClassUID     int           `json:"class_uid"`
	ActivityID   int           `json:"activity_id"`
	ActivityName string        `json:"activity_name"`
	TypeUID      int           `json:"type_uid"`
	SeverityID   int           `json:"severity_id"`
	StatusID     int           `json:"status_id"`
	StatusDetail string        `json:"status_detail,omitempty"`
	Time         int64         `json:"time"`
	Message      string        `json:"message"`
	Metadata     ocsfMetadata  `json:"metadata"`
	Actor        *ocsfActor    `json:"actor,omitempty"`
	User         *ocsfUser     `json:"user,omitempty"`
	Session      *ocsfSession  `json:"session,omitempty"`
	IsMFA        bool          `json:"is_mfa,omitempty"`
	Service      *ocsfProduct  `json:"service,omitempty"`
	API          *ocsfAPI      `json:"api,omitempty"`
	SrcEndpoint  *ocsfEndpoint `json:"src_endpoint,omitempty"`
	HTTPRequest  *ocsfRequest  `json:"http_request,omitempty"`
	Unmapped     ocsfUnmapped  `json:"unmapped"`
}

type ocsfMetadata struct {
	Version      string      `json:"version"`
	Product      ocsfProduct `json:"product"`
	UID          string      `json:"uid"`
	EventCode    audit.Type  `json:"event_code"`
	OriginalTime string      `json:"original_time"`
}

type ocsfProduct struct {
	Name       string `json:"name"`
	VendorName string `json:"vendor_name,omitempty"` // a service has none
	Version    string `json:"version,omitempty"`
}

type ocsfActor struct {
	User    *ocsfUser    `json:"user,omitempty"`
	Session *ocsfSession `json:"session,omitempty"`
	AppName string       `json:"app_name,omitempty"`
}

type ocsfUser struct {
	Name          string `json:"name,omitempty"`
	UID           string `json:"uid,omitempty"`
	EmailAddr     string `json:"email_addr,omitempty"`
	CredentialUID string `json:"credential_uid,omitempty"` // the API key
}

type ocsfSession struct {
	UID string `json:"uid"`
}

type ocsfAPI struct {
	Operation audit.Type   `json:"operation"`
	Request   *ocsfSession `json:"request,omitempty"` // has the same one member
}

type ocsfEndpoint struct {
	IP      string `json:"ip,omitempty"`
	Name    string `json:"name,omitempty"`
	SvcName string `json:"svc_name,omitempty"`
}

type ocsfRequest struct {
	UserAgent string `json:"user_agent,omitempty"`
	UID       string `json:"uid,omitempty"`
}

type ocsfUnmapped struct {
	Details json.RawMessage `json:"details"`
}

// ocsf maps an event. The user of an account change is whose account it is and
// that of an authentication who signed in or out; who did it is the actor.
func ocsf(e audit.Record, p Product) ocsfEvent {
	f := factsOf(e)
	a := activityOf(e, f)
	o := ocsfEvent{CategoryUID: a.class / 1000, ClassUID: a.class, ActivityID: a.id, ActivityName: a.name, TypeUID: a.class*100 + a.id,
		SeverityID: ocsfSeverity[e.Severity], StatusID: 2, StatusDetail: f.Reason, Time: e.Time.UnixMilli(),
		Message: name(e.Type) + ": " + outcome(e),
		Metadata: ocsfMetadata{Version: ocsfVersion, Product: ocsfProduct{product, vendor, p.Version},
			UID: strconv.FormatInt(e.Seq, 10), EventCode: e.Type, OriginalTime: audit.Time(e.Time)},
		Actor: actorOf(e), SrcEndpoint: endpoint(e.Actor.IPAddress), Unmapped: ocsfUnmapped{e.ValidDetails()}}
	if e.Success {
		o.StatusID = 1
	}
	if e.Actor.UserAgent != "" || e.Actor.RequestID != "" {
		o.HTTPRequest = &ocsfRequest{e.Actor.UserAgent, e.Actor.RequestID}
	}
	switch a.class {
	case apiActivity:
		o.API = &ocsfAPI{e.Type, reference(e.Actor.RequestID)}
		// The actor and the source are required of an API Activity. Where
		// nobody asked for it, the program itself is both.
		if o.Actor == nil {
			o.Actor = &ocsfActor{AppName: product}
		}
		if o.SrcEndpoint == nil {
			o.SrcEndpoint = &ocsfEndpoint{SvcName: product}
		}
		return o
	case authentication:
		o.Session = reference(e.Actor.SessionID)
		if f.TargetSessionID != "" {
			o.Session = reference(f.TargetSessionID)
		}
		o.IsMFA = e.Type == audit.MFAVerify
		o.Service = &ocsfProduct{Name: product, Version: p.Version}
	}
	if o.User = person(f.TargetUserID, f.TargetEmail, ""); o.User == nil {
		o.User = person(e.Actor.UserID, e.Actor.Email, e.Actor.APIKeyID)
	}
	if o.User == nil { // required of both classes
		o.User = &ocsfUser{Name: "unknown"}
	}
	return o
}

func actorOf(e audit.Record) *ocsfActor {
	user, session := person(e.Actor.UserID, e.Actor.Email, e.Actor.APIKeyID), reference(e.Actor.SessionID)
	if user == nil && session == nil {
		return nil
	}
	return &ocsfActor{User: user, Session: session}
}

// person is nil for nobody: a user has a name or an id. The address is also
// the name, since people sign in with it.
func person(id, email, key string) *ocsfUser {
	if id == "" && email == "" {
		if key == "" {
			return nil
		}
		return &ocsfUser{Name: "unknown", CredentialUID: key}
	}
	u := &ocsfUser{Name: email, UID: id, CredentialUID: key}
	if strings.Contains(email, "@") { // what was typed at a sign-in may be none
		u.EmailAddr = email
	}
	return u
}

func reference(id string) *ocsfSession {
	if id == "" {
		return nil
	}
	return &ocsfSession{id}
}

// endpoint gives an address that is none as a name, which may be any text.
func endpoint(address string) *ocsfEndpoint {
	if address == "" {
		return nil
	}
	if _, err := netip.ParseAddr(address); err != nil {
		return &ocsfEndpoint{Name: address}
	}
	return &ocsfEndpoint{IP: address}
}
