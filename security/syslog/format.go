package syslog

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"patronus.internal/dashboard/security/audit"
)

const (
	// facility is "log audit" (RFC 5424 §6.2.1, table 1).
	facility = 13
	appName  = "patronus"
	// maxSequence is where sequenceId begins again at 1 (RFC 5424 §7.3.1).
	maxSequence = 2147483647
	// maxText bounds the text of a message, in bytes, so that with its header it
	// fits in one datagram (65,507, RFC 768 less the header of IPv4). Events have
	// details of 8 KiB at most, which take up to 48 KiB when each byte is escaped.
	maxText = 60_000
)

// severities are RFC 5424 §6.2.1, table 2.
var severities = map[audit.Severity]int{audit.Info: 6, audit.Warning: 4, audit.Critical: 2}

// format writes a message as RFC 5424 §6 has it. The text is JSON in printable
// ASCII: whatever an attacker put into a field, it is one line, nothing in it
// moves a cursor or turns the reading direction, and a receiver needs no byte
// order mark to know its encoding (§6.4).
func format(m audit.Message, hostname string) []byte {
	severity, known := severities[m.Severity]
	if !known {
		severity = 5 // notice: it is worth a look why
	}
	text := printable(m.JSON)
	if len(text) > maxText {
		text = printable(stub(m))
	}
	data := fmt.Sprintf("[meta sequenceId=\"%d\"]", sequence(m.Seq))
	if m.Type == audit.CheckpointMessage {
		data = "-" // it is none of the sequence
	}
	return fmt.Appendf(nil, "<%d>1 %s %s %s - %s %s %s", facility*8+severity,
		m.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), name(hostname, 255), appName, name(string(m.Type), 32), data, text)
}

// stub stands for a message that no datagram can hold. No event that this
// program wrote is that long; a row that was altered may be.
func stub(m audit.Message) []byte {
	text, err := json.Marshal(struct {
		ID           int64          `json:"id"`
		Time         string         `json:"time"`
		EventType    string         `json:"event_type"`
		Severity     audit.Severity `json:"severity"`
		OmittedBytes int            `json:"omitted_bytes"`
	}{m.Seq, audit.Time(m.Time), name(string(m.Type), 32), audit.Severity(name(string(m.Severity), 32)), len(m.JSON)})
	if err != nil {
		panic(err) // numbers and short texts
	}
	return text
}

// sequence is the number of a message from 1 to maxSequence.
func sequence(seq int64) int64 { return (max(seq, 1)-1)%maxSequence + 1 }

// name is a field of the header: printable ASCII without spaces, or "-" when
// there is nothing.
func name(text string, limit int) string {
	kept := make([]byte, 0, min(len(text), limit))
	for _, c := range []byte(text) {
		if c > ' ' && c <= '~' && len(kept) < limit {
			kept = append(kept, c)
		}
	}
	if len(kept) == 0 {
		return "-"
	}
	return string(kept)
}

// printable writes JSON with nothing but printable ASCII, the same value. What
// is outside of ASCII can only stand in a string, where an escape may too. A
// control character is white space between tokens: a space does as well.
func printable(text []byte) []byte {
	written := make([]byte, 0, len(text)+len(text)/8)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		switch {
		case r < ' ':
			written = append(written, ' ')
		case r <= '~':
			written = append(written, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			written = escape(escape(written, high), low)
		default: // a byte that is no UTF-8 has become U+FFFD
			written = escape(written, r)
		}
	}
	return written
}

// escape appends a code unit of UTF-16 as JSON has it (RFC 8259 §7).
func escape(text []byte, unit rune) []byte {
	digits := strconv.FormatUint(uint64(0x10000+unit), 16) // the first digit keeps the others in place
	return append(append(text, '\\', 'u'), digits[1:]...)
}
