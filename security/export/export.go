// Package export writes events of the log for other programs: as the JSON of
// the API, for spreadsheets, and in the two formats that a SIEM reads (CEF and
// OCSF). A Writer holds one event at a time, so that an export of any length
// takes the same memory.
package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
)

// Format names how events are written. The values are part of the API.
type Format string

// The formats.
const (
	JSON   Format = "json"   // one array
	NDJSON Format = "ndjson" // an object a line
	CSV    Format = "csv"    // RFC 4180, for spreadsheets
	CEF    Format = "cef"    // ArcSight Common Event Format, a line an event
	OCSF   Format = "ocsf"   // Open Cybersecurity Schema Framework, an object a line
)

// Formats lists them in the order in which they are offered.
var Formats = []Format{JSON, NDJSON, CSV, CEF, OCSF}

// ParseFormat takes the name of a format as Formats spells it.
func ParseFormat(s string) (Format, error) {
	if f := Format(s); slices.Contains(Formats, f) {
		return f, nil
	}
	return "", secerr.Invalid("format", "Use json, ndjson, csv, cef or ocsf.")
}

// ContentType is the media type, for a Content-Type header.
func (f Format) ContentType() string {
	switch f {
	case JSON:
		return "application/json"
	case CSV:
		return "text/csv; charset=utf-8; header=present"
	case CEF:
		return "text/plain; charset=utf-8"
	default:
		return "application/x-ndjson"
	}
}

// Extension is what the name of a file ends with, without the first dot. That
// of OCSF differs from that of NDJSON, so that one does not overwrite the
// other.
func (f Format) Extension() string {
	if f == OCSF {
		return "ocsf.ndjson"
	}
	return string(f)
}

// Product is who wrote the events, for the formats that say so.
type Product struct {
	Version string
}

// What CEF and OCSF call this program.
const (
	vendor  = "Patronus"
	product = "Dashboard"
)

// Writer writes events one after the other. What it writes is buffered: Flush
// hands on what is there, for who streams. Close ends the document and
// flushes; it does not close what is written to. After an error every call
// returns that error, since what follows a torn event could not be read.
type Writer interface {
	Write(audit.Record) error
	Flush() error
	Close() error
}

// WriteBatch writes events and hands them on.
func WriteBatch(w Writer, events []audit.Record) error {
	for _, e := range events {
		if err := w.Write(e); err != nil {
			return err
		}
	}
	return w.Flush()
}

// NewWriter returns a Writer that has not written anything yet. The format is
// one that ParseFormat returned; any other is a mistake of the program.
func NewWriter(f Format, w io.Writer, p Product) Writer {
	s := &stream{out: bufio.NewWriterSize(w, bufferSize)}
	switch f {
	case JSON:
		s.encode = jsonEncoder(&s.event, func(e audit.Record) any { return e.View() })
		s.head, s.between, s.tail = "[", ",", "]\n"
	case NDJSON:
		s.encode = lineEncoder(&s.event)
	case CSV:
		s.encode = csvEncoder(&s.event)
		s.head = csvHead
	case CEF:
		s.encode = cefEncoder(&s.event, p)
	case OCSF:
		s.encode = jsonEncoder(&s.event, func(e audit.Record) any { return ocsf(e, p) })
	default:
		panic(fmt.Sprintf("export: no format %q", string(f)))
	}
	return s
}

const bufferSize = 16 << 10

var errClosed = errors.New("export: written to after Close")

// stream is the Writer of all formats.
type stream struct {
	out    *bufio.Writer
	event  bytes.Buffer             // the event that is being encoded
	encode func(audit.Record) error // writes to event, with the end of the line

	head, between, tail string // around and between the events

	begun, closed bool
	events        bool // at least one was written
	err           error
}

// Write encodes an event as a whole before any of it is handed on. One that
// cannot be encoded therefore leaves no half of it.
func (s *stream) Write(e audit.Record) error {
	if s.closed && s.err == nil {
		return errClosed
	}
	if s.err != nil {
		return s.err
	}
	s.event.Reset()
	if err := s.encode(e); err != nil {
		return s.fail(fmt.Errorf("export: encode event %d: %w", e.Seq, err))
	}
	s.begin()
	if s.events {
		s.put(s.between)
	}
	s.events = true
	if s.err == nil {
		_, err := s.out.Write(s.event.Bytes())
		return s.fail(err)
	}
	return s.err
}

// Flush implements Writer. The head of a document is sent even before its
// first event, so that who streams sees that something has begun.
func (s *stream) Flush() error {
	if s.err != nil || s.closed {
		return s.err
	}
	s.begin()
	if s.err == nil {
		return s.fail(s.out.Flush())
	}
	return s.err
}

// Close implements Writer. A second call does nothing.
func (s *stream) Close() error {
	if s.err != nil || s.closed {
		return s.err
	}
	s.begin()
	s.put(s.tail)
	err := s.Flush()
	s.closed = true
	return err
}

func (s *stream) begin() {
	if !s.begun {
		s.begun = true
		s.put(s.head)
	}
}

func (s *stream) put(text string) {
	if s.err == nil && text != "" {
		_, err := s.out.WriteString(text)
		s.fail(err)
	}
}

// fail keeps the first error.
func (s *stream) fail(err error) error {
	if s.err == nil {
		s.err = err
	}
	return s.err
}

// jsonEncoder writes what show makes of an event on a line of its own. The
// escapes of HTML stay on, as in answers of the API: they also keep the line
// separators of Unicode out of a line.
func jsonEncoder(to *bytes.Buffer, show func(audit.Record) any) func(audit.Record) error {
	encoder := json.NewEncoder(to)
	return func(e audit.Record) error { return encoder.Encode(show(e)) }
}

// lineEncoder writes an event as audit.Line has it.
func lineEncoder(to *bytes.Buffer) func(audit.Record) error {
	return func(e audit.Record) error {
		line, err := audit.Line(e.View())
		if err != nil {
			return err
		}
		to.Write(line)
		to.WriteByte('\n')
		return nil
	}
}

// facts is what CEF and OCSF have places of their own for among the details.
type facts struct {
	TargetUserID    string `json:"target_user_id"`
	TargetEmail     string `json:"target_email"`
	TargetSessionID string `json:"target_session_id"`
	Reason          string `json:"reason"`
	SecondFactor    string `json:"second_factor"`
	Purpose         string `json:"purpose"`
	Stage           string `json:"stage"`
	Enabled         *bool  `json:"enabled"`
}

// factsOf reads them. A member of another type than expected is left out and
// the rest is kept: all of it is written as details anyway.
func factsOf(e audit.Record) facts {
	var f facts
	_ = json.Unmarshal(e.Details, &f)
	return f
}

// name is the type of an event as a person would write it: "MFA verify".
func name(t audit.Type) string {
	words := strings.Split(string(t), "_")
	for i, word := range words {
		switch {
		case word == "mfa" || word == "api" || word == "ip":
			words[i] = strings.ToUpper(word)
		case i == 0 && word != "":
			words[i] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, " ")
}

// outcome says in one word how it ended.
func outcome(e audit.Record) string {
	if e.Success {
		return "success"
	}
	return "failure"
}
