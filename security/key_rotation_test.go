package security_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
)

// works holds a secret against a server: want is the code of the refusal, or
// empty where there is none.
func works(t *testing.T, s *security.Service, what string, token secret.Text, want secerr.Code) {
	t.Helper()
	_, err := s.IdentifyBearer(context.Background(), security.Request{Route: "GET /x"}, token)
	if want == "" && err != nil || want != "" && !secerr.Is(err, want) {
		t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func (e *enrolled) newKey(t *testing.T, scopes ...string) (apikey.Key, secret.Text) {
	t.Helper()
	key, token, err := e.service.CreateKey(context.Background(), e.caller, security.KeyRequest{Name: "x", Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	return key, token
}

func (e *enrolled) rotate(t *testing.T, s *security.Service, id string, overlap time.Duration) secret.Text {
	t.Helper()
	key, token, err := s.RotateKey(context.Background(), e.caller, security.Rotation{KeyID: id, OverlapSecs: int64(overlap / time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	if key.ID != id || key.KeyPrefix != token.Reveal()[:len(key.KeyPrefix)] {
		t.Fatalf("the key is %+v", key)
	}
	return token
}

// oldSecrets counts the rows of secrets that are out of use.
func (e *enrolled) oldSecrets(t *testing.T) (n int) {
	t.Helper()
	if err := e.outside(t).QueryRow("SELECT COUNT(*) FROM api_key_old_secrets").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRotationCountsEverywhereAtOnce: also in a server beside, which has the
// secret in its memory; and the overlap ends there as exactly.
func TestRotationCountsEverywhereAtOnce(t *testing.T) {
	e := enrol(t, "admin")
	other := securitytest.Beside(t, e.clock, e.dataDir)
	key, first := e.newKey(t, "audit:read")
	both := func(what string, token secret.Text, want secerr.Code) {
		t.Helper()
		works(t, e.service, what+", here", token, want)
		works(t, other, what+", beside", token, want)
	}
	both("the first secret", first, "")
	second := e.rotate(t, other, key.ID, time.Hour)
	both("the first secret in its overlap", first, "")
	both("the second secret", second, "")
	e.clock.Advance(time.Hour - time.Microsecond)
	both("the first secret at the end of its overlap", first, "")
	e.clock.Advance(time.Microsecond)
	both("the first secret after its overlap", first, secerr.Unauthenticated)
	both("the second secret after the overlap", second, "")
	third := e.rotate(t, e.service, key.ID, 0)
	both("the second secret without an overlap", second, secerr.Unauthenticated)
	both("the third secret", third, "")
}

// TestARotationBoundsThoseBeforeIt: secrets from before end with the overlap of
// the last rotation, and only so many work at once.
func TestARotationBoundsThoseBeforeIt(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	key, first := e.newKey(t, "audit:read")
	second := e.rotate(t, e.service, key.ID, 24*time.Hour)
	e.rotate(t, e.service, key.ID, time.Hour)
	works(t, e.service, "the first secret", first, "")
	e.clock.Advance(time.Hour)
	works(t, e.service, "the first secret, which was to end in a day", first, secerr.Unauthenticated)
	works(t, e.service, "the second secret", second, secerr.Unauthenticated)

	for range apikey.MaxOldSecrets {
		e.rotate(t, e.service, key.ID, time.Hour)
	}
	_, _, err := e.service.RotateKey(ctx, e.caller, security.Rotation{KeyID: key.ID, OverlapSecs: 60})
	if !secerr.Is(err, secerr.Conflict) {
		t.Errorf("one old secret too many: %v", err)
	}
	e.rotate(t, e.service, key.ID, 0)
	if n := e.oldSecrets(t); n != 0 {
		t.Errorf("%d old secrets after a rotation without an overlap", n)
	}
}

// TestOldSecretsEndWithTheirKey: when it is revoked, deleted or has expired, and
// when its owner goes. What is over is removed.
func TestOldSecretsEndWithTheirKey(t *testing.T) {
	ctx := context.Background()
	for name, end := range map[string]struct {
		do   func(e *enrolled, id string) error
		left int
	}{
		"revoked": {func(e *enrolled, id string) error { return e.service.RevokeKey(ctx, e.caller, id) }, 0},
		"deleted": {func(e *enrolled, id string) error { return e.service.DeleteKey(ctx, e.caller, id) }, 0},
		"expired": {func(e *enrolled, _ string) error { e.clock.Advance(24 * time.Hour); return nil }, 1},
		"over": {func(e *enrolled, id string) error {
			e.clock.Advance(7 * 24 * time.Hour)
			return e.service.Sweep(ctx)
		}, 0},
		"owner disabled": {func(e *enrolled, _ string) error {
			if _, _, err := e.service.AddUser(ctx, "eve@example.org", "admin", secret.NewText(pw)); err != nil {
				return err
			}
			return e.service.DisableUser(ctx, email)
		}, 1},
		"owner deleted": {func(e *enrolled, _ string) error {
			if _, _, err := e.service.AddUser(ctx, "eve@example.org", "admin", secret.NewText(pw)); err != nil {
				return err
			}
			nonce, err := e.service.Nonce(ctx, e.caller, "users.delete", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
			if err != nil {
				return err
			}
			return e.service.DeleteUser(ctx, e.caller, nonce, e.caller.User.ID, false)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := enrol(t, "admin")
			day := int64(1)
			key, first, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}, ExpiresInDays: &day})
			if err != nil {
				t.Fatal(err)
			}
			second := e.rotate(t, e.service, key.ID, 7*24*time.Hour)
			works(t, e.service, "the first secret", first, "")
			if err := end.do(e, key.ID); err != nil {
				t.Fatal(err)
			}
			works(t, e.service, "the first secret", first, secerr.Unauthenticated)
			works(t, e.service, "the second secret", second, secerr.Unauthenticated)
			if n := e.oldSecrets(t); n != end.left {
				t.Errorf("%d old secrets are kept, want %d", n, end.left)
			}
		})
	}
}

// TestAnOldSecretChangesNothingAfterItsEnd: nor in a request that was let in
// before the rotation.
func TestAnOldSecretChangesNothingAfterItsEnd(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	key, first := e.newKey(t, "ip_blocks:write")
	caller, err := e.service.IdentifyBearer(ctx, security.Request{}, first)
	if err != nil {
		t.Fatal(err)
	}
	block := func(network string) error {
		_, err := e.service.BlockIP(ctx, caller, security.BlockRequest{Network: network, Duration: time.Hour})
		return err
	}
	e.rotate(t, e.service, key.ID, time.Hour)
	if err := block("203.0.113.7"); err != nil {
		t.Errorf("in the overlap: %v", err)
	}
	e.rotate(t, e.service, key.ID, 0)
	if err := block("203.0.113.8"); !secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("after it: %v", err)
	}
}

// TestManyRotationsOfOneKey: of fifty at once each is done after another, and
// only the secret of the last works.
func TestManyRotationsOfOneKey(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	key, first := e.newKey(t, "audit:read")
	const rotations = 50
	secrets := make([]secret.Text, rotations)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range rotations {
		wg.Go(func() {
			<-start
			_, token, err := e.service.RotateKey(ctx, e.caller, security.Rotation{KeyID: key.ID})
			if err != nil {
				t.Error(err)
			}
			secrets[i] = token
		})
	}
	close(start)
	wg.Wait()
	works(t, e.service, "the first secret", first, secerr.Unauthenticated)
	last, err := e.service.Key(ctx, e.caller, key.ID)
	if err != nil {
		t.Fatal(err)
	}
	good := 0
	for _, token := range secrets {
		if _, err := e.service.IdentifyBearer(ctx, security.Request{}, token); err == nil {
			good++
			if token.Reveal()[:len(last.KeyPrefix)] != last.KeyPrefix {
				t.Error("the secret that works is not that of the key")
			}
		}
	}
	if good != 1 {
		t.Errorf("%d of %d secrets work", good, rotations)
	}
	if n := e.events(t, audit.KeyRotate, true); n != rotations {
		t.Errorf("%d events", n)
	}
}

// TestRotatingAKeyForEverythingNeedsAProof: as making it does, or a stolen
// session would get such a key without one.
func TestRotatingAKeyForEverythingNeedsAProof(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	nonce := func(i int) secret.Text {
		t.Helper()
		n, err := e.service.Nonce(ctx, e.caller, "api_key.all_scopes", security.Proof{Password: secret.NewText(pw), Code: e.backup[i].Reveal()})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	day := int64(1)
	key, _, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"*:*"}, ExpiresInDays: &day,
		Networks: []string{"192.0.2.0/24"}, Nonce: nonce(0)})
	if err != nil {
		t.Fatal(err)
	}
	r := security.Rotation{KeyID: key.ID}
	if _, _, err := e.service.RotateKey(ctx, e.caller, r); !secerr.Is(err, secerr.NonceRequired) {
		t.Errorf("without a proof: %v", err)
	}
	r.Nonce = nonce(1)
	if _, _, err := e.service.RotateKey(ctx, e.caller, r); err != nil {
		t.Errorf("with a proof: %v", err)
	}
}
