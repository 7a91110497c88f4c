//go:build e2e

package e2e

import (
	"testing"

	"patronus.internal/dashboard/security/securitytest"
)

// TestLockedAccount has a stranger lock an account. That keeps everybody out,
// the owner too, except in a browser of theirs from before, until an admin
// unlocks it.
func TestLockedAccount(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		const failures = 4
		data := t.TempDir()
		s := startServerUnder(t, securitytest.LockingAfter(failures), data)
		admin := newAdmin(t, s, scripts)
		user := newUser(t, s, data, scripts)
		known, stranger := user.visitor, newVisitor(t, s, scripts)

		user.uses(stranger)
		user.failsToSignIn(failures)
		user.isLockedOut()
		user.inspectOnce("login-locked")

		user.uses(known)
		user.signOut()
		user.signsInAnew()
		// What the owner does here does not let strangers in.
		user.uses(stranger)
		user.isLockedOut()

		admin.visit("/audit?event_type=account_lock", 200)
		admin.row(user.email)
		admin.clicks("/users")
		admin.fill("q", user.email)
		admin.submit("/users", 200)
		admin.follow("main tbody a", 200)
		id := admin.path()
		admin.submit(id+"/unlock", 200)
		admin.at(id)
		admin.sees("The failed sign-ins are forgotten.")
		admin.inspectOnce("user-unlocked")

		user.signsInAnew()
	})
}

// isLockedOut types the right password in vain.
func (p *person) isLockedOut() {
	p.t.Helper()
	p.visit("/login", 200)
	p.fill("email", p.email)
	p.fill("password", p.password)
	p.submit("/login", 429)
	p.sees("It is locked for")
}
