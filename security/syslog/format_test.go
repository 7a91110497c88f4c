package syslog

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"

	"patronus.internal/dashboard/security/audit"
)

var at = time.Date(2026, 1, 2, 4, 4, 5, 678_901_234, time.FixedZone("", 3600))

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		name, hostname string
		message        audit.Message
		want           string
	}{
		{"info", "db.example.org", audit.Message{Seq: 7, Type: audit.Logout, Severity: audit.Info, Time: at, JSON: []byte(`{"id":7}`)},
			`<110>1 2026-01-02T03:04:05.678901Z db.example.org patronus - logout [meta sequenceId="7"] {"id":7}`},
		{"warning", "h", audit.Message{Seq: 1, Type: audit.LoginAttempt, Severity: audit.Warning, Time: at, JSON: []byte(`{}`)},
			`<108>1 2026-01-02T03:04:05.678901Z h patronus - login_attempt [meta sequenceId="1"] {}`},
		{"critical", "h", audit.Message{Seq: 1, Type: audit.AccountLock, Severity: audit.Critical, Time: at, JSON: []byte(`{}`)},
			`<106>1 2026-01-02T03:04:05.678901Z h patronus - account_lock [meta sequenceId="1"] {}`},
		{"no host, no type, another severity", "", audit.Message{Time: at, JSON: []byte(`{}`)},
			`<109>1 2026-01-02T03:04:05.678901Z - patronus - - [meta sequenceId="1"] {}`},
		{"a header that would end early", "a b\n" + strings.Repeat("h", 300), audit.Message{Seq: 1, Type: audit.Type("x ]\n" + strings.Repeat("t", 40)), Severity: audit.Info, Time: at, JSON: []byte(`{}`)},
			`<110>1 2026-01-02T03:04:05.678901Z ab` + strings.Repeat("h", 253) + ` patronus - x]` + strings.Repeat("t", 30) + ` [meta sequenceId="1"] {}`},
		{"the last number", "h", audit.Message{Seq: 2147483647, Type: audit.Logout, Severity: audit.Info, Time: at, JSON: []byte(`{}`)},
			`<110>1 2026-01-02T03:04:05.678901Z h patronus - logout [meta sequenceId="2147483647"] {}`},
		{"a checkpoint", "h", audit.Message{Seq: 5, Type: audit.CheckpointMessage, Severity: audit.Info, Time: at, JSON: []byte(`{"size":5}`)},
			`<110>1 2026-01-02T03:04:05.678901Z h patronus - audit_checkpoint - {"size":5}`},
		{"the one behind it", "h", audit.Message{Seq: 2147483648, Type: audit.Logout, Severity: audit.Info, Time: at, JSON: []byte(`{}`)},
			`<110>1 2026-01-02T03:04:05.678901Z h patronus - logout [meta sequenceId="1"] {}`},
		{"what is not printable", "h", audit.Message{Seq: 1, Type: audit.Logout, Severity: audit.Info, Time: at, JSON: []byte("{\"x\":\n\t\"é\u2028\u0085\u202e\x7f🛡\xff\\\"\"}")},
			`<110>1 2026-01-02T03:04:05.678901Z h patronus - logout [meta sequenceId="1"] {"x":  "\u00e9\u2028\u0085\u202e\u007f\ud83d\udee1\ufffd\""}`},
		{"more than a datagram holds", "h", audit.Message{Seq: 9, Type: audit.Logout, Severity: audit.Info, Time: at, JSON: []byte(`{"x":"` + strings.Repeat("é", 10_000) + `"}`)},
			`<110>1 2026-01-02T03:04:05.678901Z h patronus - logout [meta sequenceId="9"] {"id":9,"time":"2026-01-02T03:04:05.678Z","event_type":"logout","severity":"info","omitted_bytes":20008}`},
	} {
		if got := string(format(c.message, c.hostname)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// FuzzFormat: whatever stands in a message, it is one line of printable ASCII
// that fits in a datagram, a parser of others reads the same header from it, and
// JSON keeps its value.
func FuzzFormat(f *testing.F) {
	f.Add(int64(1), "login_attempt", "info", "host.example.org", []byte(`{"user_agent":"a\r\n<1>1 - - - - - -"}`))
	f.Add(int64(-1), "a b]\"", "", "h h", []byte("{\"x\":\"\u2028\u202e\u009b\x7f🛡\"}\r\n<13>forged"))
	f.Add(int64(1)<<62, "", "critical", "", []byte("\xff\xfe"))
	f.Fuzz(func(t *testing.T, seq int64, kind, severity, hostname string, text []byte) {
		m := audit.Message{Seq: seq, Type: audit.Type(kind), Severity: audit.Severity(severity), Time: at, JSON: text}
		line := format(m, hostname)
		if len(line) > 65_507-20 { // less the longer header of IPv6
			t.Fatalf("%d bytes", len(line))
		}
		if i := bytes.IndexFunc(line, func(r rune) bool { return r < ' ' || r > '~' }); i >= 0 {
			t.Fatalf("%q at %d", line, i)
		}
		parsed, err := rfc5424.NewParser().Parse(line)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		read := parsed.(*rfc5424.SyslogMessage)
		if *read.Facility != 13 || !read.Timestamp.Equal(at.Truncate(time.Microsecond)) || *read.Appname != "patronus" || read.ProcID != nil ||
			len(*read.StructuredData) != 1 || len((*read.StructuredData)["meta"]) != 1 {
			t.Fatalf("%q is read as %+v", line, read)
		}
		if len(printable(text)) > maxText || len(text) == 0 {
			return
		}
		if got := *read.Message; got != string(printable(text)) {
			t.Fatalf("%q became %q", printable(text), got)
		}
		var before, after any
		if json.Unmarshal(text, &before) == nil {
			if err := json.Unmarshal([]byte(*read.Message), &after); err != nil || !reflect.DeepEqual(before, after) {
				t.Fatalf("%q became %q (%v)", text, *read.Message, err)
			}
		}
	})
}
