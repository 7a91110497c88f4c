//go:build e2e

package e2e

import (
	"strings"
	"testing"
)

// TestForgottenPassword asks for a link at the sign-in, opens it from the mail
// and sets another password. What was signed in before is signed out, and the
// second factor is still asked for.
func TestForgottenPassword(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		box := openPost(t)
		data := t.TempDir()
		s := startServer(t, data, box.flags()...)
		p := newUser(t, s, data, scripts)
		p.enrols(s)
		before, after := p.visitor, newVisitor(t, s, scripts)

		p.uses(after)
		p.asksForLink()
		link := box.next(p.email, "Set a new password").link(s)
		p.setsPasswordByLink(s, link, "orchard velvet compass 48")
		box.next(p.email, "Your password was changed")

		p.uses(before)
		p.isSignedOut()

		p.uses(after)
		p.visit("/login", 200)
		p.fill("email", p.email)
		p.fill("password", userPassword)
		p.submit("/login", 401)
		p.signsInWithApp()
		p.at("/")
		box.next(p.email, "Sign-in from a new device")
	})
}

// asksForLink goes from the sign-in to the link, by way of what cannot be an
// address and one that nobody has.
func (p *person) asksForLink() {
	p.t.Helper()
	p.visit("/login", 200)
	p.follow(`a[href="/forgot-password"]`, 200)
	p.at("/forgot-password")
	p.inspect("forgot")
	p.fill("email", "grace@192.0.2.1")
	p.submit("/forgot-password", 422)
	p.refuses("email")
	p.inspect("forgot-refused")

	answer := func(email string) string {
		p.visit("/forgot-password", 200)
		p.fill("email", email)
		p.submit("/forgot-password", 200)
		return strings.ReplaceAll(p.text("main"), email, "…")
	}
	unknown, known := answer("nobody@example.org"), answer(p.email)
	if unknown != known {
		p.t.Errorf("the page tells who has an account. Without:\n%s\nwith:\n%s", unknown, known)
	}
	p.sees("is on its way")
	p.inspect("forgot-asked")
}

// setsPasswordByLink sets another password after one that is too easy. The
// link is good once.
func (p *person) setsPasswordByLink(s *server, link, password string) {
	p.t.Helper()
	p.visit(link, 200)
	p.fill("password", "passwordpassword")
	p.fill("password_confirm", "passwordpassword")
	p.submit("/reset-password", 422)
	p.refuses("password")
	p.inspect("set-password-refused")

	p.password = password
	s.keepsSecret("next password", password)
	p.setsPassword("/reset-password")
	p.at("/login")
	p.sees("Your password is set")
	p.visit(link, 404)
	p.follow(`a[href="/forgot-password"]`, 200)
}
