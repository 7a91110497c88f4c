//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// sessionCookie is the name of the cookie of a session without https.
const sessionCookie = "patronus"

const (
	userEmail    = "grace@example.org"
	userPassword = "copper meadow wristwatch 61"
)

// eitherWay runs a test with JavaScript and, beside that, without.
func eitherWay(t *testing.T, test func(t *testing.T, scripts bool)) {
	for name, scripts := range map[string]bool{"with JavaScript": true, "without JavaScript": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, scripts)
		})
	}
}

// newAdmin is the first admin, signed in and enrolled.
func newAdmin(t *testing.T, s *server, scripts bool) *person {
	t.Helper()
	p := &person{visitor: newVisitor(t, s, scripts), email: adminEmail, password: adminPassword}
	s.keepsSecret("password of the admin", p.password)
	p.visit(s.firstRunLink(), 200)
	p.fill("email", p.email)
	p.setsPassword("/setup")
	p.enrols(s)
	return p
}

// newUser is a user whose address was added on the command line, signed in
// with a password alone.
func newUser(t *testing.T, s *server, data string, scripts bool) *person {
	t.Helper()
	p := &person{visitor: newVisitor(t, s, scripts), email: userEmail, password: userPassword}
	s.keepsSecret("password of the user", p.password)
	p.visit(addUser(t, s, data, p.email, "user"), 200)
	p.setsPassword("/reset-password")
	p.visit("/login", 200)
	p.typesPassword()
	p.at("/")
	return p
}

// setsPassword fills in a form for a new password.
func (p *person) setsPassword(form string) {
	p.t.Helper()
	p.fill("password", p.password)
	p.fill("password_confirm", p.password)
	p.submit(form, 200)
}

func (p *person) typesPassword() {
	p.t.Helper()
	p.fill("email", p.email)
	p.fill("password", p.password)
	p.submit("/login", 200)
}

// enrols sets up an authenticator app, wherever the person is, and keeps the
// new backup codes.
func (p *person) enrols(s *server) {
	p.t.Helper()
	p.visit("/account/mfa", 200)
	p.submit("/account/mfa/totp", 200)
	p.app = p.scan("img#qr")
	s.keepsSecret("TOTP secret "+p.app.secret[:4], p.app.secret)
	p.fill("code", p.app.code())
	p.submit("/account/mfa/totp/verify", 200)
	p.keepsBackupCodes(s)
}

// keepsBackupCodes takes the codes from the page that shows them.
func (p *person) keepsBackupCodes(s *server) {
	p.t.Helper()
	p.backupCodes = p.texts("#backup-codes li")
	if len(p.backupCodes) != 10 {
		p.t.Fatalf("the backup codes are %q", p.backupCodes)
	}
	for _, code := range p.backupCodes {
		s.keepsSecret("backup code "+code[:4], code)
	}
}

// spends takes the next backup code. The app would give only two codes in half
// a minute.
func (p *person) spends() string {
	p.t.Helper()
	if len(p.backupCodes) == 0 {
		p.t.Fatal("no backup code is left")
	}
	code := p.backupCodes[0]
	p.backupCodes = p.backupCodes[1:]
	return code
}

// signsIn does so with the password and a backup code.
func (p *person) signsIn() {
	p.t.Helper()
	p.visit("/login", 200)
	p.typesPassword()
	p.at("/login/mfa")
	p.click("details:has([name=method][value=backup_code]) > summary")
	p.fillIn(backupForm+" [name=code]", p.spends())
	p.follow(backupForm+" button:not([type=button])", 200)
}

// signsInWithApp does so with the password and the next code of the app.
func (p *person) signsInWithApp() {
	p.t.Helper()
	p.visit("/login", 200)
	p.typesPassword()
	p.at("/login/mfa")
	p.fillIn(totpForm+" [name=code]", p.app.code())
	p.follow(totpForm+" button:not([type=button])", 200)
}

// uses has the person sit down at another browser.
func (p *person) uses(v *visitor) { p.visitor = v }

// clicks presses an entry of the menu.
func (p *person) clicks(entry string) {
	p.t.Helper()
	p.follow(`.side nav a[href="`+entry+`"]`, 200)
}

// isSignedOut has the person press something, which must lead to the sign-in.
func (p *person) isSignedOut() {
	p.t.Helper()
	p.clicks("/api-keys")
	p.at("/login")
}

// asksFor presses a link to a confirmation and comes to its page.
func (p *person) asksFor(path string) {
	p.t.Helper()
	p.follow(`main a[href="`+path+`"]`, 200)
	p.at(path)
}

// proves gives a password and a code on the page of a confirmation.
func (p *person) proves(path, password, code string, status int64) {
	p.t.Helper()
	p.fill("password", password)
	p.fill("code", code)
	p.submit(path, status)
}

// confirms proves who is there. From then on the session has another cookie,
// and who has the old one has nothing.
func (p *person) confirms(s *server, path string) {
	p.t.Helper()
	before := p.cookie()
	if status, to := s.browses("/account", before); status != 200 {
		p.t.Fatalf("before the confirmation the cookie leads to %d %s", status, to)
	}
	p.proves(path, p.password, p.spends(), 200)
	after := p.cookie()
	if after == "" || after == before {
		p.t.Errorf("%s: the session keeps its cookie after the confirmation", path)
	}
	if status, to := s.browses("/account", before); status != 303 || !strings.HasPrefix(to, "/login") {
		p.t.Errorf("%s: with the cookie from before it: %d %s, want 303 to /login", path, status, to)
	}
}

// cookie is the value of the session's cookie in this browser.
func (p *person) cookie() (value string) {
	p.t.Helper()
	p.call("read the cookie", func(ctx context.Context) error {
		got, err := chromedp.Call(ctx, network.GetCookies, network.GetCookiesParams{URLs: []string{p.site + "/"}})
		if err != nil {
			return err
		}
		for _, c := range got.Cookies {
			if c.Name == sessionCookie {
				value = c.Value
			}
		}
		return nil
	})
	return value
}
