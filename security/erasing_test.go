package security_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/export"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// What tells of the person who is to be erased: nothing else has these bytes.
const (
	erasedEmail   = "zelda.quintessence@example.org"
	erasedAddress = "198.51.100.213"
	erasedAgent   = "Wanderlust/7.31 (Nonesuch)"
)

// zelda is somebody with a past: events of her own, of strangers under her address,
// and of an admin about her.
func zelda(t *testing.T, e *enrolled, events int) (id string, nonce secret.Text) {
	t.Helper()
	ctx := context.Background()
	u, _, err := e.service.AddUser(ctx, erasedEmail, "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	from := security.Request{IP: netip.MustParseAddr(erasedAddress), UserAgent: erasedAgent, Route: "POST /api/v1/auth/login"}
	for _, password := range []string{"wrong", pw, pw} {
		_, _ = e.service.Login(ctx, from, session.API, erasedEmail, secret.NewText(password)) // failing is a part of it
	}
	if err := e.service.Unlock(ctx, e.caller, u.ID); err != nil {
		t.Fatal(err)
	}
	zeldasKey(t, e, from)
	err = e.service.AppendEvents(ctx, events, func(i int) audit.Event {
		event := audit.Event{Type: audit.LoginAttempt, Actor: audit.Actor{UserID: u.ID, Email: erasedEmail, IPAddress: erasedAddress, UserAgent: erasedAgent},
			Details: audit.Details{"reason": "wrong_password", "device": erasedAgent}}
		switch i % 5 {
		case 4: // herself, when she had another account
			event.Actor.UserID = "019b7cb1-cc8e-7436-819e-000000000000"
		case 1: // a stranger
			event.Actor.UserID = ""
		case 2: // about her
			event.Actor = audit.Actor{UserID: e.caller.User.ID, Email: email, IPAddress: "192.0.2.1"}
			event.Details = audit.Details{"target_user_id": u.ID, "target_email": erasedEmail, "role": "user"}
		case 3: // of others, but for a word
			event.Actor = audit.Actor{UserID: e.caller.User.ID, Email: email, IPAddress: "192.0.2.1"}
			event.Details = audit.Details{"q": "find " + erasedEmail}
		}
		return event
	})
	if err != nil {
		t.Fatal(err)
	}
	nonce, err = e.service.Nonce(ctx, e.caller, "users.delete", security.Proof{Password: secret.NewText(pw), Code: e.backup[0].Reveal()})
	if err != nil {
		t.Fatal(err)
	}
	return u.ID, nonce
}

// zeldasKey makes an API key that is called and bound by what tells of her, and
// changes both.
func zeldasKey(t *testing.T, e *enrolled, from security.Request) {
	t.Helper()
	ctx := context.Background()
	in, err := e.service.Login(ctx, from, session.Browser, erasedEmail, secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	her, err := e.service.IdentifyCookie(ctx, from, in.Secret)
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := e.service.CreateKey(ctx, her, security.KeyRequest{Name: "quintessence", Scopes: []string{"audit:read"}, Networks: []string{erasedAddress + "/32"}})
	if err != nil {
		t.Fatal(err)
	}
	name := "nightly"
	if _, err := e.service.UpdateKey(ctx, her, key.ID, security.KeyPatch{Name: &name, Networks: new([]string)}); err != nil {
		t.Fatal(err)
	}
}

// traces counts in the files of a database what tells of the person.
func traces(t *testing.T, dataDir string) map[string]int {
	t.Helper()
	found := map[string]int{}
	files, err := filepath.Glob(filepath.Join(dataDir, "patronus.db*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range []string{erasedEmail, "quintessence", erasedAddress, erasedAgent} {
			if n := bytes.Count(bytes.ToLower(content), bytes.ToLower([]byte(trace))); n > 0 {
				found[filepath.Base(name)+": "+trace] += n
			}
		}
	}
	return found
}

func verified(t *testing.T, dataDir string) audit.Report {
	t.Helper()
	key, err := security.AuditKeyOf(dataDir)
	if err != nil {
		t.Fatal(err)
	}
	report, err := security.VerifyLog(context.Background(), dataDir, key)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// TestErasureLeavesNoByteAndAWholeLog deletes a user with erasure, looks for her in
// the files, and verifies the log.
func TestErasureLeavesNoByteAndAWholeLog(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	id, nonce := zelda(t, e, 2000)
	if len(traces(t, e.dataDir)) == 0 {
		t.Fatal("there is nothing to erase")
	}
	before := verified(t, e.dataDir)
	if err := e.service.DeleteUser(ctx, e.caller, nonce, id, true); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, e.dataDir); len(left) != 0 {
		t.Errorf("left in the files: %v", left)
	}
	report := verified(t, e.dataDir)
	if report.Erased < 2000 || report.Events <= before.Events {
		t.Errorf("%+v, and before %+v", report, before)
	}
	// What others did stays, with who they are.
	events, _, err := e.service.Events(ctx, e.caller, audit.Filter{Type: audit.LoginAttempt, UserID: e.caller.User.ID, Limit: 500})
	if err != nil || len(events) != 500 || events[0].Actor.Email != email || events[0].Actor.IPAddress == "" {
		t.Errorf("%d events of the admin, %+v, %v", len(events), events[0].Actor, err)
	}
	hers, _, err := e.service.Events(ctx, e.caller, audit.Filter{UserID: id, Limit: 500})
	if err != nil || len(hers) < 350 {
		t.Fatalf("%d events of hers, %v", len(hers), err)
	}
	for _, event := range hers {
		if event.Actor.Email != "" || event.Actor.IPAddress != "" || event.Actor.UserAgent != "" || event.ErasedBy == 0 {
			t.Fatalf("not erased: %+v", event)
		}
	}
	proof, err := e.service.Proof(ctx, e.caller, hers[0].Seq)
	if err != nil || proof.Problem != "" {
		t.Errorf("an erased event is not proven: %q, %v", proof.Problem, err)
	}
	// The export can be verified too.
	var lines bytes.Buffer
	writer := export.NewWriter(export.NDJSON, &lines, export.Product{})
	if err := e.service.Export(ctx, e.caller, audit.Filter{}, "ndjson", func(batch []audit.Record) error { return export.WriteBatch(writer, batch) }); err != nil {
		t.Fatal(err)
	}
	key, err := security.AuditKeyOf(e.dataDir)
	if err != nil {
		t.Fatal(err)
	}
	if exported, err := security.VerifyExport(&lines, key); err != nil || exported.Erased != report.Erased {
		t.Errorf("%+v, %v", exported, err)
	}
	if bytes.Contains(lines.Bytes(), []byte("quintessence")) {
		t.Error("the export has what was erased")
	}
}

const eraserEnv = "PATRONUS_SECURITY_TEST_ERASER"

// TestMain lets this program be the process that is killed while it erases.
func TestMain(m *testing.M) {
	if dataDir := os.Getenv(eraserEnv); dataDir != "" {
		s, err := security.Open(context.Background(), security.Options{DataDir: dataDir, PublicURL: &url.URL{Scheme: "https", Host: "dashboard.example.org"},
			Hashing: securitytest.CheapHashing, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println("ready")
		s.Maintain(context.Background())
	}
	os.Exit(m.Run())
}

// TestErasureGoesOnAfterAKill kills the process that erases in the middle, more
// than once, and lets another finish.
func TestErasureGoesOnAfterAKill(t *testing.T) {
	e := enrol(t, "admin")
	id, nonce := zelda(t, e, 30_000)
	outside := e.outside(t)
	// It stops before its first batch: only the recording is done.
	if _, err := outside.Exec("CREATE TRIGGER hold BEFORE UPDATE OF actor_erased_by ON audit_events BEGIN SELECT RAISE(ABORT, 'not now'); END"); err != nil {
		t.Fatal(err)
	}
	if err := e.service.DeleteUser(context.Background(), e.caller, nonce, id, true); err != nil {
		t.Fatal(err)
	}
	if _, err := outside.Exec("DROP TRIGGER hold"); err != nil {
		t.Fatal(err)
	}
	done := func() (seq int64, settled bool) {
		var address string
		if err := outside.QueryRow("SELECT done_seq, email FROM audit_erasures").Scan(&seq, &address); err != nil {
			t.Fatal(err)
		}
		return seq, address == ""
	}
	if seq, settled := done(); seq != 0 || settled {
		t.Fatalf("the erasure has come to %d before any process does it", seq)
	}
	inTheMiddle := 0
	for was := int64(0); inTheMiddle < 3; {
		process := exec.Command(os.Args[0])
		process.Env = append(os.Environ(), eraserEnv+"="+e.dataDir)
		process.Stderr = os.Stderr
		out, err := process.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		if !bufio.NewScanner(out).Scan() {
			t.Fatal("the process did not open the data folder")
		}
		seq, settled := done()
		for deadline := time.Now().Add(30 * time.Second); seq <= was && !settled && time.Now().Before(deadline); {
			seq, settled = done()
		}
		if err := process.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = process.Wait() // it was killed
		if was, settled = done(); settled {
			break
		}
		inTheMiddle++
		verified(t, e.dataDir)
	}
	if inTheMiddle == 0 {
		t.Error("no process was killed in the middle; make the log longer")
	}
	if err := e.service.ErasePending(context.Background()); err != nil {
		t.Fatal(err)
	}
	if left := traces(t, e.dataDir); len(left) != 0 {
		t.Errorf("left in the files: %v", left)
	}
	if report := verified(t, e.dataDir); report.Erased < 30_000 {
		t.Errorf("%+v", report)
	}
}

// TestErasureReachesWhatWasUnderWay, and nobody else: what began before the deletion
// may write its event a little later.
func TestErasureReachesWhatWasUnderWay(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	id, nonce := zelda(t, e, 5)
	const other = "x" + erasedEmail
	about := func(int) audit.Event {
		return audit.Event{Type: audit.UserUpdate, Success: true, Actor: audit.Actor{UserID: e.caller.User.ID}, Details: audit.Details{"target_user_id": "019b7cb1-cc8e-7436-819e-000000000001", "target_email": other}}
	}
	if err := e.service.AppendEvents(ctx, 1, about); err != nil {
		t.Fatal(err)
	}
	for name, query := range map[string]string{"hers": "email=" + url.QueryEscape(erasedEmail), "of " + erasedEmail: "success=false", "the other's": "email=" + url.QueryEscape(other)} {
		if _, err := e.service.SaveView(ctx, e.caller, name, query); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.service.DeleteUser(ctx, e.caller, nonce, id, true); err != nil {
		t.Fatal(err)
	}
	// The sign-in of a slow hand.
	if err := e.service.AppendEvents(ctx, 1, func(int) audit.Event {
		return audit.Event{Type: audit.LoginAttempt, Actor: audit.Actor{UserID: id, Email: erasedEmail, IPAddress: erasedAddress, UserAgent: erasedAgent}, Details: audit.Details{"reason": "account_changed"}}
	}); err != nil {
		t.Fatal(err)
	}
	if err := e.service.ErasePending(ctx); err != nil {
		t.Fatal(err)
	}
	// The address of the other, which begins with a letter more, stands in an event
	// and, its @ encoded, in a view.
	left := traces(t, e.dataDir)
	if want := map[string]int{"patronus.db: " + erasedEmail: 1, "patronus.db: quintessence": 2}; !maps.Equal(left, want) {
		t.Errorf("left in the files: %v", left)
	}
	events, _, err := e.service.Events(ctx, e.caller, audit.Filter{Text: other, Limit: 10})
	if err != nil || len(events) != 1 {
		t.Errorf("%d events of the other, %v", len(events), err)
	}
	views, err := e.service.SavedViews(ctx, e.caller)
	if err != nil || len(views) != 1 || views[0].Name != "the other's" {
		t.Errorf("views are left: %+v, %v", views, err)
	}
	verified(t, e.dataDir)
	var pending int
	outside := e.outside(t)
	if err := outside.QueryRow("SELECT COUNT(*) FROM audit_erasures").Scan(&pending); err != nil || pending != 1 {
		t.Errorf("%d erasures wait, %v", pending, err)
	}
	e.clock.Advance(4 * time.Minute)
	if err := e.service.ErasePending(ctx); err != nil {
		t.Fatal(err)
	}
	if err := outside.QueryRow("SELECT COUNT(*) FROM audit_erasures").Scan(&pending); err != nil || pending != 0 {
		t.Errorf("%d erasures wait, %v", pending, err)
	}

	// Nobody gets an erasure by writing one into the database.
	for _, forged := range []string{
		"INSERT INTO audit_erasures VALUES (1, '" + e.caller.User.ID + "', '" + email + "', NULL, 0, 0)",
		// Under the event of a genuine one.
		"INSERT INTO audit_erasures SELECT MAX(seq), '" + id + "', '" + email + "', zeroblob(16), 0, 0 FROM audit_events WHERE event_type = 'user_delete'",
	} {
		if _, err := outside.Exec(forged); err != nil {
			t.Fatal(err)
		}
		if err := e.service.ErasePending(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if own, _, err := e.service.Events(ctx, e.caller, audit.Filter{UserID: e.caller.User.ID, Email: email, Limit: 1}); err != nil || len(own) != 1 {
		t.Errorf("the admin's events were erased: %v", err)
	}
	if report := verified(t, e.dataDir); report.Erased < 5 {
		t.Errorf("%+v", report)
	}
}
