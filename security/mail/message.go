package mail

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
)

// Message is one message to one person.
type Message struct {
	// ID tells this message from all others: up to 64 ASCII letters, digits,
	// '-' and '_'. Who sends a message again after an error hands over the same
	// ID, so that a mailbox that got it already can see that it is the same.
	// With none, each Send draws one.
	ID      string
	To      string // an address alone, in ASCII, such as ann@example.org
	Subject string // one line of at most 255 bytes; repeated spaces become one
	Body    string // plain text, its lines as long as it wants them
}

// maxSubject and maxID, in bytes, keep each header field far from the 998 of
// RFC 5322 §2.1.1, encoded too.
const (
	maxSubject = 255
	maxID      = 64
)

// compose writes the message out. Its errors are permanent: the same message
// would be refused again.
func (s *Sender) compose(m Message) ([]byte, error) {
	switch {
	case !isPlainAddress(m.To):
		return nil, refused("the To address is none that mail can go to")
	case !utf8.ValidString(m.Subject) || hasControl(m.Subject) || len(m.Subject) > maxSubject:
		return nil, refused("the subject is not one line of UTF-8 of at most 255 bytes")
	case !utf8.ValidString(m.Body):
		return nil, refused("the body is not UTF-8")
	case !isID(m.ID):
		return nil, refused("the ID is not of at most 64 letters, digits, '-' and '_'")
	}
	id := m.ID
	if id == "" {
		raw := make([]byte, 16)
		if _, err := io.ReadFull(s.random, raw); err != nil {
			return nil, fmt.Errorf("mail: drawing a Message-ID: %w", err)
		}
		id = hex.EncodeToString(raw)
	}
	message := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithEncoding(gomail.EncodingQP))
	from := s.settings.from
	message.FromMailAddress(&from)
	message.ToMailAddress(&mail.Address{Address: m.To})
	message.Subject(squeeze(m.Subject))
	message.SetDateWithValue(s.now().UTC())
	message.SetMessageIDWithValue(id + "@" + s.settings.domain())
	// RFC 3834 §5: no vacation notice comes back.
	message.SetGenHeader("Auto-Submitted", "auto-generated")
	message.SetBodyString(gomail.TypeTextPlain, m.Body)
	// Written before there is a connection, so that half a message is never sent.
	var written bytes.Buffer
	if _, err := message.WriteTo(&written); err != nil {
		return nil, fmt.Errorf("mail: composing a message: %w", err)
	}
	return written.Bytes(), nil
}

// isPlainAddress takes what people have: an ASCII address without quotes and
// comments, in whose text nothing can end an SMTP command or a header field.
func isPlainAddress(address string) bool {
	for _, c := range []byte(address) {
		if c <= ' ' || c > '~' || strings.IndexByte(`"(),:;<>[\]`, c) >= 0 {
			return false
		}
	}
	parsed, err := mail.ParseAddress(address)
	// Lengths of RFC 5321 §4.5.3.1.
	return err == nil && parsed.Address == address && len(address) <= 254
}

func isID(id string) bool {
	return len(id) <= maxID && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// hasControl finds line ends among others: with one, a value could go on as
// another header field or command.
func hasControl(value string) bool {
	return strings.ContainsFunc(value, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
	})
}

// squeeze leaves one space where there are several. The library folds a header
// field at each of them, and between two it leaves a line that looks empty,
// which is where some readers see the header end.
func squeeze(value string) string {
	return strings.Join(strings.FieldsFunc(value, func(r rune) bool { return r == ' ' }), " ")
}
