package security_test

import (
	"context"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// TestTwoAdminsWhoShutEachOtherOut: at once, over and over; one stays.
func TestTwoAdminsWhoShutEachOtherOut(t *testing.T) {
	ctx := context.Background()
	for range 5 {
		e := enrol(t, "admin")
		if _, _, err := e.service.AddUser(ctx, "ben@example.org", "admin", secret.NewText(pw)); err != nil {
			t.Fatal(err)
		}
		in, err := e.service.Login(ctx, security.Request{}, session.API, "ben@example.org", secret.NewText(pw))
		if err != nil {
			t.Fatal(err)
		}
		admins := []security.Caller{e.caller, identify(t, e.service, in)}
		for _, err := range together(func(i int) error {
			_, err := e.service.UpdateUser(ctx, admins[i%2], secret.Text{}, admins[(i+1)%2].User.ID, security.UserPatch{Enabled: new(bool)})
			return err
		}) {
			if err != nil && !secerr.Is(err, secerr.Conflict) && !secerr.Is(err, secerr.TokenRevoked) {
				t.Errorf("%v", err)
			}
		}
		left := 0
		users, _, err := e.service.Users(ctx, "", "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			if u.Enabled {
				left++
			}
		}
		if left != 1 {
			t.Fatalf("%d admins are left", left)
		}
	}
}
