package security_test

import (
	"context"
	"strings"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/notice"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

func (e *enrolled) setNotice(t *testing.T, text string) notice.Notice {
	t.Helper()
	set, err := e.service.SetNotice(context.Background(), e.caller, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestEverybodyIsAskedForEachNotice, in every server over the same database and at
// once, and nobody any more when it is taken away.
func TestEverybodyIsAskedForEachNotice(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	other := securitytest.Beside(t, e.clock, e.dataDir)
	_, key, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	in := login(t, e.service)
	if in, err = e.service.SecondFactor(ctx, security.Request{}, session.API, in.Secret, "backup_code", e.backup[0].Reveal()); err != nil {
		t.Fatal(err)
	}
	tokens, err := e.service.Tokens(in)
	if err != nil {
		t.Fatal(err)
	}
	asked := func(want bool, when string) {
		t.Helper()
		for name, s := range map[string]*security.Service{"the server": e.service, "another": other} {
			c, err := s.IdentifyBearer(ctx, security.Request{}, tokens.Access)
			if err != nil || c.ConsentRequired != want {
				t.Errorf("%s, %s: asked %t, %v", when, name, c.ConsentRequired, err)
			}
			if c, err = s.IdentifyBearer(ctx, security.Request{}, key); err != nil || c.ConsentRequired {
				t.Errorf("%s, %s: a key is asked, %v", when, name, err)
			}
		}
	}
	asked(false, "at first")
	first := e.setNotice(t, "Be kind.")
	asked(true, "with a notice")
	if err := other.AcceptNotice(ctx, e.caller, first.Version); err != nil {
		t.Fatal(err)
	}
	asked(false, "who agreed")
	e.setNotice(t, " Be kind.\n")
	asked(false, "with the same text")
	e.setNotice(t, "Be kinder.")
	asked(true, "with another")
	if n := e.setNotice(t, ""); n.Version != 0 {
		t.Errorf("a notice that was taken away has the version %d", n.Version)
	}
	asked(false, "without one")
	again := e.setNotice(t, "Be kind.")
	asked(true, "with the first text once more")
	if again.Version != 4 {
		t.Errorf("the version is %d", again.Version)
	}
	if _, people, err := e.service.CountConsents(ctx, again.Version); err != nil || people != 1 {
		t.Errorf("%d people, %v", people, err)
	}
}

// TestOneConsentForManyClicks: each is told that it is done, and it is one event.
func TestOneConsentForManyClicks(t *testing.T) {
	e := enrol(t, "admin")
	n := e.setNotice(t, "Be kind.")
	for _, err := range together(func(int) error { return e.service.AcceptNotice(context.Background(), e.caller, n.Version) }) {
		if err != nil {
			t.Error(err)
		}
	}
	if n := e.events(t, audit.Consent, true); n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestNobodyAgreesToWhatTheyDidNotRead: while the notice changes, whoever agrees to
// the old one is either in time or told so.
func TestNobodyAgreesToWhatTheyDidNotRead(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	n := e.setNotice(t, "Be kind.")
	for i, err := range together(func(i int) error {
		if i == 0 {
			_, err := e.service.SetNotice(ctx, e.caller, "Be kinder.", nil)
			return err
		}
		return e.service.AcceptNotice(ctx, e.caller, n.Version)
	}) {
		if err != nil && (i == 0 || !secerr.Is(err, secerr.Conflict)) {
			t.Error(err)
		}
	}
	if _, acceptedAt, err := e.service.Notice(ctx, e.caller); err != nil || acceptedAt != nil {
		t.Errorf("the new one is accepted at %v, %v", acceptedAt, err)
	}
	for _, version := range []int64{0, -1, n.Version, n.Version + 2} {
		if err := e.service.AcceptNotice(ctx, e.caller, version); !secerr.Is(err, secerr.Conflict) {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// TestConsentsGoWithTheirUser; the events of them stay.
func TestConsentsGoWithTheirUser(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	u, _, err := e.service.AddUser(ctx, "vera@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	in, err := e.service.Login(ctx, security.Request{}, session.API, u.Email, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	n := e.setNotice(t, "Be kind.")
	if err := e.service.AcceptNotice(ctx, identify(t, e.service, in), n.Version); err != nil {
		t.Fatal(err)
	}
	if accepted, people, err := e.service.CountConsents(ctx, n.Version); err != nil || accepted != 1 || people != 2 {
		t.Errorf("%d of %d, %v", accepted, people, err)
	}
	nonce, err := e.service.Nonce(ctx, e.caller, "users.delete", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.service.DeleteUser(ctx, e.caller, nonce, u.ID, false); err != nil {
		t.Fatal(err)
	}
	if accepted, people, err := e.service.CountConsents(ctx, n.Version); err != nil || accepted != 0 || people != 1 {
		t.Errorf("afterwards %d of %d, %v", accepted, people, err)
	}
	if n := e.events(t, audit.Consent, true); n != 1 {
		t.Errorf("%d events", n)
	}
}

// TestTextsOfNotices: what is kept of them, and what is refused.
func TestTextsOfNotices(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " \r\n\t": "", "a\r\n\r\nb\rc\n": "a\n\nb\nc", "Grüße, 日本語, می\u200cخواهم 👨\u200d👩": "Grüße, 日本語, می\u200cخواهم 👨\u200d👩",
		strings.Repeat("ä", notice.MaxLength): strings.Repeat("ä", notice.MaxLength),
	} {
		if got, err := notice.Check(text); err != nil || got != want {
			t.Errorf("%.40q becomes %.40q, %v", text, got, err)
		}
	}
	for _, text := range []string{strings.Repeat("ä", notice.MaxLength+1), "a\x00b", "a\x1b[31m", "a\u202eb", "a\u2066b"} {
		if _, err := notice.Check(text); !secerr.Is(err, secerr.ValidationFailed) {
			t.Errorf("%.20q is taken, %v", text, err)
		}
	}
}
