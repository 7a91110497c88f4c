// Package token issues and checks access tokens: JWTs after RFC 9068 and
// RFC 8725, signed HS256.
package token

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// The values that are pinned: a token with another is refused.
const (
	Type     = "at+jwt" // RFC 9068 §2.1
	Audience = "patronus-api"
)

// maxLength bounds the work on a bearer before it is parsed, in bytes. Tokens
// issued here take about 600.
const maxLength = 4096

func init() {
	// One audience is a plain string (RFC 7519 §4.1.3), as the contract has it.
	// The library knows this setting only for the whole program, which makes
	// tokens nowhere else.
	jwt.MarshalSingleStringAsArray = false
}

// Keys gives the keys of the signatures.
type Keys interface {
	Signing() (kid string, key []byte)
	SigningKey(kid string) (key []byte, known bool)
}

// Claims is what an access token says.
type Claims struct {
	UserID    string
	SessionID string
	ID        string
	Role      string
	AMR       []string
	IssuedAt  time.Time
	ExpiresAt time.Time
}

type claims struct {
	jwt.RegisteredClaims
	SessionID string   `json:"sid"`
	Role      string   `json:"role"`
	AMR       []string `json:"amr"`
}

// Issuer makes and checks the tokens of one installation, the public URL of
// which is the issuer. It is safe for concurrent use.
type Issuer struct {
	keys   Keys
	issuer string
	now    func() time.Time
	parser *jwt.Parser
}

// NewIssuer returns an Issuer.
func NewIssuer(keys Keys, issuer string, now func() time.Time) *Issuer {
	return &Issuer{keys: keys, issuer: issuer, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(Audience),
		jwt.WithExpirationRequired(),
		jwt.WithNotBeforeRequired(),
		jwt.WithIssuedAt(),
		jwt.WithTimeFunc(now),
		jwt.WithStrictDecoding(),
	)}
}

// Issue signs an access token. Times are whole seconds, as RFC 7519 §2 has
// them here, so a token may live up to a second less than asked for.
func (i *Issuer) Issue(c Claims) (secret.Text, error) {
	kid, key := i.keys.Signing()
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: i.issuer, Subject: c.UserID, Audience: jwt.ClaimStrings{Audience}, ID: c.ID,
			IssuedAt: jwt.NewNumericDate(c.IssuedAt), NotBefore: jwt.NewNumericDate(c.IssuedAt),
			ExpiresAt: jwt.NewNumericDate(c.ExpiresAt),
		},
		SessionID: c.SessionID, Role: c.Role, AMR: c.AMR,
	})
	t.Header["typ"] = Type
	t.Header["kid"] = kid
	signed, err := t.SignedString(key)
	if err != nil {
		return secret.Text{}, fmt.Errorf("token: sign: %w", err)
	}
	return secret.NewText(signed), nil
}

// Verify checks everything that a token says of itself. An expired token of
// ours is secerr.TokenExpired, anything else that is not good
// secerr.Unauthenticated. Whether its session lives is the caller's to ask.
func (i *Issuer) Verify(bearer secret.Text) (Claims, error) {
	if len(bearer.Reveal()) > maxLength {
		return Claims{}, refused(errors.New("token: too long"))
	}
	var c claims
	_, err := i.parser.ParseWithClaims(bearer.Reveal(), &c, i.key)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return Claims{}, secerr.Wrap(secerr.TokenExpired, "The access token has expired. Refresh it or sign in again.", err)
	case err != nil:
		return Claims{}, refused(err)
	case c.ID == "" || c.Subject == "" || c.SessionID == "":
		return Claims{}, refused(errors.New("token: jti, sub or sid is missing"))
	}
	return Claims{UserID: c.Subject, SessionID: c.SessionID, ID: c.ID, Role: c.Role, AMR: c.AMR,
		IssuedAt: c.IssuedAt.Time, ExpiresAt: c.ExpiresAt.Time}, nil
}

// key chooses the key by kid alone; a header that names a key or an address
// of its own, or demands an extension, is refused unread (RFC 8725 §3.1,
// §3.5, §3.10).
func (i *Issuer) key(t *jwt.Token) (any, error) {
	for name := range t.Header {
		if name != "alg" && name != "typ" && name != "kid" {
			return nil, fmt.Errorf("token: header member %q", name)
		}
	}
	if t.Header["typ"] != Type {
		return nil, errors.New("token: typ is not " + Type)
	}
	kid, _ := t.Header["kid"].(string)
	key, known := i.keys.SigningKey(kid)
	if !known {
		return nil, errors.New("token: unknown kid")
	}
	return key, nil
}

func refused(err error) error {
	return secerr.Wrap(secerr.Unauthenticated, "The access token is not valid. Sign in again.", err)
}
