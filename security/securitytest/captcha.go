package securitytest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"patronus.internal/dashboard/security/captcha"
)

// SolveCaptcha does a challenge's work and returns what ALTCHA's widget would
// send.
func SolveCaptcha(t testing.TB, c captcha.Challenge) (payload string) {
	t.Helper()
	salt := []byte(c.Salt)
	for number := range int64(c.MaxNumber) + 1 {
		hash := sha256.Sum256(strconv.AppendInt(salt, number, 10))
		if hex.EncodeToString(hash[:]) != c.Challenge {
			continue
		}
		answer, err := json.Marshal(map[string]any{"algorithm": c.Algorithm, "challenge": c.Challenge,
			"number": number, "salt": c.Salt, "signature": c.Signature, "took": 1})
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(answer)
	}
	t.Fatalf("%+v has no solution", c)
	return ""
}

// CaptchaDigits reads the picture of a token by the key that its digits were
// made with, as a test has no eyes.
func CaptchaDigits(t testing.TB, mac captcha.MAC, token string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < 16 {
		t.Fatalf("%q is no token: %v", token, err)
	}
	digits, n := "", binary.BigEndian.Uint64(mac("captcha digits", raw[:16]))
	for range captcha.DigitCount {
		digits += fmt.Sprint(n % 10)
		n /= 10
	}
	return digits
}
