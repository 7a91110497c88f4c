package security_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/export"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
)

// export writes what is held about a user, as the caller gets it.
func (e *enrolled) export(c security.Caller, id string, f export.PersonFormat) ([]byte, error) {
	var text bytes.Buffer
	w := export.NewPersonWriter(f, &text, export.Product{})
	if err := e.service.ExportUser(context.Background(), c, id, f, w.Begin, w.Events); err != nil {
		return nil, err
	}
	err := w.Close()
	return text.Bytes(), err
}

func (e *enrolled) exportJSON(t *testing.T, id string) []byte {
	t.Helper()
	text, err := e.export(e.caller, id, export.PersonJSON)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestExportHoldsNoSecret looks for every hash and every secret of the database in
// both forms of an export.
func TestExportHoldsNoSecret(t *testing.T) {
	e := enrol(t, "admin")
	_, key, err := e.service.CreateKey(context.Background(), e.caller, security.KeyRequest{Name: "x", Scopes: []string{"audit:read"}})
	if err != nil {
		t.Fatal(err)
	}
	outside := e.outside(t)
	secrets := []string{e.secret, key.Reveal(), e.backup[0].Reveal()}
	for _, table := range personalTables(t, outside) {
		for _, column := range columnsOf(t, outside, table) {
			if column[1] == "BLOB" || column[0] == "password_hash" {
				for _, row := range strings3(t, outside, "SELECT HEX("+column[0]+"), COALESCE("+column[0]+", ''), '' FROM "+table) {
					raw, err := hex.DecodeString(row[0])
					if err != nil {
						t.Fatal(err)
					}
					if len(raw) > 0 {
						secrets = append(secrets, string(raw), row[0], hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw))
					}
				}
			}
		}
	}
	if len(secrets) < 60 {
		t.Fatalf("only %d secrets were found", len(secrets))
	}
	one := e.exportJSON(t, e.caller.User.ID)
	files := unzipped(t, e, e.caller.User.ID)
	for _, hidden := range secrets {
		if strings.Contains(string(one), hidden) {
			t.Errorf("%q is in the JSON", hidden)
		}
		for name, text := range files {
			if strings.Contains(text, hidden) {
				t.Errorf("%q is in %s", hidden, name)
			}
		}
	}
}

func unzipped(t *testing.T, e *enrolled, id string) map[string]string {
	t.Helper()
	packed, err := e.export(e.caller, id, export.PersonZip)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, file := range archive.File {
		r, err := file.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[file.Name] = string(text)
	}
	return files
}

// TestZipSaysWhatIsInIt: every file is named in README.txt, and is JSON.
func TestZipSaysWhatIsInIt(t *testing.T) {
	e := enrol(t, "admin")
	files := unzipped(t, e, e.caller.User.ID)
	for _, name := range []string{"account.json", "sessions.json", "devices.json", "api_keys.json", "second_factors.json", "saved_views.json", "events.json"} {
		if files[name] == "" {
			t.Errorf("there is no %s", name)
		}
	}
	for name, text := range files {
		if name == "README.txt" {
			continue
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%s is no JSON: %s", name, text)
		}
		if !strings.Contains(files["README.txt"], "\n"+name+": ") {
			t.Errorf("README.txt does not name %s:\n%s", name, files["README.txt"])
		}
	}
}

