package security_test

import (
	"context"
	"slices"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// confirmsPolicy is a fresh confirmation of a change of the policy.
func (e *enrolled) confirmsPolicy(t testing.TB) secret.Text {
	t.Helper()
	code := e.backup[0].Reveal()
	e.backup = e.backup[1:]
	nonce, err := e.service.Nonce(context.Background(), e.caller, "policies.write", security.Proof{Password: secret.NewText(pw), Code: code})
	if err != nil {
		t.Fatal(err)
	}
	return nonce
}

// patches changes the policy.
func (e *enrolled) patches(t testing.TB, p security.PolicyPatch) policy.Stored {
	t.Helper()
	stored, err := e.service.ChangePolicy(context.Background(), e.caller, e.confirmsPolicy(t), p)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// version is what a client says that has seen one.
func version(n int64) func(policy.Stored) bool {
	return func(now policy.Stored) bool { return now.Version == n }
}

// TestChangesOfThePolicyCanBeUndone: the log has who changed what, each change can
// be taken back, that is a change itself, and what came between is said and is not
// taken along.
func TestChangesOfThePolicyCanBeUndone(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	e.patches(t, security.PolicyPatch{Patch: []byte(`{"audit":{"retention_days":30},"mfa":{"required_roles":[]},"sessions":{"idle_secs":600}}`)})
	e.patches(t, security.PolicyPatch{Patch: []byte(`{"audit":{"retention_days":40},"passwords":{"history":9}}`)})

	history, next, err := e.service.PolicyHistory(ctx, e.caller, 0, 10)
	if err != nil || next != 0 || len(history) != 2 {
		t.Fatalf("%+v, %d, %v", history, next, err)
	}
	second, first := history[0], history[1]
	if first.Version != 1 || second.Version != 2 || first.Email != email || first.UserID != e.caller.User.ID || first.Host || first.Erased || first.Undoes != 0 ||
		len(first.Changes) != 3 || first.Changes[0].Setting != "sessions.idle_secs" {
		t.Errorf("%+v", first)
	}
	if page, next, err := e.service.PolicyHistory(ctx, e.caller, second.ID, 1); err != nil || next != 0 || len(page) != 1 || page[0].ID != first.ID {
		t.Errorf("%+v, %d, %v", page, next, err)
	}
	if since, err := e.service.PolicyChangesSince(ctx, e.caller, 1, 10); err != nil || len(since) != 1 || since[0].ID != second.ID {
		t.Errorf("%+v, %v", since, err)
	}

	preview, err := e.service.PreviewPolicy(ctx, e.caller, security.PolicyPatch{Undo: first.ID})
	if err != nil || !slices.Equal(preview.Again, []string{"audit.retention_days"}) || len(preview.Changes) != 3 || preview.Now.Version != 2 {
		t.Fatalf("%+v, %v", preview, err)
	}
	nonce := e.confirmsPolicy(t)
	if _, err := e.service.ChangePolicy(ctx, e.caller, nonce, security.PolicyPatch{Undo: first.ID, Expected: version(1)}); !secerr.Is(err, secerr.PreconditionFailed) {
		t.Errorf("undone over what was not seen: %v", err)
	}
	if _, err := e.service.ChangePolicy(ctx, e.caller, nonce, security.PolicyPatch{Undo: first.ID, Expected: version(2)}); err != nil {
		t.Fatal(err) // the nonce is good still
	}
	want := policy.Default()
	want.Passwords.History = 9
	if changes := policy.Diff(want, e.service.Policy()); changes != nil {
		t.Errorf("not as before: %v", changes)
	}
	history, _, err = e.service.PolicyHistory(ctx, e.caller, 0, 10)
	if err != nil || len(history) != 3 || history[0].Undoes != first.ID || history[0].Version != 3 {
		t.Fatalf("%+v, %v", history, err)
	}

	nonce = e.confirmsPolicy(t)
	for id, code := range map[int64]secerr.Code{first.ID: secerr.Conflict, 1: secerr.NotFound, 1 << 40: secerr.NotFound} {
		if _, err := e.service.ChangePolicy(ctx, e.caller, nonce, security.PolicyPatch{Undo: id}); !secerr.Is(err, code) {
			t.Errorf("event %d: %v", id, err)
		}
		if _, err := e.service.PreviewPolicy(ctx, e.caller, security.PolicyPatch{Undo: id}); !secerr.Is(err, code) {
			t.Errorf("event %d is previewed: %v", id, err)
		}
	}
	// What was undone is undone in turn.
	if _, err := e.service.ChangePolicy(ctx, e.caller, nonce, security.PolicyPatch{Undo: history[0].ID}); err != nil {
		t.Fatal(err)
	}
	if p := e.service.Policy(); p.Audit.RetentionDays != 40 || len(p.MFA.RequiredRoles) != 0 || p.Sessions.IdleSecs != 600 {
		t.Errorf("%+v", p)
	}
}

// TestANoticeIsNoChangeOfThePolicy: its events are of the same type and are not in
// the history, which goes on behind them, and cannot be undone.
func TestANoticeIsNoChangeOfThePolicy(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	e.patches(t, security.PolicyPatch{Patch: []byte(`{"audit":{"retention_days":30}}`)})
	e.patches(t, security.PolicyPatch{Patch: []byte(`{"audit":{"retention_days":40}}`)})
	for _, text := range []string{"Be kind.", ""} {
		if _, err := e.service.SetNotice(ctx, e.caller, text, nil); err != nil {
			t.Fatal(err)
		}
	}
	e.patches(t, security.PolicyPatch{Patch: []byte(`{"audit":{"retention_days":50}}`)})

	history, next, err := e.service.PolicyHistory(ctx, e.caller, 0, 2)
	if err != nil || len(history) != 2 || history[0].Version != 3 || history[1].Version != 2 || next != history[1].ID {
		t.Fatalf("%+v, %d, %v", history, next, err)
	}
	if since, err := e.service.PolicyChangesSince(ctx, e.caller, 1, 10); err != nil || len(since) != 2 {
		t.Errorf("%+v, %v", since, err)
	}
	notice := history[0].ID - 1
	for ; notice > history[1].ID; notice-- {
		if _, err := e.service.PreviewPolicy(ctx, e.caller, security.PolicyPatch{Undo: notice}); !secerr.Is(err, secerr.NotFound) {
			t.Errorf("event %d: %v", notice, err)
		}
	}
}

// TestUndoIsCheckedToo: an undo is held against the
// same rules.
func TestUndoIsCheckedToo(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	e.patches(t, security.PolicyPatch{Patch: []byte(`{"sessions":{"idle_secs":600}}`)})
	e.patches(t, security.PolicyPatch{Patch: []byte(`{"sessions":{"absolute_secs":900}}`)})
	history, _, err := e.service.PolicyHistory(ctx, e.caller, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.service.ChangePolicy(ctx, e.caller, e.confirmsPolicy(t), security.PolicyPatch{Undo: history[1].ID})
	if fields := secerr.FieldsOf(err); !secerr.Is(err, secerr.ValidationFailed) || len(fields) != 1 || fields[0].Field != "sessions.idle_secs" {
		t.Errorf("%v", err)
	}
}

// TestErasedPersonStaysInTheHistory as one, and the change can be undone still.
func TestErasedPersonStaysInTheHistory(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	e.patches(t, security.PolicyPatch{Patch: []byte(`{"mfa":{"required_roles":["admin","operator"]},"lockout":{"lock_after":20}}`)})
	if _, _, err := e.service.AddUser(ctx, "bob@example.org", "admin", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in, err := e.service.Login(ctx, security.Request{}, "api", "bob@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	bob := identify(t, e.service, in)
	nonce, err := e.service.Nonce(ctx, bob, "users.delete", security.Proof{Password: secret.NewText(pw)})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.service.DeleteUser(ctx, bob, nonce, e.caller.User.ID, true); err != nil {
		t.Fatal(err)
	}
	history, _, err := e.service.PolicyHistory(ctx, e.caller, 0, 10)
	if err != nil || len(history) != 1 || !history[0].Erased || history[0].Email != "" || len(history[0].Changes) != 2 {
		t.Fatalf("%+v, %v", history, err)
	}
	if nonce, err = e.service.Nonce(ctx, bob, "policies.write", security.Proof{Password: secret.NewText(pw)}); err != nil {
		t.Fatal(err)
	}
	if stored, err := e.service.ChangePolicy(ctx, bob, nonce, security.PolicyPatch{Undo: history[0].ID}); err != nil || policy.Diff(policy.Default(), stored.Policy) != nil {
		t.Errorf("%+v, %v", stored, err)
	}
}

// TestWhoLacksAFactorIsTold before they demand one of themselves.
func TestWhoLacksAFactorIsTold(t *testing.T) {
	e := enrol(t, "admin")
	e.patches(t, security.PolicyPatch{Patch: []byte(`{"mfa":{"required_roles":[]}}`)})
	if _, _, err := e.service.AddUser(context.Background(), "bob@example.org", "admin", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in, err := e.service.Login(context.Background(), security.Request{}, "api", "bob@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	for who, effects := range map[string]int{"ada": 1, "bob": 2} {
		c := e.caller
		if who == "bob" {
			c = identify(t, e.service, in)
		}
		preview, err := e.service.PreviewPolicy(context.Background(), c, security.PolicyPatch{Patch: []byte(`{"mfa":null}`)})
		if err != nil || len(preview.Effects) != effects {
			t.Errorf("%s is told %q, %v", who, preview.Effects, err)
		}
	}
}

// TestOneOfManyChangesOfOneVersion: of those who all have seen the same policy one
// changes it, and the others change nothing.
func TestOneOfManyChangesOfOneVersion(t *testing.T) {
	e := enrol(t, "admin")
	_, token, err := e.service.CreateKey(context.Background(), e.caller, security.KeyRequest{Name: "x", Scopes: []string{"policies:*"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.service.IdentifyBearer(context.Background(), security.Request{Route: "test", Change: true}, token)
	if err != nil {
		t.Fatal(err)
	}
	errs := together(func(i int) error {
		nonce, err := e.service.Nonce(context.Background(), c, "policies.write", security.Proof{})
		if err != nil {
			return err
		}
		_, err = e.service.ChangePolicy(context.Background(), c, nonce, security.PolicyPatch{
			Patch: []byte([]string{`{"audit":{"retention_days":7}}`, `{"audit":{"retention_days":8}}`}[i%2]), Expected: version(0)})
		return err
	})
	one(t, errs, secerr.PreconditionFailed)
	if stored := e.service.StoredPolicy(); stored.Version != 1 {
		t.Errorf("the version is %d", stored.Version)
	}
}
