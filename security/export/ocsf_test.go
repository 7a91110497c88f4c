package export

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/audit"
)

// What the schema requires of the classes and of the objects in them, and of
// which members one at least has to be there.
//
//	https://schema.ocsf.io/1.3.0/classes/authentication
//	https://schema.ocsf.io/1.3.0/classes/account_change
//	https://schema.ocsf.io/1.3.0/classes/api_activity
//	https://schema.ocsf.io/1.3.0/objects/metadata, product, actor, user,
//	network_endpoint, service, api, request
//
// as they stand in github.com/ocsf/ocsf-schema at 856af7c, the last commit
// before its 1.4.0.
var (
	everyClass = []string{"activity_id", "category_uid", "class_uid", "type_uid", "time", "severity_id", "metadata"}
	required   = map[string][]string{
		"3001":             append([]string{"user"}, everyClass...),
		"3002":             append([]string{"user"}, everyClass...),
		"6003":             append([]string{"actor", "api", "src_endpoint"}, everyClass...),
		"metadata":         {"product", "version"},
		"metadata.product": {"vendor_name"},
		"api":              {"operation"},
		"api.request":      {"uid"},
	}
	oneOf = map[string][]string{
		"3002":             {"service", "dst_endpoint"},
		"metadata.product": {"name", "uid"},
		"service":          {"name", "uid"},
		"actor":            {"process", "user", "invoked_by", "session", "app_name", "app_uid"},
		"actor.user":       {"account", "name", "uid"},
		"user":             {"account", "name", "uid"},
		"src_endpoint":     {"ip", "uid", "name", "hostname", "svc_name", "instance_uid", "interface_uid", "interface_name"},
	}
	// Activities of each class, with those that every class has.
	activityIDs = map[int][]int{
		accountChange:  {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 99},
		authentication: {0, 1, 2, 3, 4, 5, 6, 99},
		apiActivity:    {0, 1, 2, 3, 4, 99},
	}
)

// checkOCSF reports what the schema would refuse.
func checkOCSF(t *testing.T, line string) map[string]any {
	t.Helper()
	var o map[string]any
	if err := json.Unmarshal([]byte(line), &o); err != nil {
		t.Fatal(err)
	}
	number := func(name string) int { n, _ := o[name].(float64); return int(n) }
	class, id := number("class_uid"), number("activity_id")
	if number("type_uid") != class*100+id || number("category_uid") != class/1000 || !slices.Contains(activityIDs[class], id) {
		t.Errorf("class %d, activity %d, type %d, category %d", class, id, number("type_uid"), number("category_uid"))
	}
	if name, _ := o["activity_name"].(string); id == 99 && name == "" {
		t.Errorf("another activity has no name: %s", line)
	}
	object := func(path string) (map[string]any, bool) {
		if path == "3001" || path == "3002" || path == "6003" {
			return o, path == map[int]string{3001: "3001", 3002: "3002", 6003: "6003"}[class]
		}
		at, ok := o, true
		for step := range strings.SplitSeq(path, ".") {
			if at, ok = at[step].(map[string]any); !ok {
				return nil, false
			}
		}
		return at, true
	}
	for path, names := range required {
		if members, ok := object(path); ok {
			for _, name := range names {
				if members[name] == nil || members[name] == "" {
					t.Errorf("%s lacks %s: %s", path, name, line)
				}
			}
		}
	}
	for path, names := range oneOf {
		if members, ok := object(path); ok && !slices.ContainsFunc(names, func(name string) bool { return members[name] != nil && members[name] != "" }) {
			t.Errorf("%s has none of %v: %s", path, names, line)
		}
	}
	return o
}

