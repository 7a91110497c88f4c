package captcha

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

// Algorithm is the hash of the work.
const Algorithm = "SHA-256"

// MaxNumber is how hard the work is: half as many hashes on the average, all of
// them at the worst. docs/decisions/0008-captcha.md has what it costs whom.
const MaxNumber = 1_000_000

// maxPayload bounds the work on an answer before it is parsed, in bytes. Those
// of browsers take some 450.
const maxPayload = 1024

const workPurpose = "captcha work"

// Challenge is a piece of work in the first format of ALTCHA, which its widget,
// its libraries and our own script solve: find the number from 0 to MaxNumber
// that, written in decimal behind the salt, has the challenge for its hash.
type Challenge struct {
	Algorithm string `json:"algorithm"`
	Challenge string `json:"challenge"` // the hash in hex
	MaxNumber int    `json:"maxnumber"`
	Salt      string `json:"salt"` // carries id, expiry and purpose
	Signature string `json:"signature"`
}

// Issue draws a piece of work.
func Issue(random io.Reader, mac MAC, use Use, now time.Time) (Challenge, error) {
	var drawn [idLength + 8]byte
	if _, err := io.ReadFull(random, drawn[:]); err != nil {
		return Challenge{}, fmt.Errorf("captcha: draw a challenge: %w", err)
	}
	number := binary.BigEndian.Uint64(drawn[idLength:]) % (MaxNumber + 1)
	// The last sign keeps digits of the number from passing for digits of the
	// salt. Nothing may follow it.
	salt := fmt.Sprintf("%x?expires=%d&purpose=%s&", drawn[:idLength], now.Add(Lifetime).Unix(), url.QueryEscape(use.Purpose))
	hash := sha256.Sum256(strconv.AppendUint([]byte(salt), number, 10))
	c := Challenge{Algorithm: Algorithm, Challenge: hex.EncodeToString(hash[:]), MaxNumber: MaxNumber, Salt: salt}
	c.Signature = hex.EncodeToString(sign(mac, use, salt, c.Challenge))
	return c, nil
}

// sign binds the whole of a challenge. The subject is not in the salt, so that
// it is told to nobody.
func sign(mac MAC, use Use, salt, challenge string) []byte {
	return mac(workPurpose, []byte(Algorithm), []byte(use.Purpose), []byte(use.Subject), []byte(salt), []byte(challenge))
}

// answer is what ALTCHA's widget sends, as JSON in base64.
type answer struct {
	Algorithm string `json:"algorithm"`
	Challenge string `json:"challenge"`
	Number    *int64 `json:"number"`
	Salt      string `json:"salt"`
	Signature string `json:"signature"`
}

// Verify checks an answer. Whether it was sent before only Spend can tell.
func Verify(mac MAC, use Use, payload string, now time.Time) (Ticket, error) {
	if len(payload) > maxPayload {
		return Ticket{}, refused(FieldWork, "too long")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(payload)
	if err != nil {
		return Ticket{}, refused(FieldWork, "not base64")
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return Ticket{}, refused(FieldWork, "not JSON of the right form")
	}
	signature, err := hex.DecodeString(a.Signature)
	if err != nil || a.Algorithm != Algorithm || !hmac.Equal(signature, sign(mac, use, a.Salt, a.Challenge)) {
		return Ticket{}, refused(FieldWork, "not a challenge of ours for this use")
	}
	ticket, err := readSalt(a.Salt)
	if err != nil {
		return Ticket{}, err
	}
	if !now.Before(ticket.ExpiresAt) {
		return Ticket{}, expired(FieldWork)
	}
	if a.Number == nil || *a.Number < 0 || *a.Number > MaxNumber {
		return Ticket{}, refused(FieldWork, "the number is out of range")
	}
	hash := sha256.Sum256(strconv.AppendInt([]byte(a.Salt), *a.Number, 10))
	if hex.EncodeToString(hash[:]) != a.Challenge {
		return Ticket{}, refused(FieldWork, "the number is another")
	}
	return ticket, nil
}

// readSalt reads a salt whose signature was checked, so it is as Issue made it.
func readSalt(salt string) (Ticket, error) {
	const id = 2 * idLength
	if len(salt) <= id {
		return Ticket{}, refused(FieldWork, "a short salt")
	}
	ticket := Ticket{}
	query, err := url.ParseQuery(salt[id+1:])
	if err == nil {
		ticket.ID, err = hex.DecodeString(salt[:id])
	}
	if err != nil {
		return Ticket{}, refused(FieldWork, "a malformed salt")
	}
	seconds, err := strconv.ParseInt(query.Get("expires"), 10, 64)
	if err != nil {
		return Ticket{}, refused(FieldWork, "no expiry in the salt")
	}
	ticket.ExpiresAt = time.Unix(seconds, 0).UTC()
	return ticket, nil
}
