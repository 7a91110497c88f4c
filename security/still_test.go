package security_test

import (
	"context"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// TestChangesAreHeldToTheCallerOfNow: between the moment in which a request was
// let in and the moment of its change, a sign-out and a lost role count.
func TestChangesAreHeldToTheCallerOfNow(t *testing.T) {
	ctx := context.Background()
	changes := func(e *enrolled) map[string]func() error {
		return map[string]func() error{
			"create a key": func() error {
				_, _, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
				return err
			},
			"change the policy": func() error {
				_, err := e.service.ChangePolicy(ctx, e.caller, secret.NewText("nonce"), security.PolicyPatch{Patch: []byte(`{}`)})
				return err
			},
			"confirm": func() error {
				_, err := e.service.Nonce(ctx, e.caller, "policies.write", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
				return err
			},
			"change the password": func() error {
				return e.service.ChangePassword(ctx, e.caller, secret.NewText(pw), secret.NewText("walnut gravel theorem 7"))
			},
			"begin an enrollment":  func() error { _, err := e.service.BeginTOTP(ctx, e.caller, ""); return err },
			"verify an enrollment": func() error { _, err := e.service.VerifyTOTP(ctx, e.caller, "123456"); return err },
			"end a session":        func() error { return e.service.EndSession(ctx, e.caller, e.caller.Session.ID) },
			"end the others":       func() error { return e.service.EndOtherSessions(ctx, e.caller) },
			"renew backup codes":   func() error { _, err := e.service.RenewBackupCodes(ctx, e.caller, secret.NewText("nonce")); return err },
			"remove a factor":      func() error { return e.service.RemoveFactor(ctx, e.caller, secret.NewText("nonce"), "x") },
			"turn off the factor":  func() error { return e.service.DisableMFA(ctx, e.caller, secret.NewText("nonce")) },
			"revoke all tokens": func() error {
				_, err := e.service.RevokeAllTokens(ctx, e.caller, secret.NewText("nonce"), "", "")
				return err
			},
			"force a reenrollment": func() error {
				_, err := e.service.ForceReenrollment(ctx, e.caller, secret.NewText("nonce"), "")
				return err
			},
			"make a reset link": func() error { _, err := e.service.ResetLink(ctx, e.caller, secret.NewText("nonce"), "x"); return err },
			"mistake the password": func() error {
				return e.service.ChangePassword(ctx, e.caller, secret.NewText("wrong"), secret.NewText("walnut gravel theorem 7"))
			},
		}
	}
	t.Run("signed out", func(t *testing.T) {
		e := enrol(t, "admin")
		if err := e.service.Logout(ctx, e.caller); err != nil {
			t.Fatal(err)
		}
		for name, change := range changes(e) {
			if err := change(); !secerr.Is(err, secerr.TokenRevoked) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("without a grant any more", func(t *testing.T) {
		e := enrol(t, "admin")
		who := e.caller.User.ID
		if _, err := e.outside(t).Exec(`INSERT INTO grants (id, user_id, permission, granted_by, created_at_us) VALUES ('1', $1, 'sites:read', $1, 0)`, who); err != nil {
			t.Fatal(err)
		}
		for name, change := range changes(e) {
			if err := change(); !secerr.Is(err, secerr.Forbidden) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("demoted", func(t *testing.T) {
		e := enrol(t, "admin")
		if _, err := e.outside(t).Exec("UPDATE users SET role = 'user'"); err != nil {
			t.Fatal(err)
		}
		for name, change := range changes(e) {
			if err := change(); !secerr.Is(err, secerr.Forbidden) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
