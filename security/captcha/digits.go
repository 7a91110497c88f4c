package captcha

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dchest/captcha"
)

// DigitCount is how many digits there are to read: a guess hits one time in a
// million, and each costs a challenge.
const DigitCount = 6

// The picture's size in pixels.
const (
	ImageWidth  = captcha.StdWidth
	ImageHeight = captcha.StdHeight
)

const (
	tokenPurpose   = "captcha token"
	subjectPurpose = "captcha subject"
	digitsPurpose  = "captcha digits"

	useLength   = 16 // 128 bits
	bodyLength  = idLength + 8 + useLength
	tokenLength = bodyLength + sha256.Size

	maxTyped = 64 // bytes, spaces and all
)

// token is a challenge of digits: what is sent to the browser, decoded.
type token struct {
	id        []byte
	expiresAt time.Time
	use       []byte // a MAC of the use, so that it is told to nobody
}

// IssueDigits draws six digits. The token names them without telling them: they
// are a MAC of its id.
func IssueDigits(random io.Reader, mac MAC, use Use, now time.Time) (string, error) {
	raw := make([]byte, idLength, tokenLength)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", fmt.Errorf("captcha: draw digits: %w", err)
	}
	raw = binary.BigEndian.AppendUint64(raw, uint64(now.Add(Lifetime).Unix()))
	raw = append(raw, markOf(mac, use, raw[:idLength])...)
	return base64.RawURLEncoding.EncodeToString(append(raw, mac(tokenPurpose, raw)...)), nil
}

func markOf(mac MAC, use Use, id []byte) []byte {
	return mac(subjectPurpose, id, []byte(use.Purpose), []byte(use.Subject))[:useLength]
}

// openToken returns a token of ours, for whatever use.
func openToken(mac MAC, text string, now time.Time) (token, error) {
	if len(text) != base64.RawURLEncoding.EncodedLen(tokenLength) {
		return token{}, refused(FieldDigits, "the token is too long or too short")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != tokenLength || !hmac.Equal(raw[bodyLength:], mac(tokenPurpose, raw[:bodyLength])) {
		return token{}, refused(FieldDigits, "the token is not ours")
	}
	t := token{
		id:        raw[:idLength],
		expiresAt: time.Unix(int64(binary.BigEndian.Uint64(raw[idLength:])), 0).UTC(),
		use:       raw[idLength+8 : bodyLength],
	}
	if !now.Before(t.expiresAt) {
		return token{}, expired(FieldDigits)
	}
	return t, nil
}

// digits are from 0 to 9, as the library takes them.
func (t token) digits(mac MAC) []byte {
	n := binary.BigEndian.Uint64(mac(digitsPurpose, t.id))
	digits := make([]byte, DigitCount)
	for i := range digits {
		digits[i] = byte(n % 10)
		n /= 10
	}
	return digits
}

// Image draws the digits of a token as PNG. As long as the program runs, one
// token is one picture: many of them could be laid over each other.
func Image(mac MAC, text string, now time.Time) ([]byte, error) {
	t, err := openToken(mac, text, now)
	if err != nil {
		return nil, err
	}
	return written(captcha.NewImage(hex.EncodeToString(t.id), t.digits(mac), ImageWidth, ImageHeight))
}

// Audio speaks the digits of a token in English, as WAV.
func Audio(mac MAC, text string, now time.Time) ([]byte, error) {
	t, err := openToken(mac, text, now)
	if err != nil {
		return nil, err
	}
	return written(captcha.NewAudio(hex.EncodeToString(t.id), t.digits(mac), "en"))
}

func written(w io.WriterTo) ([]byte, error) {
	var file bytes.Buffer
	if _, err := w.WriteTo(&file); err != nil {
		return nil, fmt.Errorf("captcha: draw: %w", err)
	}
	return file.Bytes(), nil
}

// VerifyDigits checks what was typed. The ticket of a genuine token is to be
// spent whether that is right or not, and before anything is said of it: else
// one token could be guessed at until it is right.
func VerifyDigits(mac MAC, use Use, text, typed string, now time.Time) (ticket Ticket, right bool, err error) {
	t, err := openToken(mac, text, now)
	if err != nil {
		return Ticket{}, false, err
	}
	if !hmac.Equal(t.use, markOf(mac, use, t.id)) {
		return Ticket{}, false, refused(FieldDigits, "the token is for another use")
	}
	wanted := t.digits(mac)
	for i := range wanted {
		wanted[i] += '0'
	}
	given := ""
	if len(typed) <= maxTyped {
		given = strings.Join(strings.Fields(typed), "") // people copy digits in groups
	}
	return Ticket{ID: t.id, ExpiresAt: t.expiresAt}, subtle.ConstantTimeCompare([]byte(given), wanted) == 1, nil
}
