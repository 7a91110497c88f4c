package mail

import (
	"context"
	"encoding/base64"
	"errors"
	"net/textproto"
	"strconv"
	"strings"
	"unicode"
)

// stage is what was being done when something failed, in words for a log.
type stage string

const (
	composing       stage = "composing the message"
	connecting      stage = "connecting to the server"
	greeting        stage = "greeting the server"
	securing        stage = "making the connection private"
	signingIn       stage = "signing in"
	namingSender    stage = "naming the sender"
	namingRecipient stage = "naming the recipient"
	handingOver     stage = "handing the message over"
)

// failure is why a message was not sent. Its text holds no password.
type failure struct {
	text      string
	cause     error // nil where it may hold the password
	permanent bool
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.cause }

// Permanent reports whether trying to send the message again is pointless: it
// is malformed, or the server refused it or its recipient for good (5xx, RFC
// 5321 §4.2.1). What the operator or time can mend is not permanent:
// connections, TLS, authentication, the sender's address, the right to relay.
func Permanent(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.permanent
}

// refused is about a message that would be refused again.
func refused(why string) error {
	return &failure{text: "mail: " + string(composing) + ": " + why, permanent: true}
}

// failed makes the error of a stage. When ctx has ended, that is the reason,
// unless the server had answered before.
func (s *Sender) failed(ctx context.Context, at stage, err error) error {
	answer, answered := errors.AsType[*textproto.Error](err)
	if ended := ctx.Err(); ended != nil && !answered {
		err = ended
	}
	why := err.Error()
	if answered {
		// Its own text may be quoted, and a quoted password is not found.
		why = strconv.Itoa(answer.Code) + " " + answer.Msg
	}
	plain := "mail: " + string(at) + ": " + why
	text := s.hide(plain)
	f := &failure{text: oneLine(text), permanent: answered && isFinal(at, answer)}
	if text == plain {
		f.cause = err
	}
	return f
}

// isFinal reports whether an answer is about this message or its recipient,
// and final. RFC 5321 §4.2.1 puts commands that a server does not know into
// 50x and connections into 52x, RFC 4954 §6 authentication into 53x; only 501
// is also an answer to a recipient that cannot be.
func isFinal(at stage, answer *textproto.Error) bool {
	if answer.Code/100 != 5 || at != namingRecipient && at != handingOver {
		return false
	}
	switch answer.Code / 10 {
	case 50:
		return answer.Code == 501 && at == namingRecipient
	case 52, 53:
		return false
	}
	// Many servers keep what they have against the client or the sender until
	// the recipient is named, and tell by the code of RFC 3463: 5.1.7 and 5.1.8
	// are the sender's address, 5.7 what one may not do, such as relaying.
	return at == handingOver || !strings.HasPrefix(enhancedCode(answer), "5.7.") &&
		enhancedCode(answer) != "5.1.7" && enhancedCode(answer) != "5.1.8"
}

// enhancedCode is the code of RFC 2034 that the last line of an answer begins
// with: some servers write it into no other.
func enhancedCode(answer *textproto.Error) string {
	code, _, _ := strings.Cut(answer.Msg[strings.LastIndexByte(answer.Msg, '\n')+1:], " ")
	return code
}

// hide takes the password out of a text, also as AUTH sends it: some servers
// repeat the command that they refuse.
func (s *Sender) hide(text string) string {
	if s.settings.password.Empty() {
		return text
	}
	user, password := s.settings.user.Reveal(), s.settings.password.Reveal()
	encode := base64.StdEncoding.EncodeToString
	const hidden = "[hidden]"
	return strings.NewReplacer(
		encode([]byte("\x00"+user+"\x00"+password)), hidden,
		encode([]byte(password)), hidden,
		password, hidden,
	).Replace(text)
}

// maxText bounds the text of an error, in bytes: a server may talk at length.
const maxText = 500

// oneLine keeps what a server says from writing lines of a log by itself.
func oneLine(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}
