package security_test

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"patronus.internal/dashboard/security/audit"
)

// notExported is what of the database refers to a user and is not in an export of
// their data, and why. A whole table stands alone, a column behind its table.
var notExported = map[string]string{
	"spent_refresh_tokens": "hashes of tokens; that they were exchanged are events of the session",
	"nonces":               "hashes of confirmations that live five minutes; each is an event",
	"revocations":          "lives as long as an access token; that it was revoked is an event",
	"ip_blocks":            "tells of a network; that this person blocked it is an event",
	"audit_strays":         "nobody knows who put them into the file, so they are evidence and tell nothing of the person they name",
	"notices":              "is for everybody; that this person wrote it is an event",
	"audit_erasures":       "of somebody who is deleted already",

	"users.password_hash":             "a secret",
	"users.email_skeleton":            "the address in other words",
	"grants.user_id":                  "the id of the account",
	"password_history.id":             "says nothing",
	"password_history.user_id":        "the id of the account",
	"password_history.password_hash":  "a secret",
	"password_links.token_hash":       "a secret",
	"password_links.user_id":          "the id of the account",
	"enrolment_links.token_hash":      "a secret",
	"enrolment_links.user_id":         "the id of the account",
	"login_failures.account":          "a MAC of the address",
	"login_failures.device":           "a hash of a cookie",
	"mfa_factors.user_id":             "the id of the account",
	"mfa_factors.secret_ciphertext":   "a secret",
	"mfa_factors.last_used_step":      "last_used_at in other words",
	"mfa_factors.begun_by_session":    "a guard of enrolments under way",
	"backup_codes.user_id":            "the id of the account",
	"backup_codes.code_hash":          "a secret",
	"sessions.user_id":                "the id of the account",
	"sessions.secret_hash":            "a secret",
	"devices.user_id":                 "the id of the account",
	"devices.device_hash":             "a hash of a cookie",
	"sign_in_places.user_id":          "the id of the account",
	"sign_in_places.device_hash":      "a hash of a cookie",
	"api_keys.user_id":                "the id of the account",
	"api_keys.secret_hash":            "a secret",
	"api_key_old_secrets.secret_hash": "a secret",
	"consents.user_id":                "the id of the account",
	"saved_views.user_id":             "the id of the account",
}

// constrained are values that a column takes where it does not take any.
var constrained = map[string]any{
	"users.role": "viewer", "users.enabled": 1, "users.reenroll": 0,
	"sessions.kind": "browser", "sessions.stage": "full", "sessions.new_device": 1,
	"mfa_factors.kind": "totp", "password_links.purpose": "invite", "outbox.outcome": "sent",
	"api_keys.scopes": `["marked:scope"]`, "api_keys.networks": `["198.51.100.0/24"]`, "outbox.details": `{"marked":"detail"}`,
}

// TestExportHasEveryTable gives every column of every table that refers to a user a
// value of its own and looks for it in the export of that user. Who adds a table or
// a column puts it there, or says above why not.
func TestExportHasEveryTable(t *testing.T) {
	e := enrol(t, "admin")
	outside := e.outside(t)
	const id, address = "01900000-0000-7000-8000-00000000abcd", "vera@example.org"
	marks := map[string][]string{} // how the value of a column looks in the export
	tables := personalTables(t, outside)
	for _, table := range tables {
		if notExported[table] != "" || table == "audit_events" {
			continue
		}
		plant(t, outside, table, marks, map[string]any{
			"users.id": id, "users.email": address, "outbox.recipient": address,
			"login_failures.account": e.service.MAC("login_failures", []byte(address)),
			"api_keys.id":            "key", "api_key_networks.api_key_id": "key", "api_key_old_secrets.api_key_id": "key", "api_key_uses.api_key_id": "key"}, id)
	}
	if _, err := outside.Exec("UPDATE generation SET number = number + 1"); err != nil {
		t.Fatal(err)
	}
	text := e.exportJSON(t, id)
	if !json.Valid(text) {
		t.Fatalf("no JSON: %s", text)
	}
	for column, looks := range marks {
		found := slices.ContainsFunc(looks, func(look string) bool { return bytes.Contains(text, []byte(look)) })
		switch why := notExported[column]; {
		case why == "" && !found:
			t.Errorf("%s is not in the export, and nothing says why", column)
		case why != "" && why != "the id of the account" && found:
			t.Errorf("%s is in the export, although it is %s", column, why)
		}
	}
	if len(marks) < 80 {
		t.Errorf("only %d columns were looked for", len(marks))
	}
	for name := range notExported {
		if _, planted := marks[name]; !planted && !slices.Contains(tables, name) {
			t.Errorf("there is no %s that refers to a user", name)
		}
	}
}

