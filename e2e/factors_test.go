//go:build e2e

package e2e

import "testing"

// TestOwnSecondFactor renews backup codes, turns the second factor off, enrols
// again and removes the factor. An admin may do nothing else without one.
func TestOwnSecondFactor(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		const renew, off = "/account/mfa/backup-codes", "/account/mfa/disable"
		s := startServer(t, t.TempDir())
		p := newAdmin(t, s, scripts)

		p.visit("/account/mfa", 200)
		p.asksFor(renew)
		p.inspect("confirm-backup-codes")
		p.confirms(s, renew)
		old := p.spends()
		p.keepsBackupCodes(s)
		p.inspect("backup-codes-renewed")

		p.clicks("/account/mfa")
		p.asksFor(off)
		p.proves(off, p.password, old, 401)
		p.refuses("code")
		p.confirms(s, off)
		p.withoutFactor()
		p.sees("It is removed")
		p.inspect("mfa-turned-off")

		p.enrols(s)
		p.signOut()
		p.signsInWithApp()
		p.at("/")
		p.clicks("/account/mfa")
		p.follow(`main a[href^="/account/mfa/factors/"]`, 200)
		p.confirms(s, p.path())
		p.withoutFactor()

		p.enrols(s)
		p.visit(off, 200)
		for range 4 {
			p.proves(off, p.password+"x", p.spends(), 401)
		}
		p.proves(off, p.password+"x", p.spends(), 200)
		p.at("/login")
		p.sees("wrong too often")
		p.inspect("login-wrong-proofs")
	})
}

// withoutFactor checks that nothing opens but the enrollment.
func (p *person) withoutFactor() {
	p.t.Helper()
	p.at("/account/mfa")
	if codes := p.texts(`main a[href="/account/mfa/backup-codes"]`); len(codes) > 0 {
		p.t.Error("backup codes are offered without a second factor")
	}
	p.visit("/api-keys", 200)
	p.at("/account/mfa")
	p.visit("/account/mfa?done=removed", 200)
}
