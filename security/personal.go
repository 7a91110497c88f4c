package security

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/export"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/user"
)

// heldPart is what one table holds about a person. Its columns are the members of
// the JSON: a name that ends in _us is a time and loses that end. None is a blob,
// which is how whatever is a hash or encrypted is stored.
type heldPart struct {
	name, about, query string
	// by is what $1 stands for: the id of the user, unless it says otherwise.
	by func(*Service, user.User) any
	// needs is the permission that reads it of others beside that of the whole: it
	// reads it in other places, too.
	needs rbac.Permission
}

// held is everything that belongs to a user and is no secret, in the order in
// which it is written. What of the database is not in it stands, with the reason,
// in the test that walks all tables.
var held = []heldPart{
	{name: "account", about: "the account itself",
		query: `SELECT id, email, role, enabled, created_at_us, last_login_at_us, password_changed_at_us, unlocked_at_us,
			reenroll AS second_factor_demanded, code_failures AS wrong_codes,
			CASE WHEN code_failures_since_us > 0 THEN code_failures_since_us END AS wrong_codes_since_us FROM users WHERE id = $1`},
	{name: "passwords", about: "when earlier passwords were replaced, of those that are kept so that none comes back soon",
		query: "SELECT replaced_at_us FROM password_history WHERE user_id = $1 ORDER BY id"},
	{name: "password_links", about: "one-time links that set a password",
		query: "SELECT purpose, made_by, made_by_key, created_at_us, expires_at_us, used_at_us FROM password_links WHERE user_id = $1 ORDER BY created_at_us"},
	{name: "enrolment_links", about: "one-time links that set up a second factor",
		query: "SELECT made_by, created_at_us, expires_at_us, used_at_us FROM enrolment_links WHERE user_id = $1 ORDER BY created_at_us"},
	{name: "failed_sign_ins", about: "wrong passwords that are counted against the account, by strangers together and by each device that signed in before",
		by: func(s *Service, u user.User) any { return s.accountMAC(u.Email) },
		query: `SELECT CASE WHEN LENGTH(device) = 0 THEN 'strangers' ELSE 'device' END AS counted_for, failures, last_failure_at_us, locked_until_us
			FROM login_failures WHERE account = $1 ORDER BY last_failure_at_us`},
	{name: "second_factors", about: "second factors",
		query: "SELECT id, kind, name, created_at_us, verified_at_us, last_used_at_us FROM mfa_factors WHERE user_id = $1 ORDER BY id"},
	{name: "backup_codes", about: "backup codes, used or not",
		query: "SELECT created_at_us, used_at_us FROM backup_codes WHERE user_id = $1 ORDER BY created_at_us, used_at_us"},
	{name: "sessions", about: "sessions, those that ended too for a month", needs: rbac.SessionsRead,
		query: `SELECT id, kind, stage, amr, ip_address, user_agent, created_at_us, last_seen_at_us, expires_at_us, ended_at_us, end_reason,
			new_device, wrong_proofs FROM sessions WHERE user_id = $1 ORDER BY id`},
	{name: "devices", about: "browsers and programs that signed in before", needs: rbac.SessionsRead,
		query: "SELECT name, ip_address, first_seen_at_us, last_seen_at_us FROM devices WHERE user_id = $1 ORDER BY first_seen_at_us"},
	{name: "places", about: "the last sign-in from each country, where the program knows countries", needs: rbac.SessionsRead,
		query: "SELECT country, latitude, longitude, last_seen_at_us FROM sign_in_places WHERE user_id = $1 ORDER BY country"},
	{name: "api_keys", about: "API keys, without what they are called with", needs: rbac.APIKeysRead,
		query: `SELECT id, name, key_prefix, scopes, networks, created_at_us, expires_at_us, expiry_mailed_at_us, last_used_at_us, last_used_ip, revoked_at_us,
			limit_requests, limit_window_secs, limit_burst FROM api_keys WHERE user_id = $1 ORDER BY id`},
	{name: "api_key_old_secrets", about: "until when secrets from before a rotation work", needs: rbac.APIKeysRead,
		query: `SELECT api_key_id, ends_at_us FROM api_key_old_secrets WHERE api_key_id IN (SELECT id FROM api_keys WHERE user_id = $1)
			ORDER BY api_key_id, ends_at_us`},
	{name: "api_key_networks", about: "networks that API keys were used from", needs: rbac.APIKeysRead,
		query: `SELECT api_key_id, network, first_seen_at_us FROM api_key_networks WHERE api_key_id IN (SELECT id FROM api_keys WHERE user_id = $1)
			ORDER BY api_key_id, network`},
	{name: "api_key_uses", about: "permissions that API keys used, and on which days first and last", needs: rbac.APIKeysRead,
		query: `SELECT api_key_id, permission, first_used_on_us, last_used_on_us FROM api_key_uses WHERE api_key_id IN (SELECT id FROM api_keys WHERE user_id = $1)
			ORDER BY api_key_id, permission`},
	{name: "grants", about: "permissions beyond the role",
		query: "SELECT id, permission, NULLIF(resource_id, '') AS resource_id, granted_by, created_at_us FROM grants WHERE user_id = $1 ORDER BY id"},
	{name: "consents", about: "versions of the notice that were agreed to",
		query: "SELECT version, accepted_at_us FROM consents WHERE user_id = $1 ORDER BY version"},
	{name: "saved_views", about: "filters of the audit log that were kept under a name", needs: rbac.AuditRead,
		query: "SELECT id, name, query, created_at_us FROM saved_views WHERE user_id = $1 ORDER BY id"},
	// Some of it names an address and a device.
	{name: "mails", about: "mail that waits to be sent, and that of the last day", needs: rbac.SessionsRead,
		by: func(_ *Service, u user.User) any { return u.Email },
		query: `SELECT id, kind, recipient, details, created_at_us, expires_at_us, attempts, next_attempt_at_us, done_at_us, outcome
			FROM outbox WHERE recipient = $1 ORDER BY id`},
}

