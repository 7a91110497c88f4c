// Package audit keeps the log of security events. Append is the only way to
// write one, and it writes inside the transaction of the change it records:
// either both are on disk or neither is.
package audit

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"patronus.internal/dashboard/security/db"
)

// Type names what happened. The values are part of the API.
type Type string

// The events of the specification and of the contract that this program writes.
const (
	LoginAttempt        Type = "login_attempt"
	Logout              Type = "logout"
	PasswordChange      Type = "password_change"
	TokenRefresh        Type = "token_refresh"
	TokenRevoke         Type = "token_revoke"
	MFAEnroll           Type = "mfa_enroll"
	MFAVerify           Type = "mfa_verify"
	APIKeyCreate        Type = "api_key_create"
	APIKeyRevoke        Type = "api_key_revoke"
	APIKeyUsage         Type = "api_key_usage"
	PermissionGrant     Type = "permission_grant"
	PermissionRevoke    Type = "permission_revoke"
	AuthorizationFailed Type = "authorization_failed"
	PolicyChange        Type = "policy_change"
	SuspiciousActivity  Type = "suspicious_activity"
	UserCreate          Type = "user_create"
	UserUpdate          Type = "user_update"
	UserDelete          Type = "user_delete"
	MFADisable          Type = "mfa_disable"
	PasswordReset       Type = "password_reset_request"
	SessionEnd          Type = "session_end"
	IPBlock             Type = "ip_block"
	IPUnblock           Type = "ip_unblock"
	AccountLock         Type = "account_lock"
	AccountUnlock       Type = "account_unlock"
	AuditPrune          Type = "audit_prune"
	AuditErase          Type = "audit_erase" // what is personal was erased from events
	DataExport          Type = "data_export"
	Consent             Type = "consent"
	Backup              Type = "backup"
	KeyRotate           Type = "key_rotate"
	SystemStart         Type = "system_start"
	APIKeyUpdate        Type = "api_key_update" // its owner changed what it is called, may do or is bound to
	NewDevice           Type = "new_device"     // a sign-in from one that the user did not use before
)

// Types lists every type in the order in which a filter offers them.
var Types = []Type{
	LoginAttempt, Logout, PasswordChange, TokenRefresh, TokenRevoke, MFAEnroll, MFAVerify,
	APIKeyCreate, APIKeyUpdate, APIKeyRevoke, APIKeyUsage, PermissionGrant, PermissionRevoke,
	AuthorizationFailed, PolicyChange, SuspiciousActivity, UserCreate, UserUpdate, UserDelete,
	MFADisable, PasswordReset, SessionEnd, IPBlock, IPUnblock, AccountLock, AccountUnlock,
	AuditPrune, AuditErase, DataExport, Consent, Backup, KeyRotate, SystemStart, NewDevice,
}

// Severity says how soon a person should look.
type Severity string

// The three severities of the specification.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Severities lists them from calm to urgent.
var Severities = []Severity{Info, Warning, Critical}

// Actor is who acted or tried to, and from where. An empty field is null in
// the log: it does not apply or is not known.
type Actor struct {
	UserID    string
	Email     string
	IPAddress string
	UserAgent string
	SessionID string
	APIKeyID  string
	RequestID string
}

// Details is what else is worth knowing of an event: names as in the API,
// values that JSON can hold, never a secret.
type Details map[string]any

// Event is what a caller asks to be written. A zero Severity takes the one
// that the contract gives to the type and outcome.
type Event struct {
	Type     Type
	Severity Severity
	Success  bool
	Actor    Actor
	Details  Details
}

// The longest texts that are kept of what a client chose itself, in bytes.
// A longer one is cut, so that nobody fills the disk through a header.
const (
	maxUserAgent = 256
	maxEmail     = 254 // RFC 5321 §4.5.3.1.3, less the angle brackets
	maxDetails   = 8 << 10
)

