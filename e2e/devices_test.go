//go:build e2e

package e2e

import (
	"slices"
	"testing"
)

const (
	newHere      = "not used from this browser before"
	newElsewhere = "New sign-in to your account"
)

// TestDevices signs in from other browsers: each hears once that it is new, the
// first one is told, and ends them.
func TestDevices(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServer(t, data)
		p := newUser(t, s, data, scripts)
		first, second := p.visitor, newVisitor(t, s, scripts)
		p.seesNot(newHere)
		p.seesNot(newElsewhere)

		p.uses(second)
		p.signsInAnew()
		p.sees(newHere)
		p.inspect("overview-new-here")
		p.clicks("/")
		p.seesNot(newHere)
		p.seesNot(newElsewhere)

		p.uses(first)
		p.clicks("/")
		p.sees(newElsewhere + ": Headless Chrome on Linux from 127.0.0.1, ")
		p.inspect("overview-new-device")
		p.clicks("/account/sessions")
		p.inspect("sessions-two")
		p.follow(`form[action^="/account/sessions/"][action$="/end"] button`, 200)
		p.at("/account/sessions")
		p.sees("You are signed in only here.")

		p.uses(second)
		p.isSignedOut()
		p.signsInAnew()
		p.seesNot(newHere)

		p.uses(first)
		p.clicks("/account/sessions")
		if sessions := p.texts("main tbody tr"); len(sessions) != 2 || slices.Contains(sessions, "") {
			t.Errorf("the sessions are %q", sessions)
		}
		p.submit("/account/sessions/end-others", 200)
		p.sees("You are signed in only here.")
		p.uses(second)
		p.isSignedOut()
	})
}

// signsInAnew signs in with a password alone.
func (p *person) signsInAnew() {
	p.t.Helper()
	p.visit("/login", 200)
	p.typesPassword()
	p.at("/")
}
