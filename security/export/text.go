package export

import (
	"bytes"
	"encoding/csv"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"patronus.internal/dashboard/security/audit"
)

// csvHead names the columns as the API names the members of an event.
const csvHead = "id,time,event_type,severity,success,user_id,email,ip_address,user_agent,session_id,api_key_id,request_id,details\r\n"

// csvEncoder writes a record of RFC 4180. What does not apply is an empty cell.
func csvEncoder(to *bytes.Buffer) func(audit.Record) error {
	w := csv.NewWriter(to)
	w.UseCRLF = true
	return func(e audit.Record) error {
		a := e.Actor
		err := w.Write([]string{strconv.FormatInt(e.Seq, 10), audit.Time(e.Time), cell(string(e.Type)), cell(string(e.Severity)),
			strconv.FormatBool(e.Success), cell(a.UserID), cell(a.Email), cell(a.IPAddress), cell(a.UserAgent),
			cell(a.SessionID), cell(a.APIKeyID), cell(a.RequestID), cell(string(e.ValidDetails()))})
		if err != nil {
			return err
		}
		w.Flush()
		return w.Error()
	}
}

// cell keeps a spreadsheet from running what a client sent (OWASP, "CSV
// Injection"). One that begins with = + - @ TAB or CR, or with LF or a
// full-width form of the signs, which the same page names, gets a leading
// apostrophe: a spreadsheet then takes it for text. A program that reads the
// file has to drop the apostrophe before such a character; JSON has none of
// this. Line ends become LF, since encoding/csv would drop a lone CR.
func cell(s string) string {
	first, _ := utf8.DecodeRuneInString(s)
	formula := s != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first)
	s = visible(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s))
	if formula {
		return "'" + s
	}
	return s
}

// visible replaces bytes that are no text, and what controls, formats or ends a
// line, other than TAB, CR and LF: a NUL ends a string for many a reader, which would then
// miss the rest of the line.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) && r != '\t' && r != '\n' && r != '\r' {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}

// cefSeverity puts the three severities in the bands of CEF: Low is 0 to 3,
// Medium 4 to 6, High 7 and 8, Very-High 9 and 10.
var cefSeverity = map[audit.Severity]string{audit.Info: "3", audit.Warning: "6", audit.Critical: "9"}

// cefEncoder writes lines of ArcSight's "Implementing ArcSight Common Event
// Format", with the keys of its dictionary. There src is an IPv4 address and
// c6a2 the IPv6 address of a source, with a label as all custom fields have.
func cefEncoder(to *bytes.Buffer, p Product) func(audit.Record) error {
	prefix := "CEF:0|" + vendor + "|" + product + "|" + cefHeader(p.Version) + "|"
	return func(e audit.Record) error {
		severity, ok := cefSeverity[e.Severity]
		if !ok {
			severity = "Unknown"
		}
		to.WriteString(prefix + cefHeader(string(e.Type)) + "|" + cefHeader(name(e.Type)) + "|" + severity + "|rt=" +
			strconv.FormatInt(e.Time.UnixMilli(), 10))
		add := func(key, value string) {
			if value != "" {
				to.WriteString(" " + key + "=" + cefValue(value))
			}
		}
		labelled := func(key, label, value string) {
			if value != "" {
				add(key, value)
				add(key+"Label", label)
			}
		}
		a, f := e.Actor, factsOf(e)
		add("externalId", strconv.FormatInt(e.Seq, 10))
		add("outcome", outcome(e))
		add("reason", f.Reason)
		add("suser", a.Email)
		add("suid", a.UserID)
		add("duser", f.TargetEmail)
		add("duid", f.TargetUserID)
		switch ip, err := netip.ParseAddr(a.IPAddress); {
		case err != nil:
			labelled("cs4", "source address", a.IPAddress)
		case ip.Unmap().Is4():
			add("src", ip.Unmap().String())
		default:
			labelled("c6a2", "Source IPv6 Address", ip.WithZone("").String())
		}
		add("requestClientApplication", a.UserAgent)
		labelled("cs1", "session id", a.SessionID)
		labelled("cs2", "API key id", a.APIKeyID)
		labelled("cs3", "request id", a.RequestID)
		add("msg", string(e.ValidDetails()))
		to.WriteByte('\n')
		return nil
	}
}

var (
	cefHeaderEscapes = strings.NewReplacer(`\`, `\\`, `|`, `\|`, "\r\n", " ", "\r", " ", "\n", " ")
	cefValueEscapes  = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\r", `\r`, "\n", `\n`)
)

// cefHeader escapes a field of the header, which must not hold a line end.
func cefHeader(s string) string { return cefHeaderEscapes.Replace(visible(s)) }

// cefValue escapes a value of the extension. An = that is not escaped would
// begin another key; a pipe means nothing there and stays.
func cefValue(s string) string { return cefValueEscapes.Replace(visible(s)) }
