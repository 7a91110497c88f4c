//go:build e2e

package e2e

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The first admin of these tests, with a password that passes every rule.
const (
	adminEmail    = "ada@example.org"
	adminPassword = "violet harbour lantern 27"
)

// person is who walks through the pages: what they know and what they hold.
type person struct {
	*visitor
	email, password string
	app             *authenticator
	backupCodes     []string
}

// TestMainJob walks from an empty folder to the audit log, with JavaScript and
// again without.
func TestMainJob(t *testing.T) { eitherWay(t, mainJob) }

func mainJob(t *testing.T, scripts bool) {
	s := startServer(t, t.TempDir())
	p := &person{visitor: newVisitor(t, s, scripts), email: adminEmail, password: adminPassword}
	s.keepsSecret("password", p.password)

	p.createFirstAdmin(s)
	p.enrolTOTP(s)
	p.seesAccount()
	p.signOut()
	p.signInWithTOTP()
	key := p.createKey(s)
	key = p.rotatesKey(s, key)
	p.usesAndRevokesKey(s, key)
	p.seesExpiry(s)
	p.signOut()
	p.signInWithBackupCode()
	p.readsAuditLog(s)
}

// createFirstAdmin opens the link of the first run. The link is good once.
func (p *person) createFirstAdmin(s *server) {
	p.visit("/", 200)
	p.at("/login")

	link := s.firstRunLink()
	p.visit(link[:len(link)-1]+"x", 404)
	p.inspect("setup-bad-link")
	p.visit(link, 200)
	p.inspect("setup")

	p.fill("email", p.email)
	p.fill("password", p.password)
	p.fill("password_confirm", p.password+"x")
	p.submit("/setup", 422)
	p.refuses("password_confirm")
	p.fill("password", "passwordpassword")
	p.fill("password_confirm", "passwordpassword")
	p.submit("/setup", 422)
	p.refuses("password")
	p.inspect("setup-refused")

	p.fill("password", p.password)
	p.fill("password_confirm", p.password)
	p.submit("/setup", 200)
	p.at("/account/mfa")

	p.visit(link, 404)
	p.visit("/api-keys", 200) // nothing else opens before the second factor
	p.at("/account/mfa")
}

// refuses checks that the field of that name says what is wrong with it.
func (p *person) refuses(name string) {
	p.t.Helper()
	field := `[name="` + name + `"][aria-invalid="true"]`
	if len(p.texts(field)) == 0 {
		p.t.Fatalf("the field %s is not marked as refused\n%s", name, p.page())
	}
	described := p.texts(`[role="alert"]`)
	if len(described) == 0 || described[0] == "" {
		p.t.Fatalf("no summary says what is wrong with %s\n%s", name, p.page())
	}
}

var backupCode = regexp.MustCompile(`^([a-z2-7]{4}-){5}[a-z2-7]{4}$`)

// enrolTOTP scans the code on the screen and keeps the backup codes, which are
// shown once.
func (p *person) enrolTOTP(s *server) {
	p.inspect("mfa-start")
	p.submit("/account/mfa/totp", 200)
	p.at("/account/mfa")
	p.app = p.scan("img#qr")
	s.keepsSecret("TOTP secret", p.app.secret)
	if shown := strings.ReplaceAll(p.text("#totp-secret"), " ", ""); !strings.EqualFold(shown, p.app.secret) {
		p.t.Fatalf("the secret is %s as text and %s in the picture", shown, p.app.secret)
	}
	if p.app.issuer != "Patronus" {
		p.t.Errorf("the issuer in the picture is %q", p.app.issuer)
	}
	p.inspect("mfa-enrol")

	p.fill("code", p.app.wrongCode())
	p.submit("/account/mfa/totp/verify", 401)
	p.refuses("code")
	if again := p.scan("img#qr"); again.secret != p.app.secret {
		p.t.Fatal("a wrong code changed the secret that was scanned")
	}
	p.fill("code", p.app.code())
	p.submit("/account/mfa/totp/verify", 200)

	p.backupCodes = p.texts("#backup-codes li")
	distinct := slices.Compact(slices.Sorted(slices.Values(p.backupCodes)))
	if len(distinct) != 10 || !backupCode.MatchString(distinct[0]) {
		p.t.Fatalf("the backup codes are %q", p.backupCodes)
	}
	for _, code := range p.backupCodes {
		s.keepsSecret("backup code "+code[:4], code)
	}
	p.inspect("backup-codes")
	p.savesBackupCodes()
}

// seesAccount looks at the pages of one's own account: no secret is on them.
func (p *person) seesAccount() {
	for _, page := range []struct{ path, name string }{
		{"/", "overview"}, {"/account", "account"}, {"/account/mfa", "mfa-enrolled"},
		{"/account/sessions", "sessions"},
	} {
		p.visit(page.path, 200)
		p.at(page.path)
		p.seesNot(p.app.secret)
		p.seesNot(p.backupCodes[0])
		p.inspect(page.name)
	}
	p.visit("/no-such-page", 404)
	p.inspect("not-found")
}

func (p *person) signOut() {
	p.visit("/", 200)
	p.submit("/logout", 200)
	p.at("/login")
	p.visit("/account", 200)
	p.at("/login")
}

// enterPassword types the password and comes to the second step.
func (p *person) enterPassword() {
	p.fill("email", p.email)
	p.fill("password", p.password)
	p.submit("/login", 200)
	p.at("/login/mfa")
}

// signInWithTOTP signs in on the way to a page, after a wrong password, a
// wrong code and a code that was used before.
func (p *person) signInWithTOTP() {
	p.visit("/api-keys", 200)
	p.at("/login")
	p.inspect("login")
	p.fill("email", p.email)
	p.fill("password", p.password+"x")
	p.submit("/login", 401)
	p.sees("is not right")
	p.inspect("login-refused")

	p.enterPassword()
	p.inspect("login-mfa")
	p.fillIn(totpForm+" [name=code]", p.app.at(p.app.used))
	p.follow(totpForm+" button:not([type=button])", 401)
	p.sees("used before")
	p.inspect("login-mfa-refused")

	p.fillIn(totpForm+" [name=code]", p.app.code())
	p.follow(totpForm+" button:not([type=button])", 200)
	p.at("/api-keys")
}

// The two forms of the second step.
const (
	totpForm   = `form[action="/login/mfa"]:has([name=method][value=totp])`
	backupForm = `form[action="/login/mfa"]:has([name=method][value=backup_code])`
)

// signInWithBackupCode spends a backup code and then fails to spend it again.
func (p *person) signInWithBackupCode() {
	code := p.backupCodes[3]
	p.visit("/login", 200)
	p.enterPassword()
	p.click("details:has([name=method][value=backup_code]) > summary")
	p.fillIn(backupForm+" [name=code]", strings.ToUpper(strings.ReplaceAll(code, "-", " ")))
	p.follow(backupForm+" button:not([type=button])", 200)
	p.at("/")

	p.signOut()
	p.visit("/login", 200)
	p.enterPassword()
	p.click("details:has([name=method][value=backup_code]) > summary")
	p.fillIn(backupForm+" [name=code]", code)
	p.follow(backupForm+" button:not([type=button])", 401)
	p.sees("used before")
	p.fillIn(backupForm+" [name=code]", p.backupCodes[4])
	p.follow(backupForm+" button:not([type=button])", 200)
	p.at("/")
}
