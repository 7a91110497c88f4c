package audit

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// Record is an event as it was written, but for what was erased from it.
type Record struct {
	Seq      int64
	Time     time.Time
	Type     Type
	Severity Severity
	Success  bool
	Actor    Actor
	Details  json.RawMessage // a JSON object
	ErasedBy int64           // the event that recorded that personal fields were erased; 0 if none are

	// Integrity is what proves the event outside of the log; an export that can be
	// verified has it.
	Integrity *Integrity

	row row
}

// Filter narrows a list. Zero fields do not narrow.
type Filter struct {
	Type     Type
	Severity Severity
	Success  *bool
	UserID   string
	Email    string
	IP       string
	APIKeyID string
	Since    time.Time // inclusive
	Until    time.Time // exclusive
	Text     string    // part of the e-mail, address, details or request id
	Request  string    // of one request
	Session  string    // of one session
	Before   int64     // only sequence numbers below this one
	After    int64     // only sequence numbers above this one
	Limit    int

	OldestFirst bool
	// Own says that UserID is who asks, and reaches no others: then nothing that the
	// search does depends on the events of others.
	Own bool
}

// maxText bounds what is searched for, in bytes: LIKE takes time in proportion
// to it.
const maxText = 64

// Validate refuses a type or a severity that does not exist and a time range
// that ends before it begins, naming the field.
func (f Filter) Validate() error {
	var fields []secerr.Field
	if f.Type != "" && !slices.Contains(Types, f.Type) {
		fields = append(fields, secerr.Field{Field: "event_type", Detail: "There is no such event type."})
	}
	if f.Severity != "" && !slices.Contains(Severities, f.Severity) {
		fields = append(fields, secerr.Field{Field: "severity", Detail: "Use info, warning or critical."})
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && f.Until.Before(f.Since) {
		fields = append(fields, secerr.Field{Field: "until", Detail: "The end lies before the beginning."})
	}
	if len(f.Text) > maxText {
		fields = append(fields, secerr.Field{Field: "q", Detail: "Search for 64 characters at most."})
	}
	if fields != nil {
		return secerr.InvalidFields(fields...)
	}
	return nil
}

const columns = `seq, time_us, event_type, severity, success, user_id, email, ip_address,
	user_agent, session_id, api_key_id, request_id, details, personal_details, actor_seal, details_seal, actor_erased_by, details_erased_by`

// Newest returns the sequence number of the newest event, 0 when there is none.
func Newest(r db.Reader) (int64, error) {
	var seq int64
	if err := r.QueryRow("SELECT COALESCE(MAX(seq), 0) FROM audit_events").Scan(&seq); err != nil {
		return 0, fmt.Errorf("audit: newest: %w", err)
	}
	return seq, nil
}

// Get returns one event, or secerr.NotFound.
func Get(r db.Reader, seq int64) (Record, error) {
	event, err := scanRecord(r.QueryRow("SELECT "+columns+" FROM audit_events WHERE seq = $1", seq))
	if errors.Is(err, sql.ErrNoRows) {
		return Record{}, secerr.New(secerr.NotFound, "There is no such event.")
	}
	if err != nil {
		return Record{}, fmt.Errorf("audit: get: %w", err)
	}
	return event, nil
}

func scanRecord(rows interface{ Scan(...any) error }) (Record, error) {
	r, err := scanRow(rows)
	if err != nil {
		return Record{}, err
	}
	return Record{Seq: r.seq, Time: db.FromMicros(r.timeUS), Type: Type(r.kind), Severity: Severity(r.severity), Success: r.success,
		Actor: Actor{UserID: r.userID, Email: r.email, IPAddress: r.ip, UserAgent: r.agent,
			SessionID: r.sessionID, APIKeyID: r.keyID, RequestID: r.requestID},
		Details: join(r.details, r.personal), ErasedBy: max(r.actorErasedBy, r.detailsErasedBy), row: r}, nil
}

func scanRow(from interface{ Scan(...any) error }) (row, error) {
	var (
		r                                                         row
		success                                                   int
		userID, email, ip, agent, session, key, request, personal sql.NullString
		actorSeal, detailsSeal                                    []byte
		actorErasedBy, detailsErasedBy                            sql.NullInt64
	)
	err := from.Scan(&r.seq, &r.timeUS, &r.kind, &r.severity, &success, &userID, &email, &ip,
		&agent, &session, &key, &request, &r.details, &personal, &actorSeal, &detailsSeal, &actorErasedBy, &detailsErasedBy)
	if err != nil {
		return row{}, err
	}
	r.success = success == 1
	r.userID, r.email, r.ip, r.agent = userID.String, email.String, ip.String, agent.String
	r.sessionID, r.keyID, r.requestID, r.personal = session.String, key.String, request.String, personal.String
	r.actorSeal, r.detailsSeal = actorSeal, detailsSeal
	r.actorErasedBy, r.detailsErasedBy = actorErasedBy.Int64, detailsErasedBy.Int64
	return r, nil
}
