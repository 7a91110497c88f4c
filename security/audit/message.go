package audit

import (
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

// CheckpointMessage is the type of a message that is no event: a signed head of the
// log, so that a copy of it is outside of the host.
const CheckpointMessage Type = "audit_checkpoint"

// Message returns the head as it is pushed. Its number is how many events it covers.
func (k Kept) Message() (Message, error) {
	text, err := encode(struct {
		EventType  Type   `json:"event_type"`
		Time       string `json:"time"`
		Size       int64  `json:"size"`
		Checkpoint string `json:"checkpoint"`
	}{CheckpointMessage, Time(k.MadeAt), k.Size, k.Signed})
	if err != nil {
		return Message{}, fmt.Errorf("audit: encode a checkpoint: %w", err)
	}
	return Message{Seq: k.Size, Type: CheckpointMessage, Severity: Info, Time: k.MadeAt, JSON: text}, nil
}

// Message returns the event as it is pushed: the JSON is that of View.
func (r Record) Message() (Message, error) {
	text, err := encode(r.View())
	if err != nil {
		return Message{}, fmt.Errorf("audit: encode event %d: %w", r.Seq, err)
	}
	return Message{Seq: r.Seq, Type: r.Type, Severity: r.Severity, Time: r.Time, JSON: text}, nil
}
