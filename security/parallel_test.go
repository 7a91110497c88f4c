package security_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/mail"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

const callers = 20

// together runs do from many goroutines at once and returns what each got.
func together(do func(i int) error) []error {
	errs := make([]error, callers)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wg.Wait()
	return errs
}

// one checks that exactly one caller succeeded and that every other was
// refused with the code.
func one(t *testing.T, errs []error, refusal secerr.Code) {
	t.Helper()
	good := 0
	for _, err := range errs {
		switch {
		case err == nil:
			good++
		case !secerr.Is(err, refusal):
			t.Errorf("refused with %v, not %s", err, refusal)
		}
	}
	if good != 1 {
		t.Errorf("%d of %d succeeded, want one", good, len(errs))
	}
}

// enrolled is a user with a second factor, signed in through the API.
type enrolled struct {
	service *security.Service
	clock   *securitytest.Clock
	dataDir string
	caller  security.Caller
	secret  string
	backup  []secret.Text
}

const (
	email = "ada@example.org"
	pw    = securitytest.GoodPassword
)

func enrol(t testing.TB, role string) *enrolled {
	t.Helper()
	ctx := context.Background()
	e := &enrolled{clock: securitytest.NewClock()}
	// With mail, so that what is posted is a part of every change.
	e.service, e.dataDir = securitytest.OpenWithMail(t, e.clock, mailerFunc(func(context.Context, mail.Message) error { return nil }))
	if _, _, err := e.service.AddUser(ctx, email, role, secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	c := identify(t, e.service, login(t, e.service))
	begun, err := e.service.BeginTOTP(ctx, c, "")
	if err != nil {
		t.Fatal(err)
	}
	e.secret = begun.Secret.Reveal()
	done, err := e.service.VerifyTOTP(ctx, c, e.code(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	e.backup, e.caller = done.BackupCodes, identify(t, e.service, done.SignIn)
	return e
}

func (e *enrolled) code(t testing.TB, later time.Duration) string {
	t.Helper()
	code, err := totp.GenerateCode(e.secret, e.clock.Now().Add(later))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func login(t testing.TB, s *security.Service) security.SignIn {
	t.Helper()
	in, err := s.Login(context.Background(), security.Request{}, session.API, email, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func identify(t testing.TB, s *security.Service, in security.SignIn) security.Caller {
	t.Helper()
	tokens, err := s.Tokens(in)
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.IdentifyBearer(context.Background(), security.Request{}, tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// events counts the events of a type and outcome.
func (e *enrolled) events(t *testing.T, kind audit.Type, success bool) int {
	t.Helper()
	list, _, err := e.service.Events(context.Background(), e.caller, audit.Filter{Type: kind, Success: &success, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestOneTOTPCodeForManySignIns(t *testing.T) {
	e := enrol(t, "admin")
	code := e.code(t, 30*time.Second)
	pending := make([]security.SignIn, callers)
	for i := range pending {
		pending[i] = login(t, e.service)
	}
	// The budget of wrong codes is smaller than the crowd: later ones may be
	// told to wait, so they are counted as refused as well.
	errs := together(func(i int) error {
		_, err := e.service.SecondFactor(context.Background(), security.Request{}, session.API, pending[i].Secret, mfa.TOTP, code)
		if secerr.Is(err, secerr.RateLimited) {
			err = secerr.New(secerr.InvalidCode, "")
		}
		return err
	})
	one(t, errs, secerr.InvalidCode)
	if n := e.events(t, audit.MFAVerify, true); n != 1 {
		t.Errorf("%d events of success", n)
	}
}

func TestOneBackupCodeForManySignIns(t *testing.T) {
	e := enrol(t, "admin")
	pending := make([]security.SignIn, callers)
	for i := range pending {
		pending[i] = login(t, e.service)
	}
	errs := together(func(i int) error {
		_, err := e.service.SecondFactor(context.Background(), security.Request{}, session.API, pending[i].Secret,
			mfa.BackupCode, strings.ToUpper(e.backup[3].Reveal()))
		if secerr.Is(err, secerr.RateLimited) {
			err = secerr.New(secerr.InvalidCode, "")
		}
		return err
	})
	one(t, errs, secerr.InvalidCode)
	state, err := e.service.MFA(context.Background(), e.caller)
	if err != nil || state.BackupCodesLeft != 9 {
		t.Errorf("%d backup codes are left, %v", state.BackupCodesLeft, err)
	}
}

func TestCodeBudgetIsExactUnderParallelGuesses(t *testing.T) {
	e := enrol(t, "admin")
	in := login(t, e.service)
	errs := together(func(int) error {
		_, err := e.service.SecondFactor(context.Background(), security.Request{}, session.API, in.Secret, mfa.TOTP, "no code")
		return err
	})
	tried := 0
	for _, err := range errs {
		if secerr.Is(err, secerr.InvalidCode) {
			tried++
		}
	}
	if want := int(e.service.Policy().Lockout.CodeAttempts); tried != want {
		t.Errorf("%d guesses were tried, the budget is %d", tried, want)
	}
}

func TestOnePendingSignInForManyCodes(t *testing.T) {
	e := enrol(t, "admin")
	in := login(t, e.service)
	errs := together(func(i int) error {
		_, err := e.service.SecondFactor(context.Background(), security.Request{}, session.API, in.Secret, mfa.BackupCode, e.backup[i%10].Reveal())
		return err
	})
	one(t, errs, secerr.Unauthenticated)
}

// TestOneChildOfARefreshToken: of twenty who use one token at once, one gets a
// child; the others show that it is in two hands, so the session ends for all.
func TestOneChildOfARefreshToken(t *testing.T) {
	clock := securitytest.NewClock()
	s, _ := securitytest.Open(t, clock)
	if _, _, err := s.AddUser(context.Background(), email, "viewer", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	in := login(t, s)
	children := make([]security.SignIn, callers)
	errs := together(func(i int) (err error) {
		children[i], err = s.Refresh(context.Background(), security.Request{}, in.Secret)
		return err
	})
	one(t, errs, secerr.TokenRevoked)
	for i, err := range errs {
		if err != nil {
			continue
		}
		if _, err := s.Refresh(context.Background(), security.Request{}, children[i].Secret); !secerr.Is(err, secerr.TokenRevoked) {
			t.Errorf("the child lives on: %v", err)
		}
	}
}

func TestOneNonceForManyChanges(t *testing.T) {
	e := enrol(t, "admin")
	nonce, err := e.service.Nonce(context.Background(), e.caller, "policies.write",
		security.Proof{Password: secret.NewText(pw), Code: e.code(t, 30*time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	errs := together(func(int) error {
		_, err := e.service.ChangePolicy(context.Background(), e.caller, nonce, security.PolicyPatch{Patch: []byte(`{"audit":{"retention_days":30}}`)})
		return err
	})
	one(t, errs, secerr.NonceInvalid)
	if n := e.events(t, audit.PolicyChange, true); n != 1 {
		t.Errorf("%d events for one change", n)
	}
}

// TestParallelPolicyChangesAllCount: each change builds on what the one before
// it committed, and what is in force is the newest.
func TestParallelPolicyChangesAllCount(t *testing.T) {
	e := enrol(t, "admin")
	key, token, err := e.service.CreateKey(context.Background(), e.caller, security.KeyRequest{Name: "ops", Scopes: []string{"policies:*"}})
	if err != nil {
		t.Fatal(err)
	}
	c, err := e.service.IdentifyBearer(context.Background(), security.Request{Route: "test", Change: true}, token)
	if err != nil {
		t.Fatal(err)
	}
	settings := []string{`{"audit":{"retention_days":7}}`, `{"sessions":{"idle_secs":600}}`, `{"passwords":{"history":9}}`, `{"lockout":{"lock_after":20}}`}
	errs := together(func(i int) error {
		nonce, err := e.service.Nonce(context.Background(), c, "policies.write", security.Proof{})
		if err != nil {
			return err
		}
		_, err = e.service.ChangePolicy(context.Background(), c, nonce, security.PolicyPatch{Patch: []byte(settings[i%len(settings)])})
		return err
	})
	for _, err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	p := e.service.Policy()
	if p.Audit.RetentionDays != 7 || p.Sessions.IdleSecs != 600 || p.Passwords.History != 9 || p.Lockout.LockAfter != 20 {
		t.Errorf("a change was lost: %+v", p)
	}
	if n := e.events(t, audit.PolicyChange, true); n != len(settings) { // the others ask for what is so already
		t.Errorf("%d events for %d changes of key %s", n, len(settings), key.ID)
	}
}

func TestOneFirstAdmin(t *testing.T) {
	s, _ := securitytest.Open(t, securitytest.NewClock())
	link, err := s.FirstRun(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(link, "token=")
	errs := together(func(i int) error {
		_, err := s.Setup(context.Background(), security.Request{}, secret.NewText(token),
			string(rune('a'+i))+"@example.org", secret.NewText(pw))
		return err
	})
	one(t, errs, secerr.NotFound)
	users, _, err := s.Users(context.Background(), security.Caller{User: user.User{Role: "admin"}}, user.Filter{Limit: 50})
	if err != nil || len(users) != 1 {
		t.Errorf("%d users, %v", len(users), err)
	}
}

func TestOnePasswordForOneLink(t *testing.T) {
	s, _ := securitytest.Open(t, securitytest.NewClock())
	_, link, err := s.AddUser(context.Background(), email, "user", secret.Text{})
	if err != nil {
		t.Fatal(err)
	}
	_, token, _ := strings.Cut(link, "token=")
	errs := together(func(i int) error {
		return s.SetPasswordByLink(context.Background(), security.Request{}, secret.NewText(token), secret.NewText(pw+strings.Repeat("x", i)))
	})
	one(t, errs, secerr.NotFound)
}

func TestOneUserForOneAddress(t *testing.T) {
	s, _ := securitytest.Open(t, securitytest.NewClock())
	errs := together(func(i int) error {
		address := email
		if i%2 == 1 {
			address = " ADA@Example.ORG "
		}
		_, _, err := s.AddUser(context.Background(), address, "user", secret.Text{})
		return err
	})
	one(t, errs, secerr.Conflict)
}

// TestOneSetOfBackupCodes: of twenty who finish one enrollment with one code,
// one is shown codes, and those are the ones that count.
func TestOneSetOfBackupCodes(t *testing.T) {
	ctx := context.Background()
	clock := securitytest.NewClock()
	s, _ := securitytest.Open(t, clock)
	if _, _, err := s.AddUser(ctx, email, "user", secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
	c := identify(t, s, login(t, s))
	begun, err := s.BeginTOTP(ctx, c, "")
	if err != nil {
		t.Fatal(err)
	}
	code, err := totp.GenerateCode(begun.Secret.Reveal(), clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	done := make([]security.Enrolled, callers)
	errs := together(func(i int) (err error) {
		done[i], err = s.VerifyTOTP(ctx, c, code)
		return err
	})
	one(t, errs, secerr.TokenRevoked)
	for i, err := range errs {
		if err != nil {
			continue
		}
		_, err := s.SecondFactor(ctx, security.Request{}, session.API, login(t, s).Secret, mfa.BackupCode, done[i].BackupCodes[0].Reveal())
		if err != nil {
			t.Errorf("the codes that were shown do not count: %v", err)
		}
	}
}

func TestOneRevocationEvent(t *testing.T) {
	e := enrol(t, "admin")
	key, token, err := e.service.CreateKey(context.Background(), e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range together(func(int) error { return e.service.RevokeKey(context.Background(), e.caller, key.ID) }) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := e.events(t, audit.APIKeyRevoke, true); n != 1 {
		t.Errorf("%d events for one revocation", n)
	}
	if _, err := e.service.IdentifyBearer(context.Background(), security.Request{}, token); !secerr.Is(err, secerr.Unauthenticated) {
		t.Errorf("the revoked key is an identity: %v", err)
	}
}
