package security

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/pquerna/otp/totp"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/password"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// TestEnrollmentWhileAPasswordIsChecked: a second factor that is enrolled while
// the hash of a sign-in is computed counts for that sign-in.
func TestEnrollmentWhileAPasswordIsChecked(t *testing.T) {
	ctx := context.Background()
	s, err := Open(ctx, Options{DataDir: filepath.Join(t.TempDir(), "data"), PublicURL: &url.URL{Scheme: "http", Host: "localhost"},
		Hashing: password.Options{Params: password.Params{Memory: 8, Iterations: 1, Parallelism: 1}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	pw := secret.NewText("plover kettle armistice 9")
	if _, _, err := s.AddUser(ctx, "ann@example.org", "user", pw); err != nil {
		t.Fatal(err)
	}
	in, err := s.Login(ctx, Request{}, session.API, "ann@example.org", pw)
	if err != nil {
		t.Fatal(err)
	}
	before, err := user.ByID(s.db.Read(ctx), in.User.ID) // what a sign-in under way has read
	if err != nil {
		t.Fatal(err)
	}
	c := Caller{User: in.User, Session: in.Session}
	begun, err := s.BeginTOTP(ctx, c, "")
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(begun.Secret.Reveal(), s.now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.VerifyTOTP(ctx, c, code); err != nil {
		t.Fatal(err)
	}
	var late SignIn
	err = s.db.Write(ctx, func(tx *db.Tx) (err error) {
		late, err = s.beginSession(tx, Request{}, session.API, before)
		return err
	})
	if err != nil || !late.SecondFactorAwaited() {
		t.Errorf("the sign-in is at %q, %v", late.Session.Stage, err)
	}
	if _, err := s.MFA(ctx, c); err != nil {
		t.Error(err)
	}
}
