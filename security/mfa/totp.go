// Package mfa is the second factor: authenticator apps (TOTP, RFC 6238) and
// backup codes.
package mfa

import (
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	qrcode "github.com/skip2/go-qrcode"

	"patronus.internal/dashboard/security/secret"
)

// What every authenticator app understands: SHA-1, six digits, 30 seconds.
// SHA-1 is no weakness here, since HMAC does not need collision resistance
// (RFC 6238 §1.2, RFC 6194 §3.3).
const (
	digits = otp.DigitsSix
	period = 30 // seconds, RFC 6238 §5.2

	// skew is how many steps the two clocks may lie apart: one, the most that
	// RFC 6238 §5.2 recommends for the network delay.
	skew = 1

	// secretBytes is the 160 bits that RFC 4226 §4 R6 recommends.
	secretBytes = 20
)

var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSecret draws the secret of an authenticator app, in base32 without
// padding as apps take it.
func NewSecret(random io.Reader) (secret.Text, error) {
	raw := make([]byte, secretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return secret.Text{}, fmt.Errorf("mfa: draw a secret: %w", err)
	}
	return secret.NewText(encoding.EncodeToString(raw)), nil
}

// URL is the Key URI that a QR picture holds
// (https://github.com/google/google-authenticator/wiki/Key-Uri-Format). It
// contains the secret.
func URL(issuer, account string, totpSecret secret.Text) string {
	values := url.Values{"secret": {totpSecret.Reveal()}, "issuer": {issuer}, "algorithm": {"SHA1"}, "digits": {"6"}, "period": {fmt.Sprint(period)}}
	// Some apps show a plus sign where a query has one for a space.
	query := strings.ReplaceAll(values.Encode(), "+", "%20")
	return "otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(account) + "?" + query
}

// QRPNG draws a picture of size pixels a side, with the level of error
// correction that stands a smudge on the screen (15 %).
func QRPNG(content string, size int) ([]byte, error) {
	png, err := qrcode.Encode(content, qrcode.Medium, size)
	if err != nil {
		return nil, fmt.Errorf("mfa: draw the QR picture: %w", err)
	}
	return png, nil
}

// Match finds the step whose code was typed, among the one of now and its
// neighbours. A step up to lastStep is used up and never matches (RFC 6238
// §5.2). All of the window is computed and compared whatever matches, so the
// time tells nothing.
func Match(totpSecret secret.Text, typed string, now time.Time, lastStep int64) (step int64, ok bool, err error) {
	code, valid := normalizeCode(typed)
	if !valid {
		return 0, false, nil
	}
	current := now.Unix() / period
	for candidate := current - skew; candidate <= current+skew; candidate++ {
		if candidate < 0 {
			continue
		}
		want, err := hotp.GenerateCodeCustom(totpSecret.Reveal(), uint64(candidate), hotp.ValidateOpts{Digits: digits, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false, fmt.Errorf("mfa: compute a code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && candidate > lastStep {
			step, ok = candidate, true
		}
	}
	return step, ok, nil
}

// normalizeCode takes six ASCII digits, with the spaces that apps show in
// between.
func normalizeCode(typed string) (string, bool) {
	if len(typed) > 32 {
		return "", false
	}
	code := strings.ReplaceAll(typed, " ", "")
	if len(code) != digits.Length() {
		return "", false
	}
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return "", false
		}
	}
	return code, true
}