// flags are columns that are true or false, documents those that hold JSON.
var (
	flags     = []string{"enabled", "second_factor_demanded", "new_device"}
	documents = []string{"scopes", "networks", "details"}
)

// ExportOwn hands over everything that is held about the caller: first begin gets
// what the tables hold, then take gets the events, as ExportUser does.
func (s *Service) ExportOwn(ctx context.Context, c Caller, f export.PersonFormat, begin func(export.Person) error, take func([]audit.Record) error) error {
	if err := s.AuthorizePerson(ctx, c); err != nil {
		return err
	}
	return s.exportPerson(ctx, c, c.User, f, begin, take)
}

// ExportUser hands over what is held about a user: first begin gets what the tables
// hold, then take gets the events by and about them in batches of which some are
// empty, so that who waits hears that it goes on. The log has an event of it
// before. What the caller may not read in its own place is left out. It stops with
// the first error of take, and when the caller may not go on. It returns
// secerr.NotFound, which is an event as well, and secerr.Unavailable when too many
// exports run, or one of the caller's.
func (s *Service) ExportUser(ctx context.Context, c Caller, id string, f export.PersonFormat, begin func(export.Person) error, take func([]audit.Record) error) error {
	u, err := s.userNow(ctx, id)
	if secerr.Is(err, secerr.NotFound) {
		return s.deny(ctx, c, secerr.New(secerr.NotFound, "There is no such user."), audit.Details{"permission": string(rbac.UsersRead), "target_user_id": id})
	}
	if err != nil {
		return err
	}
	return s.exportPerson(ctx, c, u, f, begin, take)
}