func TestOCSFHasWhatTheSchemaRequires(t *testing.T) {
	actors := map[string]audit.Actor{"nobody": {}, "a typed address": {Email: "x@example.org", IPAddress: "2001:db8::1"}, "a key": {APIKeyID: "k"},
		"a session": {SessionID: "s"}, "a user": {UserID: "u", Email: "x@example.org", IPAddress: "192.0.2.1", UserAgent: "y", RequestID: "r"}, "no address": {IPAddress: "?"}}
	for _, kind := range append(slices.Clone(audit.Types), "a_type_to_come") {
		for _, severity := range audit.Severities {
			for _, actor := range actors {
				for _, details := range []string{"{}", `{"target_user_id":"t","target_email":"?","target_session_id":"s2","second_factor":"awaited","purpose":"step_up","stage":"begun","enabled":false}`} {
					e := audit.Record{Seq: 1, Time: at, Type: kind, Severity: severity, Actor: actor, Details: json.RawMessage(details)}
					checkOCSF(t, write(t, OCSF, e))
				}
			}
		}
	}
	for _, text := range hostile {
		o := checkOCSF(t, strings.TrimSuffix(write(t, OCSF, record(text)), "\n"))
		if got := o["http_request"].(map[string]any)["user_agent"]; got != jsonText(text) {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestOCSFLine(t *testing.T) {
	e := audit.Record{Seq: 7, Time: at, Type: audit.SessionEnd, Severity: audit.Info, Success: true,
		Actor:   audit.Actor{Email: "a@example.org", UserID: "u1", IPAddress: "192.0.2.1", UserAgent: "x", SessionID: "s1", RequestID: "r"},
		Details: json.RawMessage(`{"target_user_id":"u2","target_session_id":"s2","reason":"ended_by_user"}`)}
	const want = `{"category_uid":3,"class_uid":3002,"activity_id":2,"activity_name":"Logoff","type_uid":300202,"severity_id":1,"status_id":1,` +
		`"status_detail":"ended_by_user","time":1772597167008,"message":"Session end: success",` +
		`"metadata":{"version":"1.3.0","product":{"name":"Dashboard","vendor_name":"Patronus","version":"1.2.3"},"uid":"7","event_code":"session_end","original_time":"2026-03-04T04:06:07.008Z"},` +
		`"actor":{"user":{"name":"a@example.org","uid":"u1","email_addr":"a@example.org"},"session":{"uid":"s1"}},"user":{"uid":"u2"},"session":{"uid":"s2"},` +
		`"service":{"name":"Dashboard","version":"1.2.3"},"src_endpoint":{"ip":"192.0.2.1"},"http_request":{"user_agent":"x","uid":"r"},` +
		`"unmapped":{"details":{"target_user_id":"u2","target_session_id":"s2","reason":"ended_by_user"}}}` + "\n"
	if got := write(t, OCSF, e); got != want {
		t.Errorf("%s", got)
	}
}

func TestOCSFClasses(t *testing.T) {
	for _, c := range []struct {
		kind    audit.Type
		details string
		want    int // type_uid
	}{
		{audit.LoginAttempt, `{"method":"password"}`, 300201}, {audit.LoginAttempt, `{"second_factor":"awaited"}`, 300206},
		{audit.MFAVerify, `{}`, 300201}, {audit.MFAVerify, `{"purpose":"step_up"}`, 300299},
		{audit.Logout, `{}`, 300202}, {audit.SessionEnd, `{}`, 300202}, {audit.TokenRefresh, `{}`, 300299}, {audit.TokenRevoke, `{}`, 300299}, {audit.NewDevice, `{}`, 300299},
		{audit.UserCreate, `{}`, 300101}, {audit.UserUpdate, `{"enabled":true}`, 300102}, {audit.UserUpdate, `{"enabled":false}`, 300105}, {audit.UserUpdate, `{"role":"admin"}`, 300199},
		{audit.UserDelete, `{}`, 300106}, {audit.PasswordChange, `{}`, 300103}, {audit.PasswordReset, `{}`, 300104}, {audit.PermissionGrant, `{}`, 300107}, {audit.PermissionRevoke, `{}`, 300108},
		{audit.AccountLock, `{}`, 300109}, {audit.AccountUnlock, `{}`, 300199}, {audit.MFAEnroll, `{"stage":"verified"}`, 300110}, {audit.MFAEnroll, `{"stage":"begun"}`, 300199}, {audit.MFADisable, `{}`, 300111},
		{audit.APIKeyCreate, `{}`, 300199}, {audit.APIKeyUpdate, `{}`, 300199}, {audit.APIKeyRevoke, `{}`, 300199},
		{audit.IPBlock, `{}`, 600301}, {audit.DataExport, `{}`, 600302}, {audit.PolicyChange, `{}`, 600303}, {audit.IPUnblock, `{}`, 600304}, {audit.SystemStart, `{}`, 600399}, {audit.SuspiciousActivity, `{}`, 600399}, {"later", `{}`, 600399},
	} {
		if got := ocsf(audit.Record{Time: at, Type: c.kind, Details: json.RawMessage(c.details)}, Product{}).TypeUID; got != c.want {
			t.Errorf("%s %s: %d, want %d", c.kind, c.details, got, c.want)
		}
	}
}
