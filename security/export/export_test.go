package export

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 8_900_000, time.FixedZone("", 3600))

// hostile is what an attacker would like to see taken for something else.
var hostile = []string{
	`"quoted", 'twice' ""`, "two\nlines", "two\r\nlines", "a\rb", "a|b||", "a=b suser=root", `back\slash\`, `\n \= \|`, "=1+1", "+1", "-1", "@SUM(A1)",
	"\t=1", "\r=1", "\n=1", "＝1", "bad \xff\xc3 utf-8", "nul\x00byte", "\u2028line\u2029", "\x1b[31m", "</script>", "'", " ", "CEF:0|x|y|z|1|2|3|",
}

func record(text string) audit.Record {
	quoted, err := json.Marshal(map[string]string{"reason": text})
	if err != nil {
		panic(err)
	}
	return audit.Record{Seq: 7, Time: at, Type: audit.LoginAttempt, Severity: audit.Warning, Details: quoted,
		Actor: audit.Actor{UserID: text, Email: text, IPAddress: "192.0.2.1", UserAgent: text, SessionID: text, APIKeyID: text, RequestID: text}}
}

func write(t *testing.T, f Format, events ...audit.Record) string {
	t.Helper()
	var out bytes.Buffer
	w := NewWriter(f, &out, Product{Version: "1.2.3"})
	for _, e := range events {
		if err := w.Write(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		t.Errorf("%s: invalid UTF-8 or a NUL in %q", f, text)
	}
	return out.String()
}

func TestFormats(t *testing.T) {
	for _, f := range Formats {
		got, err := ParseFormat(string(f))
		if err != nil || got != f || f.ContentType() == "" || f.Extension() == "" {
			t.Errorf("%s: %q, %v", f, got, err)
		}
	}
	for _, s := range []string{"", "JSON", "xml", "json "} {
		if _, err := ParseFormat(s); len(secerr.FieldsOf(err)) != 1 || secerr.FieldsOf(err)[0].Field != "format" {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestEmptyExports(t *testing.T) {
	for f, want := range map[Format]string{JSON: "[]\n", NDJSON: "", CSV: csvHead, CEF: "", OCSF: ""} {
		if got := write(t, f); got != want {
			t.Errorf("%s: %q, want %q", f, got, want)
		}
	}
}

// The members are those of the API, in its order, and null where they do not
// apply.
func TestJSONIsTheAPIs(t *testing.T) {
	const want = `{"id":7,"time":"2026-03-04T04:06:07.008Z","event_type":"system_start","severity":"info","success":true,` +
		`"user_id":null,"email":null,"ip_address":null,"user_agent":null,"session_id":null,"api_key_id":null,"request_id":null,"details":{"version":"1"}}` + "\n"
	e := audit.Record{Seq: 7, Time: at, Type: audit.SystemStart, Severity: audit.Info, Success: true, Details: json.RawMessage(`{"version":"1"}`)}
	if got := write(t, NDJSON, e); got != want {
		t.Errorf("%s", got)
	}
	if got := write(t, JSON, e, e); got != "["+want+","+want+"]\n" {
		t.Errorf("%s", got)
	}
}

func TestHostileTextComesBackFromJSON(t *testing.T) {
	for _, text := range hostile {
		lines := strings.Split(strings.TrimSuffix(write(t, NDJSON, record(text), record("after")), "\n"), "\n")
		var array []audit.View
		if err := json.Unmarshal([]byte(write(t, JSON, record(text), record("after"))), &array); err != nil || len(array) != 2 || len(lines) != 2 {
			t.Fatalf("%q: %d and %d events, %v", text, len(array), len(lines), err)
		}
		for i, line := range lines {
			var e audit.View
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
			want := []string{jsonText(text), "after"}[i]
			if *e.UserAgent != want || *array[i].UserAgent != want || *e.Email != want {
				t.Errorf("%q became %q and %q", text, *e.UserAgent, *array[i].UserAgent)
			}
			if strings.ContainsAny(line, "\u2028\u2029") {
				t.Errorf("%q: a line end of Unicode in a line", text)
			}
		}
	}
}

// jsonText is what encoding/json makes of a string: each invalid byte becomes
// a replacement character of its own.
func jsonText(s string) string { return string([]rune(s)) }

func TestHostileTextComesBackFromCSV(t *testing.T) {
	for _, text := range hostile {
		out := write(t, CSV, record(text), record("after"))
		rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(rows) != 3 || len(rows[0]) != 13 {
			t.Fatalf("%q: %d rows, %v", text, len(rows), err)
		}
		if strings.Count(out, "\n") != strings.Count(out, "\r\n") {
			t.Errorf("%q: a line end that is not CRLF in %q", text, out)
		}
		want := visible(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text))
		for column, got := range rows[1] {
			if got != "" && strings.ContainsAny(got[:1], "=+-@\t\r\n") || strings.HasPrefix(got, "＝") {
				t.Errorf("%q: column %d is a formula: %q", text, column, got)
			}
			if name := rows[0][column]; name == "user_agent" && got != want && got != "'"+want {
				t.Errorf("%q became %q", text, got)
			}
		}
		if !json.Valid([]byte(rows[1][12])) {
			t.Errorf("%q: the details are no JSON: %q", text, rows[1][12])
		}
	}
	for text, want := range map[string]string{"=1": "'=1", "+1": "'+1", "-1": "'-1", "@a": "'@a", "\tx": "'\tx", "\rx": "'\nx", "a=1": "a=1", "": ""} {
		if got := cell(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestBadDetailsDoNotEndAnExport(t *testing.T) {
	huge := `{"x":"` + strings.Repeat(`é\"=|`, 200_000) + `"}`
	for _, text := range append([]string{"", "  ", "{", "null", `{"a":"` + "\xff" + `"}`, "{\n \"a\": 1\n}", `{"a":1}{"b":2}`, `{"reason":1,"target_user_id":[]}`, "{\"a\":\"\x00\"}", huge}, hostile...) {
		e := record("x")
		e.Details = json.RawMessage(text)
		for _, f := range Formats {
			out := write(t, f, e)
			if lines := strings.Count(out, "\n"); f != CSV && lines != 1 && (f != JSON || lines != 2) {
				t.Errorf("%s: %.40q takes %d lines", f, text, lines)
			}
			if f != CSV && f != CEF && !json.Valid([]byte(out)) {
				t.Errorf("%s: %.40q makes no JSON", f, text)
			}
		}
	}
}

// counter counts what is written and keeps nothing.
type counter struct{ bytes, largest, lines int }

func (c *counter) Write(p []byte) (int, error) {
	c.bytes, c.largest, c.lines = c.bytes+len(p), max(c.largest, len(p)), c.lines+bytes.Count(p, []byte("\n"))
	return len(p), nil
}

func TestMemoryDoesNotGrow(t *testing.T) {
	e := record("Mozilla/5.0 (X11; Linux x86_64)")
	for _, f := range Formats {
		var out counter
		w := NewWriter(f, &out, Product{})
		one := func() {
			if err := w.Write(e); err != nil {
				t.Fatal(err)
			}
		}
		first := testing.AllocsPerRun(1000, one)
		for range 20_000 {
			one()
		}
		if later := testing.AllocsPerRun(1000, one); later > first+1 {
			t.Errorf("%s: %.0f allocations an event, then %.0f", f, first, later)
		}
		s := w.(*stream)
		if held := s.event.Cap() + s.out.Size(); held > 64<<10 {
			t.Errorf("%s: holds %d bytes", f, held)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if out.lines < 22_000 || out.largest > 2*bufferSize {
			t.Errorf("%s: %d lines, %d bytes at once", f, out.lines, out.largest)
		}
	}
}

func TestFlushHandsOnWhatIsThere(t *testing.T) {
	for _, f := range Formats {
		var out bytes.Buffer
		w := NewWriter(f, &out, Product{})
		if err := errors.Join(w.Flush(), w.Write(record("a"))); err != nil {
			t.Fatal(err)
		}
		before := out.Len()
		if err := w.Flush(); err != nil || out.Len() == before {
			t.Errorf("%s: %d bytes after Flush, %v", f, out.Len(), err)
		}
		if err := errors.Join(w.Close(), w.Flush()); err != nil {
			t.Error(err)
		}
		if err := w.Write(record("b")); !errors.Is(err, errClosed) {
			t.Errorf("%s: written to after Close: %v", f, err)
		}
	}
}

// broken fails after some bytes.
type broken struct{ left int }

func (b *broken) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

func TestTheFirstErrorStays(t *testing.T) {
	for _, f := range Formats {
		w := NewWriter(f, &broken{left: 3 * bufferSize}, Product{})
		var err error
		for i := 0; err == nil && i < 1000; i++ {
			err = w.Write(record(strconv.Itoa(i)))
		}
		if all := []error{err, w.Write(record("x")), w.Flush(), w.Close(), w.Close()}; slices.ContainsFunc(all, func(err error) bool { return !errors.Is(err, io.ErrClosedPipe) }) {
			t.Errorf("%s: %v", f, all)
		}
	}
}

func TestNames(t *testing.T) {
	for kind, want := range map[audit.Type]string{audit.LoginAttempt: "Login attempt", audit.MFAVerify: "MFA verify", audit.APIKeyCreate: "API key create", "": "", "_": " "} {
		if got := name(kind); got != want {
			t.Errorf("%q is %q", kind, got)
		}
	}
}