// Append writes the event in the transaction tx, at its Tx.Now cut to
// milliseconds, and gives it the next sequence number. Sequence numbers have no
// gaps: one that is rolled back is given again. The error is that of the storage,
// or says that the details could not be encoded or exceed 8 KiB; the caller
// returns it, so that nothing happens that was not recorded.
func Append(tx *db.Tx, e Event) error {
	if e.Severity == "" {
		e.Severity = severity(e.Type, e.Success)
	}
	r := row{timeUS: db.Micros(tx.Now().Truncate(time.Millisecond)), kind: string(e.Type), severity: string(e.Severity), success: e.Success,
		userID: e.Actor.UserID, email: clean(e.Actor.Email, maxEmail), ip: e.Actor.IPAddress, agent: UserAgent(e.Actor.UserAgent),
		sessionID: e.Actor.SessionID, keyID: e.Actor.APIKeyID, requestID: e.Actor.RequestID}
	var err error
	if r.details, r.personal, err = split(e.Details); err != nil {
		return fmt.Errorf("audit: encode the details of %s: %w", e.Type, err)
	}
	if n := len(r.details) + len(r.personal); n > maxDetails {
		return fmt.Errorf("audit: the details of %s take %d bytes, more than %d", e.Type, n, maxDetails)
	}
	if err := r.draw(tx); err != nil {
		return err
	}
	if r.seq, err = nextSeq(tx); err != nil {
		return err
	}
	result, err := tx.Exec(`
		INSERT INTO audit_events (seq, time_us, event_type, severity, success, user_id, email, ip_address,
			user_agent, session_id, api_key_id, request_id, details, personal_details, actor_seal, details_seal)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`,
		r.seq, r.timeUS, r.kind, r.severity, boolInt(r.success), orNull(r.userID), orNull(r.email), orNull(r.ip), orNull(r.agent),
		orNull(r.sessionID), orNull(r.keyID), orNull(r.requestID), r.details, orNull(r.personal), r.actorSeal.column(), r.detailsSeal.column())
	if err != nil {
		return fmt.Errorf("audit: append %s: %w", e.Type, err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return fmt.Errorf("audit: append %s: %w", e.Type, err)
	}
	if n != 1 { // a trigger may have swallowed it
		return broken("an event that was written is not there")
	}
	tx.Stage(appended{seq: r.seq, leaf: r.leaf(), hour: hourOf(r.timeUS), kind: r.kind, severity: r.severity, success: r.success})
	return nil
}

// nextSeq is the next number: behind the signed head and the events of the batch.
// What it finds out it finds out once a batch.
func nextSeq(tx *db.Tx) (int64, error) {
	var strays int64
	base, err := tx.Base(func() (any, error) {
		base, n, err := nextBase(tx)
		strays = n
		return base, err
	})
	if err != nil {
		return 0, err
	}
	if strays > 0 {
		if err := Append(tx, Event{Type: SuspiciousActivity, Details: Details{"reasons": []string{"audit_log_altered"}, "found": "events_behind_the_head", "count": strays}}); err != nil {
			return 0, err
		}
	}
	return base.(int64) + int64(tx.Staged()) + 1, nil // Base returns what the function above does
}

// draw gives the personal fields their salts.
func (r *row) draw(tx *db.Tx) error {
	var salts [2 * saltLength]byte
	if err := tx.Random(salts[:]); err != nil {
		return fmt.Errorf("audit: draw a salt: %w", err)
	}
	if r.email != "" || r.ip != "" || r.agent != "" {
		r.actorSeal = salts[:saltLength]
	}
	if r.personal != "" {
		r.detailsSeal = salts[saltLength:]
	}
	return nil
}

// column is the seal as it is stored.
func (s seal) column() any {
	if s == nil {
		return nil
	}
	return []byte(s)
}

// severity is the contract's table.
func severity(t Type, success bool) Severity {
	switch t {
	case SuspiciousActivity, AccountLock:
		return Critical
	case AuthorizationFailed, PolicyChange, PermissionGrant, PermissionRevoke:
		return Warning
	case LoginAttempt, MFAVerify, MFAEnroll, PasswordChange:
		if !success {
			return Warning
		}
	}
	return Info
}

// UserAgent is a User-Agent header as it is kept: at most 256 bytes, with "…" at
// the end where it was cut, without characters that cannot be seen.
func UserAgent(header string) string { return clean(header, maxUserAgent) }

// clean replaces what could forge a line or hide text when a log is read in a
// terminal (control and format characters, line and paragraph separators, ASVS
// 5.0 16.4.1) and cuts at limit bytes, with a mark, without splitting a character.
func clean(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return '\uFFFD'
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	cut := limit - len(mark)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
