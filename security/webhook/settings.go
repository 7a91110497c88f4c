package webhook

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"patronus.internal/dashboard/security/secret"
)

// Settings is where batches go. ParseSettings makes them. Whatever the verb, they
// print as their String: many receivers put a token into the path.
type Settings struct {
	// In an unexported field of another struct package fmt calls no method but
	// looks inside: there it finds an address.
	url *url.URL
}

// What is said about a URL never quotes it.
var (
	errURL    = errors.New("the webhook URL does not parse: write it like https://siem.example.org/hooks/patronus")
	errScheme = errors.New("the webhook URL must begin with https://, or, with --allow-private-sinks, http://")
	errHost   = errors.New("the webhook URL must name the receiver after the //, for example https://siem.example.org/hooks/patronus")
	errPort   = errors.New("the port in the webhook URL must be a number from 1 to 65535")
	errUser   = errors.New("the webhook URL holds a user name: take it out, each request is signed instead")
	errEnd    = errors.New("the webhook URL has a part behind a #, which is never sent: take it out")
)

// ParseSettings reads an https:// URL or, where clear is set, an http:// one. The
// errors are sentences for who wrote the URL.
func ParseSettings(webhookURL string, clear bool) (Settings, error) {
	u, err := url.Parse(webhookURL)
	switch {
	case err != nil:
		return Settings{}, errURL
	case u.Scheme != "https" && (u.Scheme != "http" || !clear):
		return Settings{}, errScheme
	case u.Hostname() == "":
		return Settings{}, errHost
	case u.User != nil:
		return Settings{}, errUser
	case u.Fragment != "":
		return Settings{}, errEnd
	}
	if u.Port() != "" {
		if number, err := strconv.ParseUint(u.Port(), 10, 16); err != nil || number == 0 {
			return Settings{}, errPort
		}
	}
	return Settings{url: u}, nil
}

// Host is the name or address of the receiver.
func (s Settings) Host() string { return s.url.Hostname() }

// String is the URL without what may be secret in it, for a log.
func (s Settings) String() string { return s.url.Scheme + "://" + s.url.Host }

// Format implements fmt.Formatter, so that no verb looks inside.
func (s Settings) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, s.String()) }

// secretPrefix begins a secret as Standard Webhooks writes it.
const secretPrefix = "whsec_"

// ErrSecret says how a secret is written.
var ErrSecret = errors.New(`a webhook secret is "whsec_" and 24 to 64 bytes in base64; to make one, run: echo "whsec_$(openssl rand -base64 32)"`)

// NewSecret writes a key of 24 to 64 bytes as receivers take it.
func NewSecret(key []byte) secret.Text {
	return secret.NewText(secretPrefix + base64.StdEncoding.EncodeToString(key))
}

// CheckSecret returns ErrSecret if a text is none.
func CheckSecret(text secret.Text) error {
	_, err := keyOf(text)
	return err
}

// keyOf is the key in a secret (Standard Webhooks, "Signature scheme").
func keyOf(text secret.Text) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text.Reveal(), secretPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	// The decoder passes over line ends.
	if !ok || err != nil || strings.ContainsAny(encoded, "\r\n") || len(key) < 24 || len(key) > 64 {
		return nil, ErrSecret
	}
	return key, nil
}
