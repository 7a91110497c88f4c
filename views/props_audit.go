package views

import "time"

// AuditProps is the audit log.
type AuditProps struct {
	Page
	Filter        AuditFilter
	EventTypes    []string // all that can be chosen
	Severities    []string
	ExportFormats []string
	Events        []EventRow // newest first
	OlderURL      string     // the next page with the same filters; empty on the last one
	Reached       time.Time  // how far was searched, where the page is not full and more may lie behind it
	ExplainURL    string     // why the address of the filter is or was turned away; empty without one
	NewestURL     string     // the first page with the same filters; empty when this is it
	Views         Views
	Histogram     *Histogram // nil where nothing is drawn
	Uncounted     bool       // because the filters are not counted
	Live          *LiveLog   // nil where new events cannot be shown as they happen
	Late          []LateSink
}

// LateSink is a receiver of the log that is behind.
type LateSink struct {
	Sink   string
	Events int64
	Since  time.Time // of the oldest event that it lacks
}

// AuditEventProps is everything about one event.
type AuditEventProps struct {
	Page
	ExplainURL string // why its address was turned away; empty where it was not
	Event      EventRow
	UserID     string
	UserAgent  string
	SessionID  string
	APIKeyID   string
	RequestURL string // the events of its request; empty without one
	ErasedBy   int64  // the event that recorded that personal fields were erased; 0 if none are
	Details    []KeyValue
	Neighbours []EventGroup
	Proof      EventProof
}

// KeyValue is one row of an event's details.
type KeyValue struct{ Key, Value string }
