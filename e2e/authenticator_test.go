//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// totpStep is the time step of RFC 6238 §4.1 that authenticator apps use.
const totpStep = 30 * time.Second

// authenticator is the app on a person's phone: it scans the code from the
// screen and knows the time. It computes nothing with code of this project.
type authenticator struct {
	t      *testing.T
	secret string // base32, as in the code that was scanned
	issuer string
	used   int64 // the step of the last code that was given out
}

// scan photographs an element of the page and reads the QR code in it.
func (v *visitor) scan(selector string) *authenticator {
	v.t.Helper()
	picture := filepath.Join(v.t.TempDir(), "qr.png")
	png := value(v, "photograph "+selector, chromedp.Screenshot(chromedp.CSS(selector)))
	if err := os.WriteFile(picture, png, 0o600); err != nil {
		v.t.Fatal(err)
	}
	read, err := exec.CommandContext(v.t.Context(), "zbarimg", "--raw", "-q", picture).Output()
	if err != nil {
		v.t.Fatalf("zbarimg reads nothing in the picture: %v", err)
	}
	key, err := url.Parse(strings.TrimSpace(string(read)))
	if err != nil || key.Scheme != "otpauth" || key.Host != "totp" {
		v.t.Fatalf("the code is no key URI for TOTP (%v)", err)
	}
	return &authenticator{t: v.t, secret: key.Query().Get("secret"), issuer: key.Query().Get("issuer")}
}

// code is what the app shows; after a code was given out already, what it will
// show next. The server takes codes one step early, so that a test need not
// wait half a minute, and refuses them further ahead than that.
func (a *authenticator) code() string {
	a.t.Helper()
	now := time.Now().Unix() / int64(totpStep/time.Second)
	a.used = max(now, a.used+1)
	if a.used > now+1 {
		a.t.Fatal("the app was asked for more than two codes in half a minute; use a backup code")
	}
	return a.at(a.used)
}

// at is the code of a time step.
func (a *authenticator) at(step int64) string {
	a.t.Helper()
	when := time.Unix(step*int64(totpStep/time.Second), 0).UTC()
	out, err := exec.CommandContext(a.t.Context(), "oathtool", "--totp", "--base32",
		"--now", when.Format("2006-01-02 15:04:05 UTC"), "--", a.secret).Output()
	if err != nil {
		a.t.Fatalf("oathtool: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// wrongCode is a code that is good at no time near now.
func (a *authenticator) wrongCode() string {
	a.t.Helper()
	now := time.Now().Unix() / int64(totpStep/time.Second)
	near := map[string]bool{}
	for step := now - 3; step <= now+3; step++ {
		near[a.at(step)] = true
	}
	n := 0
	for near[fmt.Sprintf("%06d", n)] {
		n++
	}
	return fmt.Sprintf("%06d", n)
}