// TestExportOfManyEvents is in bounded batches, each event once and in order, and
// has those by and about the person and no others.
func TestExportOfManyEvents(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	u, _, err := e.service.AddUser(ctx, "vera@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	other := audit.Actor{UserID: "01900000-0000-7000-8000-000000000bad", Email: "mallory@example.org", IPAddress: "192.0.2.66", UserAgent: "mallory", SessionID: "s", RequestID: "r"}
	kinds := []audit.Event{
		{Actor: audit.Actor{UserID: u.ID, Email: u.Email, IPAddress: "192.0.2.1"}},
		{Actor: audit.Actor{Email: u.Email, IPAddress: "192.0.2.2"}},
		{Actor: other, Details: audit.Details{"target_user_id": u.ID, "name": "Hers"}},
		{Actor: other, Details: audit.Details{"target_email": u.Email, "role": "user"}},
		{Actor: audit.Actor{UserID: u.ID, Email: u.Email}, Details: audit.Details{"target_user_id": other.UserID, "target_email": other.Email}},
		// From here on it is not about her.
		{Actor: other},
		{Actor: audit.Actor{UserID: other.UserID, Email: u.Email}}, // had the address before
		{Actor: other, Details: audit.Details{"target_user_id": other.UserID, "target_email": u.Email}},
		{Actor: other, Details: audit.Details{"target_email": "x" + u.Email}},
		{Actor: other, Details: audit.Details{"filter_user_id": u.ID}},
	}
	const rounds = 5000
	err = e.service.AppendEvents(ctx, rounds*len(kinds), func(i int) audit.Event {
		kind := kinds[i%len(kinds)]
		kind.Type = audit.UserUpdate
		return kind
	})
	if err != nil {
		t.Fatal(err)
	}
	var last, found int64
	err = e.service.ExportUser(ctx, e.caller, u.ID, export.PersonJSON, func(export.Person) error { return nil }, func(batch []audit.Record) error {
		if len(batch) > 500 {
			t.Errorf("a batch of %d", len(batch))
		}
		for _, event := range batch {
			if event.Seq <= last {
				t.Fatalf("%d follows %d", event.Seq, last)
			}
			last = event.Seq
			if event.Type != audit.UserUpdate {
				continue
			}
			found++
			text, err := json.Marshal(event.View())
			if err != nil {
				t.Fatal(err)
			}
			for _, of := range []string{"mallory", "192.0.2.66"} {
				if bytes.Contains(text, []byte(of)) {
					t.Fatalf("it has the %s of somebody else: %s", of, text)
				}
			}
		}
		return nil
	})
	if err != nil || found != 5*rounds {
		t.Errorf("%d events, want %d (%v)", found, 5*rounds, err)
	}
}

// TestExportOfAPersonIsForWhoMay: what a caller may not read elsewhere is left out,
// and a new session of who must set up a second factor gets nothing.
func TestExportOfAPersonIsForWhoMay(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	_, token, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"users:read", "sessions:read"}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := e.service.IdentifyBearer(ctx, security.Request{}, token)
	if err != nil {
		t.Fatal(err)
	}
	text, err := e.export(key, e.caller.User.ID, export.PersonJSON)
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	for name, there := range map[string]bool{"account": true, "sessions": true, "api_keys": false, "events": false} {
		if (parts[name] != nil) != there {
			t.Errorf("%s: %s", name, parts[name])
		}
	}
	if !bytes.Contains(parts["about"], []byte("Left out")) {
		t.Errorf("it does not say what is left out: %s", parts["about"])
	}
	if err := e.service.ExportOwn(ctx, key, export.PersonJSON, nil, nil); !secerr.Is(err, secerr.InsufficientScope) {
		t.Errorf("a key exports its owner: %v", err)
	}
	if _, err := e.export(e.caller, "01900000-0000-7000-8000-000000000000", export.PersonZip); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("nobody: %v", err)
	}
}

// TestExportOfAPersonTakesAPlace, beside those of the log, and leaves it when its
// reader or its session goes.
func TestExportOfAPersonTakesAPlace(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	gone := errors.New("gone")
	ignore := func([]audit.Record) error { return nil }
	for range 6 {
		err := e.service.ExportOwn(ctx, e.caller, export.PersonZip, func(export.Person) error {
			before := e.newest(t)
			if _, err := e.export(e.caller, e.caller.User.ID, export.PersonZip); !secerr.Is(err, secerr.Unavailable) {
				t.Errorf("a second one: %v", err)
			}
			if err := e.service.Export(ctx, e.caller, audit.Filter{}, "csv", ignore); !secerr.Is(err, secerr.Unavailable) {
				t.Errorf("one of the log: %v", err)
			}
			if after := e.newest(t); after != before {
				t.Errorf("a refused export wrote an event")
			}
			return gone
		}, ignore)
		if !errors.Is(err, gone) {
			t.Fatal(err)
		}
	}
	err := e.service.ExportOwn(ctx, e.caller, export.PersonZip, func(export.Person) error { return e.service.Logout(ctx, e.caller) }, func([]audit.Record) error {
		t.Error("events are sent to who is signed out")
		return nil
	})
	if !secerr.Is(err, secerr.TokenRevoked) {
		t.Errorf("after a sign-out: %v", err)
	}
	if _, err := e.service.Login(ctx, security.Request{}, session.API, email, secret.NewText(pw)); err != nil {
		t.Fatal(err)
	}
}

// TestExportWithoutSessionsNamesNoAddress: mails about sign-ins do, too.
func TestExportWithoutSessionsNamesNoAddress(t *testing.T) {
	ctx := context.Background()
	e := enrol(t, "admin")
	u, _, err := e.service.AddUser(ctx, "vic@example.org", "user", secret.NewText(pw))
	if err != nil {
		t.Fatal(err)
	}
	for _, ip := range []string{"198.51.100.1", "203.0.113.77"} {
		if _, err := e.service.Login(ctx, security.Request{IP: netip.MustParseAddr(ip), UserAgent: "Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0"}, session.API, "vic@example.org", secret.NewText(pw)); err != nil {
			t.Fatal(err)
		}
	}
	_, token, err := e.service.CreateKey(ctx, e.caller, security.KeyRequest{Name: "x", Scopes: []string{"users:read"}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := e.service.IdentifyBearer(ctx, security.Request{}, token)
	if err != nil {
		t.Fatal(err)
	}
	text, err := e.export(key, u.ID, export.PersonJSON)
	if err != nil {
		t.Fatal(err)
	}
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("203.0.113.77")) {
		t.Errorf("users:read alone reads: %s", parts["mails"])
	}
}
