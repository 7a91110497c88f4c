package security_test

import (
	"context"
	"fmt"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/savedview"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// TestSavedViewsAreBounded: also by many at once, and each has a name of its own.
func TestSavedViewsAreBounded(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	for i := range savedview.MaxPerUser / 2 {
		if _, err := e.service.SaveView(ctx, e.caller, fmt.Sprintf("Before %d", i), "severity=critical"); err != nil {
			t.Fatal(err)
		}
	}
	saved, refused := savedview.MaxPerUser/2, 0
	for _, err := range together(func(i int) error {
		_, err := e.service.SaveView(ctx, e.caller, fmt.Sprintf("View %d", i), "severity=critical")
		return err
	}) {
		switch {
		case err == nil:
			saved++
		case secerr.Is(err, secerr.Conflict):
			refused++
		default:
			t.Error(err)
		}
	}
	views, err := e.service.SavedViews(ctx, e.caller)
	if err != nil || saved != savedview.MaxPerUser || refused != callers-savedview.MaxPerUser/2 || len(views) != saved {
		t.Fatalf("%d saved, %d refused, %d there, %v", saved, refused, len(views), err)
	}
	for _, v := range views {
		if err := e.service.DeleteView(ctx, e.caller, v.ID); err != nil {
			t.Error(err)
		}
	}
	for _, err := range together(func(int) error {
		_, err := e.service.SaveView(ctx, e.caller, "One", "severity=critical")
		return err
	}) {
		if err != nil && !secerr.Is(err, secerr.Conflict) {
			t.Error(err)
		}
	}
	if views, err = e.service.SavedViews(ctx, e.caller); err != nil || len(views) != 1 {
		t.Errorf("%+v, %v", views, err)
	}
}

// TestSavedViewsGoWithTheirUser: nothing of a person who is deleted stays behind but
// their events.
func TestSavedViewsGoWithTheirUser(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	if _, _, err := e.service.AddUser(ctx, "uma@example.org", "viewer", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in, err := e.service.Login(ctx, security.Request{}, session.API, "uma@example.org", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	uma := identify(t, e.service, in)
	if _, err := e.service.SaveView(ctx, uma, "Guesses", "success=false"); err != nil {
		t.Fatal(err)
	}
	nonce, err := e.service.Nonce(ctx, e.caller, "users.delete", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.service.DeleteUser(ctx, e.caller, nonce, uma.User.ID, false); err != nil {
		t.Fatal(err)
	}
	if views, err := e.service.SavedViews(ctx, uma); err != nil || len(views) != 0 {
		t.Errorf("%+v, %v", views, err)
	}
}
