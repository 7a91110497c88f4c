package audit

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
)

// View is an event as it leaves the program, by API, live or as a file: every
// field is there, null where it does not apply.
type View struct {
	ID        int64           `json:"id"`
	Time      string          `json:"time"`
	EventType Type            `json:"event_type"`
	Severity  Severity        `json:"severity"`
	Success   bool            `json:"success"`
	UserID    *string         `json:"user_id"`
	Email     *string         `json:"email"`
	IPAddress *string         `json:"ip_address"`
	UserAgent *string         `json:"user_agent"`
	SessionID *string         `json:"session_id"`
	APIKeyID  *string         `json:"api_key_id"`
	RequestID *string         `json:"request_id"`
	Details   json.RawMessage `json:"details"`

	Integrity *Integrity `json:"integrity,omitempty"`
}

// View returns the event as it leaves the program.
func (r Record) View() View {
	return View{ID: r.Seq, Time: Time(r.Time), EventType: r.Type, Severity: r.Severity, Success: r.Success,
		UserID: nullable(r.Actor.UserID), Email: nullable(r.Actor.Email), IPAddress: nullable(r.Actor.IPAddress),
		UserAgent: nullable(r.Actor.UserAgent), SessionID: nullable(r.Actor.SessionID), APIKeyID: nullable(r.Actor.APIKeyID),
		RequestID: nullable(r.Actor.RequestID), Details: r.ValidDetails(), Integrity: r.Integrity}
}

// Line is an event as NDJSON has it, without the end of the line. There are no
// escapes of HTML, so the details stand byte for byte as the leaf of the event has
// them. The line separators of Unicode are escaped in any text that this program
// wrote, and here in what another put into the log.
func Line(v View) ([]byte, error) {
	line, err := encode(v)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(line, []byte("\u2028")) || bytes.Contains(line, []byte("\u2029")) {
		line = []byte(strings.NewReplacer("\u2028", `\u2028`, "\u2029", `\u2029`).Replace(string(line)))
	}
	return line, nil
}

// ValidDetails returns the details as valid JSON. What is stored is an object;
// should a row hold anything else, its text becomes a JSON string, since neither
// a list nor an export may end at one bad row.
func (r Record) ValidDetails() json.RawMessage {
	if len(bytes.TrimSpace(r.Details)) == 0 {
		return json.RawMessage("{}")
	}
	// A JSON text may hold invalid UTF-8 and still pass json.Valid.
	text := bytes.ToValidUTF8(r.Details, []byte("\uFFFD"))
	if json.Valid(text) {
		return text
	}
	quoted, err := json.Marshal(string(text))
	if err != nil { // never of a string
		return json.RawMessage("null")
	}
	return quoted
}

// Time is an instant as events have it: RFC 3339, UTC, milliseconds.
func Time(t time.Time) string { return t.UTC().Format(timeForm) }

const timeForm = "2006-01-02T15:04:05.000Z"

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
