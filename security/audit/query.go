package audit

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// Record is an event as it was written.
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
	Before   int64     // only sequence numbers below this one
	After    int64     // only sequence numbers above this one
	Limit    int

	OldestFirst bool
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

// List returns the newest events that match, newest first, Limit at most, and
// the sequence number to pass as Before for the ones that follow (0 at the
// end). With OldestFirst it is the oldest ones, oldest first, and After. The
// filter has been validated.
func List(r db.Reader, f Filter) (events []Record, next int64, err error) {
	where, args := f.where()
	// One more than asked for tells whether another page follows.
	args = append(args, f.Limit+1)
	order := " ORDER BY seq DESC"
	if f.OldestFirst {
		order = " ORDER BY seq"
	}
	query := "SELECT " + columns + " FROM audit_events" + where + order + " LIMIT $" + strconv.Itoa(len(args))
	rows, err := r.Query(query, args...)
	if err != nil {
		return nil, 0, fmt.Errorf("audit: list: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		event, err := scan(rows)
		if err != nil {
			return nil, 0, fmt.Errorf("audit: list: %w", err)
		}
		events = append(events, event)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("audit: list: %w", err)
	}
	if len(events) > f.Limit {
		events = events[:f.Limit]
		next = events[f.Limit-1].Seq
	}
	return events, next, nil
}

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
	event, err := scan(r.QueryRow("SELECT "+columns+" FROM audit_events WHERE seq = $1", seq))
	if errors.Is(err, sql.ErrNoRows) {
		return Record{}, secerr.New(secerr.NotFound, "There is no such event.")
	}
	if err != nil {
		return Record{}, fmt.Errorf("audit: get: %w", err)
	}
	return event, nil
}

// CountSince counts the events of a severity since a time: everybody's, or
// those of one user.
func CountSince(r db.Reader, s Severity, userID string, since time.Time) (int, error) {
	where, args := Filter{Severity: s, UserID: userID, Since: since}.where()
	var n int
	if err := r.QueryRow("SELECT COUNT(*) FROM audit_events"+where, args...).Scan(&n); err != nil {
		return 0, fmt.Errorf("audit: count: %w", err)
	}
	return n, nil
}

// where builds the condition with numbered placeholders; values are always
// bound.
func (f Filter) where() (string, []any) {
	var terms []string
	var args []any
	add := func(term string, value any) {
		args = append(args, value)
		terms = append(terms, strings.ReplaceAll(term, "?", "$"+strconv.Itoa(len(args))))
	}
	if f.Type != "" {
		add("event_type = ?", string(f.Type))
	}
	if f.Severity != "" {
		add("severity = ?", string(f.Severity))
	}
	if f.Success != nil {
		add("success = ?", boolInt(*f.Success))
	}
	if f.UserID != "" {
		add("user_id = ?", f.UserID)
	}
	if f.Email != "" {
		add("email = ?", f.Email)
	}
	if f.IP != "" {
		add("ip_address = ?", f.IP)
	}
	if f.APIKeyID != "" {
		add("api_key_id = ?", f.APIKeyID)
	}
	if !f.Since.IsZero() {
		add("time_us >= ?", db.Micros(f.Since))
	}
	if !f.Until.IsZero() {
		add("time_us < ?", db.Micros(f.Until))
	}
	if f.Text != "" {
		add(`(LOWER(COALESCE(email, '')) LIKE ? ESCAPE '\' OR LOWER(COALESCE(ip_address, '')) LIKE ? ESCAPE '\'
			OR LOWER(details) LIKE ? ESCAPE '\' OR LOWER(COALESCE(personal_details, '')) LIKE ? ESCAPE '\' OR LOWER(COALESCE(request_id, '')) LIKE ? ESCAPE '\')`, likePattern(f.Text))
	}
	if f.Before > 0 {
		add("seq < ?", f.Before)
	}
	if f.After > 0 {
		add("seq > ?", f.After)
	}
	if terms == nil {
		return "", nil
	}
	return " WHERE " + strings.Join(terms, " AND "), args
}

// likePattern finds text anywhere, whatever the case of its ASCII letters: more
// the engine's LOWER does not know. What LIKE would take for a wildcard is
// taken literally.
func likePattern(text string) string {
	lowered := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
	return "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(lowered) + "%"
}

func scan(rows interface{ Scan(...any) error }) (Record, error) {
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
