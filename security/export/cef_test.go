package export

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"patronus.internal/dashboard/security/audit"
)

// cefKey finds where a key begins: letters and digits in front of an = that is
// not escaped, at the beginning or behind a space.
var cefKey = regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`)

// parseCEF reads a line as a SIEM does.
func parseCEF(line string) (header []string, extension map[string]string, err error) {
	var field strings.Builder
	rest := line
	for len(header) < 7 {
		if rest == "" {
			return nil, nil, fmt.Errorf("the header ends after %d fields", len(header))
		}
		switch {
		case rest[0] == '\\' && len(rest) > 1 && (rest[1] == '\\' || rest[1] == '|'):
			field.WriteByte(rest[1])
			rest = rest[2:]
		case rest[0] == '\\':
			return nil, nil, fmt.Errorf("a stray backslash at %q", rest)
		case rest[0] == '|':
			header = append(header, field.String())
			field.Reset()
			rest = rest[1:]
		default:
			field.WriteByte(rest[0])
			rest = rest[1:]
		}
	}
	extension = map[string]string{}
	keys := cefKey.FindAllStringSubmatchIndex(rest, -1)
	for i, at := range keys {
		end := len(rest)
		if i+1 < len(keys) {
			end = keys[i+1][0]
		}
		key := rest[at[2]:at[3]]
		if _, twice := extension[key]; twice {
			return nil, nil, fmt.Errorf("%s comes twice", key)
		}
		if extension[key], err = unescapeCEF(rest[at[1]:end]); err != nil {
			return nil, nil, err
		}
	}
	return header, extension, nil
}

func unescapeCEF(s string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '=', '\n', '\r':
			return "", fmt.Errorf("%q is not escaped in %q", s[i], s)
		case '\\':
			i++
			if i == len(s) {
				return "", fmt.Errorf("a backslash at the end of %q", s)
			}
			switch s[i] {
			case 'n':
				b.WriteByte('\n')
			case 'r':
				b.WriteByte('\r')
			case '=', '\\':
				b.WriteByte(s[i])
			default:
				return "", fmt.Errorf("an unknown escape in %q", s)
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), nil
}

func TestCEFLine(t *testing.T) {
	e := audit.Record{Seq: 7, Time: at, Type: audit.AccountLock, Severity: audit.Critical, Success: true,
		Actor:   audit.Actor{Email: "a@example.org", UserID: "u1", IPAddress: "::ffff:192.0.2.1", UserAgent: "x=1|2", SessionID: "s", RequestID: "r"},
		Details: json.RawMessage(`{"target_user_id":"u2","target_email":"b@example.org"}`)}
	const want = `CEF:0|Patronus|Dashboard|1.2.3|account_lock|Account lock|9|rt=1772597167008 externalId=7 outcome=success suser=a@example.org suid=u1 ` +
		`duser=b@example.org duid=u2 src=192.0.2.1 requestClientApplication=x\=1|2 cs1=s cs1Label=session id cs3=r cs3Label=request id ` +
		`msg={"target_user_id":"u2","target_email":"b@example.org"}` + "\n"
	if got := write(t, CEF, e); got != want {
		t.Errorf("%s", got)
	}
}

func TestCEFAddresses(t *testing.T) {
	for address, want := range map[string]map[string]string{
		"192.0.2.1":     {"src": "192.0.2.1"},
		"2001:db8::1":   {"c6a2": "2001:db8::1", "c6a2Label": "Source IPv6 Address"},
		"fe80::1%eth=0": {"c6a2": "fe80::1", "c6a2Label": "Source IPv6 Address"},
		"nowhere":       {"cs4": "nowhere", "cs4Label": "source address"},
		"":              {},
	} {
		e := record("x")
		e.Actor.IPAddress = address
		_, extension, err := parseCEF(strings.TrimSuffix(write(t, CEF, e), "\n"))
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"src", "c6a2", "c6a2Label", "cs4", "cs4Label"} {
			if extension[key] != want[key] {
				t.Errorf("%q: %s=%q, want %q", address, key, extension[key], want[key])
			}
		}
	}
}

func TestHostileTextComesBackFromCEF(t *testing.T) {
	for _, text := range hostile {
		checkCEF(t, text)
	}
}

// checkCEF writes text wherever a client's or an operator's text may stand
// and reads it back.
func checkCEF(t *testing.T, text string) {
	t.Helper()
	e := record(text)
	e.Type = audit.Type("x" + text)
	var out strings.Builder
	w := NewWriter(CEF, &out, Product{Version: text})
	if err := w.Write(e); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	line, ok := strings.CutSuffix(out.String(), "\n")
	if !ok || strings.ContainsAny(line, "\r\n\x00") {
		t.Fatalf("not one line: %q", out.String())
	}
	header, extension, err := parseCEF(line)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	flat := strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ").Replace(visible(text))
	if header[0] != "CEF:0" || header[1] != "Patronus" || header[2] != "Dashboard" || header[3] != flat || header[4] != "x"+flat || header[6] != "6" {
		t.Errorf("%q: the header is %q", text, header)
	}
	for _, key := range []string{"suser", "suid", "requestClientApplication", "cs1", "cs2", "cs3"} {
		if extension[key] != visible(text) {
			t.Errorf("%q: %s is %q", text, key, extension[key])
		}
	}
	if extension["rt"] != "1772597167008" || extension["externalId"] != "7" || extension["outcome"] != "failure" || !json.Valid([]byte(extension["msg"])) {
		t.Errorf("%q: %q", text, extension)
	}
}

func FuzzCEF(f *testing.F) {
	for _, text := range hostile {
		f.Add(text)
	}
	f.Fuzz(checkCEF)
}
