// Package token issues and checks access tokens: JWTs after RFC 9068 and
// RFC 8725, signed HS256.
package token

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
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

// MaxLifetime is the longest that an access token may be good for, so the
// longest that a revocation must be remembered.
const MaxLifetime = 24 * time.Hour

// maxVerified bounds the memory of tokens that were verified before, some 400
// bytes each. Beyond it all are forgotten: the next use of each costs what the
// first did.
const maxVerified = 4096

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
	// Generation is that of the revocations when the token was issued: the
	// times in a token are whole seconds, too coarse to tell it from one that
	// was revoked just before.
	Generation int64
	IssuedAt   time.Time
	ExpiresAt  time.Time
}

type claims struct {
	jwt.RegisteredClaims
	SessionID  string   `json:"sid"`
	Role       string   `json:"role"`
	AMR        []string `json:"amr"`
	Generation int64    `json:"gen"`
}

// Issuer makes and checks the tokens of one installation, the public URL of
// which is the issuer. It is safe for concurrent use.
type Issuer struct {
	keys   Keys
	issuer string
	now    func() time.Time
	parser *jwt.Parser

	mu       sync.RWMutex
	epoch    int                          // how often the verified ones were forgotten
	verified map[[sha256.Size]byte]Claims // by the hash of the whole token
}

// NewIssuer returns an Issuer.
func NewIssuer(keys Keys, issuer string, now func() time.Time) *Issuer {
	return &Issuer{keys: keys, issuer: issuer, now: now, verified: make(map[[sha256.Size]byte]Claims), parser: jwt.NewParser(
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
		SessionID: c.SessionID, Role: c.Role, AMR: c.AMR, Generation: c.Generation,
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
// secerr.Unauthenticated. Whether its session lives is the caller's to ask. The
// caller does not change the claims.
//
// A token that was verified before, byte for byte, is only held against the
// clock: to parse and authenticate it takes twenty times as long.
func (i *Issuer) Verify(bearer secret.Text) (Claims, error) {
	if len(bearer.Reveal()) > maxLength {
		return Claims{}, refused(errors.New("token: too long"))
	}
	hash, now := sha256.Sum256([]byte(bearer.Reveal())), i.now()
	i.mu.RLock()
	known, ok := i.verified[hash]
	epoch := i.epoch
	i.mu.RUnlock()
	// At the edges the parser decides, and finds the words.
	if ok && now.After(known.IssuedAt) && now.Before(known.ExpiresAt) {
		return known, nil
	}
	c, err := i.parse(bearer)
	if err != nil {
		return Claims{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.verified) >= maxVerified {
		clear(i.verified)
	}
	if i.epoch == epoch { // or it was verified with a key that is gone since
		i.verified[hash] = c
	}
	return c, nil
}

// Forget drops what was verified with the keys from before.
func (i *Issuer) Forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.epoch++
	clear(i.verified)
}

func (i *Issuer) parse(bearer secret.Text) (Claims, error) {
	var c claims
	_, err := i.parser.ParseWithClaims(bearer.Reveal(), &c, i.key)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired) && !errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return Claims{}, secerr.Wrap(secerr.TokenExpired, "The access token has expired. Refresh it or sign in again.", err)
	case err != nil:
		return Claims{}, refused(err)
	case c.ID == "" || c.Subject == "" || c.SessionID == "":
		return Claims{}, refused(errors.New("token: jti, sub or sid is missing"))
	case c.IssuedAt == nil:
		return Claims{}, refused(errors.New("token: iat is missing"))
	case c.ExpiresAt.Sub(c.IssuedAt.Time) > MaxLifetime:
		return Claims{}, refused(errors.New("token: it is good for longer than any that is issued here"))
	}
	return Claims{UserID: c.Subject, SessionID: c.SessionID, ID: c.ID, Role: c.Role, AMR: c.AMR, Generation: c.Generation,
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