func (s *Service) exportPerson(ctx context.Context, c Caller, u user.User, f export.PersonFormat, begin func(export.Person) error, take func([]audit.Record) error) error {
	run, leave, err := s.exports.enter(c.User.ID)
	if err != nil {
		return err
	}
	defer leave()
	newest, err := audit.Newest(s.db.Read(ctx))
	if err != nil {
		return err
	}
	run.first.Store(1)
	run.last.Store(newest)
	readable, leftOut := s.partsFor(ctx, c, u)
	details := audit.Details{"data": "user", "format": string(f), "target_user_id": u.ID, "target_email": u.Email}
	if len(leftOut) > 0 {
		details["left_out"] = namesOf(leftOut)
	}
	if err := s.change(ctx, c, func(tx *db.Tx) error { return record(tx, c, audit.DataExport, details) }); err != nil {
		return err
	}
	p := export.Person{Email: u.Email, At: s.now(), LeftOut: leftOut}
	// Everything is read before the first byte is sent: a reader takes as long as
	// they like, and the state of the database must not wait for them.
	err = s.db.Snapshot(ctx, func(r db.Reader) (err error) {
		p.Parts, err = s.readParts(r, u, readable)
		return err
	})
	if err == nil {
		err = begin(p)
	}
	if err != nil || slices.ContainsFunc(leftOut, func(p export.Part) bool { return p.Name == export.Events.Name }) {
		return err
	}
	return audit.AllOf(s.db.Read(ctx), audit.Person{UserID: u.ID, Email: u.Email}, newest, func(events []audit.Record, at int64) error {
		// A long export ends with the session or key that it is for.
		if err := still(s.db.Read(ctx), s.now(), c); err != nil {
			return err
		}
		run.at.Store(at)
		return take(events)
	})
}

// partsFor divides what there is into what the caller may read and what not. A
// person may read all that is their own.
func (s *Service) partsFor(ctx context.Context, c Caller, u user.User) (readable []heldPart, leftOut []export.Part) {
	may := func(p rbac.Permission) bool {
		return p == "" || c.Key == nil && c.User.ID == u.ID || c.Held().Allow(p, u.ID)
	}
	for _, part := range held {
		if may(part.needs) {
			if part.needs != "" {
				s.noteScope(ctx, c, part.needs)
			}
			readable = append(readable, part)
		} else {
			leftOut = append(leftOut, export.Part{Name: part.name, About: part.about})
		}
	}
	if may(rbac.AuditRead) {
		s.noteScope(ctx, c, rbac.AuditRead)
	} else {
		leftOut = append(leftOut, export.Events)
	}
	return readable, leftOut
}

func namesOf(parts []export.Part) []string {
	var names []string
	for _, part := range parts {
		names = append(names, part.Name)
	}
	return names
}

// readParts reads what the tables hold. The account is an object, anything else a
// list.
func (s *Service) readParts(r db.Reader, u user.User, of []heldPart) ([]export.Part, error) {
	var parts []export.Part
	for _, part := range of {
		by := any(u.ID)
		if part.by != nil {
			by = part.by(s, u)
		}
		rows, err := objects(r, part.query, by)
		if err != nil {
			return nil, fmt.Errorf("what is held of a user: %s: %w", part.name, err)
		}
		data := slices.Concat([]byte("["), bytes.Join(rows, []byte(",\n")), []byte("]"))
		if part.name == "account" {
			if len(rows) == 0 { // they were deleted meanwhile
				return nil, secerr.New(secerr.NotFound, "There is no such user.")
			}
			data = rows[0]
		}
		parts = append(parts, export.Part{Name: part.name, About: part.about, Data: data})
	}
	return parts, nil
}

// objects writes each row of a query as a JSON object.
func objects(r db.Reader, query string, by any) ([][]byte, error) {
	rows, err := r.Query(query, by)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, places := make([]any, len(columns)), make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	var list [][]byte
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		var object bytes.Buffer
		for i, column := range columns {
			name, value, err := member(column, values[i])
			if err != nil {
				return nil, err
			}
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&object, "%c%q:%s", "{,"[min(i, 1)], name, text)
		}
		object.WriteByte('}')
		list = append(list, object.Bytes())
	}
	return list, rows.Err()
}

// member is a column as JSON has it.
func member(column string, value any) (string, any, error) {
	name, isTime := strings.CutSuffix(column, "_us")
	switch v := value.(type) {
	case []byte:
		// Fails closed: this is how secrets are stored.
		return "", nil, fmt.Errorf("the column %s is a blob and not for anybody to read", column)
	case int64:
		switch {
		case isTime:
			value = audit.Time(db.FromMicros(v))
		case slices.Contains(flags, name):
			value = v == 1
		}
	case string:
		if slices.Contains(documents, name) && json.Valid([]byte(v)) {
			value = json.RawMessage(v)
		}
	}
	return name, value, nil
}
