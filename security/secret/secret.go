// Package secret holds values that must never reach a log: passwords, codes,
// keys and tokens. A secret prints as "[hidden]" whatever the verb, whichever
// encoder; the only way to the value is Reveal, which is easy to find in a
// review.
package secret

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"unique"
)

const hidden = "[hidden]"

// Text is a secret string. The zero value is the empty secret. Two of them are
// equal under == when their values are.
type Text struct {
	// In an unexported field of another struct package fmt calls no method but
	// looks inside: there it finds an address.
	value unique.Handle[string]
}

// NewText hides a string.
func NewText(value string) Text {
	if value == "" {
		return Text{}
	}
	return Text{value: unique.Make(value)}
}

// Reveal returns the value itself.
func (t Text) Reveal() string {
	if t.Empty() {
		return ""
	}
	return t.value.Value()
}

// Empty reports whether there is no value.
func (t Text) Empty() bool { return t == Text{} }

// String implements fmt.Stringer and hides the value.
func (t Text) String() string { return hidden }

// Format implements fmt.Formatter and hides the value from every verb: %d and
// %#v would look inside.
func (t Text) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, hidden) }

// LogValue implements slog.LogValuer and hides the value.
func (t Text) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the value from encoders. An answer that shows a secret
// once does so by calling Reveal.
func (t Text) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// UnmarshalText reads a secret out of a request.
func (t *Text) UnmarshalText(value []byte) error {
	*t = NewText(string(value))
	return nil
}

// Hash is the SHA-256 of the value: what is stored of a secret that carries
// at least 112 bits of randomness (ASVS 5.0 6.5.2). It is no hash for
// passwords.
func (t Text) Hash() []byte {
	sum := sha256.Sum256([]byte(t.Reveal()))
	return sum[:]
}

// TokenBytes is the length of a random token: 256 bits, twice what RFC 9700
// and ASVS 5.0 7.2.3 ask of an identifier that cannot be guessed.
const TokenBytes = 32

// NewToken draws a token of 256 bits and writes it as 64 lower-case hex
// digits behind prefix. A nil random source means crypto/rand.
func NewToken(random io.Reader, prefix string) (Text, error) {
	if random == nil {
		random = rand.Reader
	}
	raw := make([]byte, TokenBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return Text{}, err
	}
	return NewText(prefix + hex.EncodeToString(raw)), nil
}
