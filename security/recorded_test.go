package security_test

import (
	"context"
	"database/sql"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// TestWhatCannotBeRecordedDoesNotHappen makes the log refuse every event and
// then tries every change there is: none may be done, or leave a trace.
func TestWhatCannotBeRecordedDoesNotHappen(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	pending := login(t, e.service)
	key, token0, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	nonce, err := e.service.Nonce(ctx, e.caller, "policies.write", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	_, link, err := e.service.AddUser(ctx, "ivan@example.org", "user", secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(link, "token=")
	umaUser, _, err := e.service.AddUser(ctx, "uma@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	granted, err := e.service.Grant(ctx, e.caller, umaUser.ID, "metrics:read", "")
	if err != nil {
		t.Fatal(err)
	}
	uma, err := e.service.Login(ctx, security.Request{}, session.API, "uma@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	umaCaller := identify(t, e.service, uma)

	spent, err := e.service.Login(ctx, security.Request{}, session.API, "uma@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := e.service.Refresh(ctx, security.Request{}, spent.Secret)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := e.service.BeginTOTP(ctx, umaCaller, "")
	if err != nil {
		t.Fatal(err)
	}
	browser, err := e.service.Login(ctx, security.Request{}, session.Browser, "uma@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}

	nonces := map[string]secret.Text{}
	for i, action := range []string{"mfa.backup_codes", "mfa.remove", "mfa.disable", "admin.revoke_all_tokens", "admin.force_mfa_reenroll", "users.reset_link"} {
		nonces[action], err = e.service.Nonce(ctx, e.caller, action, security.Proof{Password: secret.NewText(pw), Code: e.backup[3+i].Reveal()})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, action := range []string{"users.role", "users.delete"} {
		e.clock.Advance(30 * time.Second)
		nonces[action], err = e.service.Nonce(ctx, e.caller, action, security.Proof{Password: secret.NewText(pw), Code: e.code(t, 0)})
		if err != nil {
			t.Fatal(err)
		}
	}
	state, err := e.service.MFA(ctx, e.caller)
	if err != nil {
		t.Fatal(err)
	}
	wide, wideToken := e.newKey(t, "audit:read", "users:read")
	uses(t, e.service, wideToken, "audit:read")
	old, _ := e.newKey(t, "audit:read")
	if err := e.outside(t).QueryRow("UPDATE api_keys SET revoked_at_us = 1 WHERE id = ? RETURNING revoked_at_us", old.ID).Scan(new(int64)); err != nil {
		t.Fatal(err)
	}
	view, err := e.service.SaveView(ctx, e.caller, "Guesses", "event_type=login_attempt&success=false")
	if err != nil {
		t.Fatal(err)
	}
	// Somebody who may be disabled, and something that is due.
	command := securitytest.Beside(t, e.clock, e.dataDir)
	umaBrowser, err := e.service.IdentifyCookie(ctx, security.Request{}, browser.Secret)
	if err != nil {
		t.Fatal(err)
	}

	before, err := securitytest.DumpOf(e.dataDir)
	if err != nil || len(before) < 12 {
		t.Fatalf("%d tables, %v", len(before), err)
	}
	keysBefore, err := os.ReadFile(filepath.Join(e.dataDir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := securitytest.RefuseEvents(e.dataDir); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"sign in": func() error {
			_, err := e.service.Login(ctx, security.Request{}, session.API, "uma@example.org", secret.NewText(pw))
			return err
		},
		"fail to sign in": func() error {
			_, err := e.service.Login(ctx, security.Request{}, session.API, email, secret.NewText("wrong"))
			return err
		},
		"second factor": func() error {
			_, err := e.service.SecondFactor(ctx, security.Request{}, session.API, pending.Secret, mfa.BackupCode, e.backup[1].Reveal())
			return err
		},
		"wrong code": func() error {
			_, err := e.service.SecondFactor(ctx, security.Request{}, session.API, pending.Secret, mfa.TOTP, "000000")
			return err
		},
		"begin enrollment": func() error { _, err := e.service.BeginTOTP(ctx, umaCaller, ""); return err },
		"verify an enrollment": func() error {
			code, err := totp.GenerateCode(begun.Secret.Reveal(), e.clock.Now())
			if err == nil {
				_, err = e.service.VerifyTOTP(ctx, umaCaller, code)
			}
			return err
		},
		"fail to verify": func() error { _, err := e.service.VerifyTOTP(ctx, umaCaller, "no code"); return err },
		"refresh":        func() error { _, err := e.service.Refresh(ctx, security.Request{}, fresh.Secret); return err },
		"reuse a refresh token": func() error {
			_, err := e.service.Refresh(ctx, security.Request{}, spent.Secret)
			return err
		},
		"end a session":  func() error { return e.service.EndSession(ctx, umaCaller, spent.Session.ID) },
		"end the others": func() error { return e.service.EndOtherSessions(ctx, umaCaller) },
		"sign in anew":   func() error { return e.service.Supersede(ctx, security.Request{}, browser.Secret) },
		"use a key first": func() error {
			_, err := e.service.IdentifyBearer(ctx, security.Request{Route: "x"}, token0)
			return err
		},
		"change a password": func() error {
			return e.service.ChangePassword(ctx, umaCaller, secret.NewText(pw), secret.NewText("walnut gravel theorem 7"))
		},
		"mistake a password": func() error {
			return e.service.ChangePassword(ctx, umaCaller, secret.NewText("wrong"), secret.NewText("walnut gravel theorem 7"))
		},
		"create a key": func() error {
			_, _, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "y", Scopes: []string{"audit:read"}})
			return err
		},
		"rotate a key": func() error {
			_, _, err := e.service.RotateKey(ctx, e.caller, security.Rotation{KeyID: key.ID, OverlapSecs: 60})
			return err
		},
		"change a key": func() error {
			_, err := e.service.UpdateKey(ctx, e.caller, key.ID, security.KeyPatch{Networks: &[]string{"192.0.2.0/24"}})
			return err
		},
		"narrow a key":          func() error { _, err := e.service.NarrowKey(ctx, e.caller, wide.ID, nil); return err },
		"remove keys of before": func() error { return e.service.SweepKeys(ctx) },
		"revoke a key":          func() error { return e.service.RevokeKey(ctx, e.caller, key.ID) },
		"delete a key":          func() error { return e.service.DeleteKey(ctx, e.caller, key.ID) },
		"change the policy": func() error {
			_, err := e.service.ChangePolicy(ctx, e.caller, nonce, security.PolicyPatch{Patch: []byte(`{"audit":{"retention_days":30}}`)})
			return err
		},
		"confirm": func() error {
			_, err := e.service.Nonce(ctx, e.caller, "policies.write", security.Proof{Password: secret.NewText(pw), Code: e.backup[2].Reveal()})
			return err
		},
		"add a user": func() error {
			_, _, err := e.service.AddUser(ctx, "new@example.org", "user", secret.Text{})
			return err
		},
		"invite a user": func() error {
			_, _, err := e.service.InviteUser(ctx, e.caller, "new@example.org", "user")
			return err
		},
		"set a password": func() error {
			return e.service.SetPasswordByLink(ctx, security.Request{}, secret.NewText(token), secret.NewText(pw))
		},
		"renew backup codes": func() error {
			_, err := e.service.RenewBackupCodes(ctx, e.caller, nonces["mfa.backup_codes"])
			return err
		},
		"remove a factor": func() error {
			return e.service.RemoveFactor(ctx, e.caller, nonces["mfa.remove"], state.Factors[0].ID)
		},
		"turn off the second factor": func() error { return e.service.DisableMFA(ctx, e.caller, nonces["mfa.disable"]) },
		"revoke a user's tokens": func() error {
			_, err := e.service.RevokeAllTokens(ctx, e.caller, nonces["admin.revoke_all_tokens"], umaCaller.User.ID, "x")
			return err
		},
		"revoke everyone's tokens": func() error {
			_, err := e.service.RevokeAllTokens(ctx, e.caller, nonces["admin.revoke_all_tokens"], "", "")
			return err
		},
		"force a reenrollment": func() error {
			_, err := e.service.ForceReenrollment(ctx, e.caller, nonces["admin.force_mfa_reenroll"], "")
			return err
		},
		"make a reset link": func() error {
			_, err := e.service.ResetLink(ctx, e.caller, nonces["users.reset_link"], umaCaller.User.ID)
			return err
		},
		"ask for a reset": func() error { return e.service.RequestPasswordReset(ctx, security.Request{}, email) },
		"confirm on a page": func() error {
			_, err := e.service.Confirm(ctx, umaBrowser, "mfa.disable", security.Proof{Password: secret.NewText(pw)})
			return err
		},
		"change a role": func() error {
			role := "viewer"
			_, err := e.service.UpdateUser(ctx, e.caller, nonces["users.role"], umaCaller.User.ID, security.UserPatch{Role: &role})
			return err
		},
		"shut a user out": func() error {
			_, err := e.service.UpdateUser(ctx, e.caller, secret.Text{}, umaCaller.User.ID, security.UserPatch{Enabled: new(bool)})
			return err
		},
		"delete a user": func() error {
			return e.service.DeleteUser(ctx, e.caller, nonces["users.delete"], umaCaller.User.ID, false)
		},
		"delete a user and erase their data": func() error {
			return e.service.DeleteUser(ctx, e.caller, nonces["users.delete"], umaCaller.User.ID, true)
		},
		"make an enrolment link": func() error {
			_, err := e.service.EnrolmentLink(ctx, e.caller, nonces["admin.force_mfa_reenroll"], umaCaller.User.ID)
			return err
		},
		"grant": func() error {
			_, err := e.service.Grant(ctx, e.caller, umaCaller.User.ID, "users:read", "")
			return err
		},
		"revoke":        func() error { return e.service.Revoke(ctx, e.caller, umaCaller.User.ID, granted.ID) },
		"save a view":   func() error { _, err := e.service.SaveView(ctx, e.caller, "x", "severity=critical"); return err },
		"delete a view": func() error { return e.service.DeleteView(ctx, e.caller, view.ID) },
		"export the log": func() error {
			return e.service.Export(ctx, e.caller, audit.Filter{}, "csv", func([]audit.Record) error {
				t.Error("an export that was not recorded was read")
				return nil
			})
		},
		"disable a user":        func() error { return command.DisableUser(ctx, "uma@example.org") },
		"reset a second factor": func() error { _, err := command.ResetMFA(ctx, email); return err },
		"use a bad enrolment link": func() error {
			_, err := e.service.EnrolByLink(ctx, security.Request{}, session.API, pending.Secret, secret.NewText("nonsense"))
			return err
		},
		"rotate the keys": func() error { _, err := command.RotateKeys(ctx, false); return err },
		"sign out":        func() error { return e.service.Logout(ctx, e.caller) },
	} {
		if err := change(); err == nil || !strings.Contains(err.Error(), securitytest.NoRoom) {
			t.Errorf("%s: %v", name, err)
		}
	}
	after, err := securitytest.DumpOf(e.dataDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range after.Changes(before) {
		t.Errorf("something was done all the same: %s", change)
	}
	if after, err := os.ReadFile(filepath.Join(e.dataDir, "keys.json")); err != nil || string(after) != string(keysBefore) {
		t.Errorf("keys that were not recorded are in use, %v", err)
	}
	if e.service.Policy().Audit.RetentionDays != 90 {
		t.Error("a policy that was not stored is in force")
	}
}

func (e *enrolled) outside(t *testing.T) *sql.DB {
	t.Helper()
	outside, err := sql.Open("sqlite3", "file:"+filepath.Join(e.dataDir, "patronus.db")+"?_busy_timeout=5000")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := outside.Close(); err != nil {
			t.Error(err)
		}
	})
	return outside
}

// TestKeyUseIsCountedInMinutes: a burst of reads is two events, and what was
// counted is written when the program ends.
func TestKeyUseIsCountedInMinutes(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	_, token, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := e.service.IdentifyBearer(ctx, security.Request{Route: "GET /x"}, token); err != nil {
			t.Fatal(err)
		}
		e.clock.Advance(time.Millisecond)
	}
	outside := e.outside(t)
	if err := e.service.Close(ctx); err != nil {
		t.Fatal(err)
	}
	var events, uses int
	err = outside.QueryRow(`SELECT COUNT(*), SUM(json_extract(details, '$.count')) FROM audit_events WHERE event_type = 'api_key_usage'`).Scan(&events, &uses)
	if err != nil || events != 2 || uses != 100 {
		t.Errorf("%d events tell of %d uses, %v", events, uses, err)
	}
}

// TestLastUseIsKeptOnceAMinute, however many addresses and routes a key is used from.
func TestLastUseIsKeptOnceAMinute(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	made, token, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	use := func(ip, route string) {
		t.Helper()
		if _, err := e.service.IdentifyBearer(ctx, security.Request{IP: netip.MustParseAddr(ip), Route: route}, token); err != nil {
			t.Fatal(err)
		}
	}
	kept := func(at time.Time, ip string) {
		t.Helper()
		key, err := e.service.Key(ctx, e.caller, made.ID)
		if err != nil || key.LastUsedAt == nil || !key.LastUsedAt.Equal(at) || key.LastUsedIP != ip {
			t.Fatalf("the last use is %v from %s, want %v from %s (%v)", key.LastUsedAt, key.LastUsedIP, at, ip, err)
		}
	}
	first := e.clock.Now()
	use("192.0.2.1", "GET /x")
	for range 20 {
		e.clock.Advance(time.Second)
		use("192.0.2.2", "GET /x")
		use("192.0.2.1", "GET /y")
	}
	kept(first, "192.0.2.1")
	e.clock.Advance(time.Minute)
	use("192.0.2.2", "GET /x")
	kept(e.clock.Now(), "192.0.2.2")
}
