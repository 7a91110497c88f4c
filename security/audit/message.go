package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Message is what is pushed to other programs: an event, or what else there is
// to say of the log.
type Message struct {
	Seq      int64 // the same when it is sent again
	Type     Type
	Severity Severity
	Time     time.Time
	JSON     []byte // one JSON object
}

// Message returns the event as it is pushed: the JSON is that of View.
func (r Record) Message() (Message, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // six bytes for one, and no page is made of it
	if err := encoder.Encode(r.View()); err != nil {
		return Message{}, fmt.Errorf("audit: encode event %d: %w", r.Seq, err)
	}
	return Message{Seq: r.Seq, Type: r.Type, Severity: r.Severity, Time: r.Time, JSON: bytes.TrimSuffix(text.Bytes(), []byte("\n"))}, nil
}