// personalTables lists those that refer to a user: by a foreign key, to what is a
// user's too, or by a column of a telling name.
func personalTables(t *testing.T, outside *sql.DB) []string {
	t.Helper()
	telling := []string{"user_id", "email", "recipient", "account", "created_by", "removed_by", "granted_by", "subject"}
	all := strings3(t, outside, "SELECT name, '', '' FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
	found := []string{"users"}
	for before := 0; before < len(found); { // a reference to a reference is one
		before = len(found)
		for _, table := range all {
			refers := slices.ContainsFunc(strings3(t, outside, `SELECT "table", '', '' FROM pragma_foreign_key_list('`+table[0]+`')`),
				func(to [3]string) bool { return slices.Contains(found, to[0]) }) ||
				slices.ContainsFunc(columnsOf(t, outside, table[0]), func(column [3]string) bool { return slices.Contains(telling, column[0]) })
			if refers && !slices.Contains(found, table[0]) {
				found = append(found, table[0])
			}
		}
	}
	return found
}

// columnsOf are the names and types of the columns of a table.
func columnsOf(t *testing.T, outside *sql.DB, table string) [][3]string {
	t.Helper()
	return strings3(t, outside, `SELECT name, type, '' FROM pragma_table_info('`+table+`')`)
}

func strings3(t *testing.T, outside *sql.DB, query string) (list [][3]string) {
	t.Helper()
	rows, err := outside.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var row [3]string
		if err := rows.Scan(&row[0], &row[1], &row[2]); err != nil {
			t.Fatal(err)
		}
		list = append(list, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// plant inserts a row of the user's whose values can be told apart.
func plant(t *testing.T, outside *sql.DB, table string, marks map[string][]string, given map[string]any, userID string) {
	t.Helper()
	var names, places []string
	var values []any
	for i, column := range columnsOf(t, outside, table) {
		name := table + "." + column[0]
		var value any
		number := 1_000_000_000_000_000 + int64(len(marks)+1)*1_234_000_000 // microseconds, or any number
		switch column[1] {
		case "TEXT":
			value = "mark of " + name
		case "BLOB":
			hash := sha256.Sum256([]byte(name))
			value = hash[:]
			marks[name] = []string{hex.EncodeToString(hash[:]), base64.StdEncoding.EncodeToString(hash[:]), base64.RawURLEncoding.EncodeToString(hash[:])}
		case "INTEGER":
			value = number
		case "REAL":
			value = float64(number%90) + 0.125
		}
		if column[0] == "user_id" {
			value = userID
		}
		for _, fixed := range []map[string]any{constrained, given} {
			if v, is := fixed[name]; is {
				value = v
			}
		}
		switch v := value.(type) {
		case string:
			marks[name] = []string{strings.Trim(fmt.Sprintf("%q", v), `"`), v}
		case int64:
			marks[name] = []string{fmt.Sprintf(":%d", v)}
			if strings.HasSuffix(name, "_us") {
				marks[name] = []string{audit.Time(time.UnixMicro(v))}
			}
		case int:
			marks[name] = []string{fmt.Sprintf(`"%s":`, column[0])}
			if column[0] == "reenroll" {
				marks[name] = []string{`"second_factor_demanded":false`}
			}
		case float64:
			marks[name] = []string{fmt.Sprintf(":%v", v)}
		}
		names, places, values = append(names, column[0]), append(places, fmt.Sprintf("$%d", i+1)), append(values, value)
	}
	if _, err := outside.Exec("INSERT INTO "+table+" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(places, ", ")+")", values...); err != nil {
		t.Fatalf("%s: %v", table, err)
	}
}
