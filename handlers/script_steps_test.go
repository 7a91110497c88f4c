package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/cookiejar"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"patronus.internal/dashboard/security/mail"
)

// scriptPassword is that of users whom enrolled adds.
const scriptPassword = "plover kettle armistice 9"

// mailbox takes every mail.
type mailbox chan mail.Message

// Send implements security.Mailer.
func (m mailbox) Send(_ context.Context, message mail.Message) error {
	m <- message
	return nil
}

func cmdEnrolled(ts *testscript.TestScript, _ bool, args []string) {
	cmdAddUser(ts, false, append(args, scriptPassword))
	cmdHTTP(ts, false, []string{"POST", "/api/v1/auth/login", `json={"email":"` + args[0] + `","password":"` + scriptPassword + `"}`})
	cmdSave(ts, false, []string{"TOKEN", ".access_token"})
	cmdHTTP(ts, false, []string{"POST", "/api/v1/mfa/totp", "bearer=" + ts.Getenv("TOKEN")})
	cmdSave(ts, false, []string{"SECRET", ".secret"})
	cmdTOTP(ts, false, []string{"CODE", ts.Getenv("SECRET")})
	cmdHTTP(ts, false, []string{"POST", "/api/v1/mfa/totp/verify", "bearer=" + ts.Getenv("TOKEN"), `json={"code":"` + ts.Getenv("CODE") + `"}`})
	cmdStatus(ts, false, []string{"200"})
	cmdSave(ts, false, []string{"TOKEN", ".tokens.access_token"})
	for i := range 10 {
		cmdSave(ts, false, []string{"BACKUP" + strconv.Itoa(i), ".backup_codes." + strconv.Itoa(i)})
	}
}

func cmdBrowser(ts *testscript.TestScript, _ bool, _ []string) {
	jar, err := cookiejar.New(nil)
	ts.Check(err)
	of(ts).client.Jar = jar
}

func cmdNonce(ts *testscript.TestScript, _ bool, args []string) {
	cmdHTTP(ts, false, []string{"POST", "/api/v1/auth/nonce", "bearer=" + args[1],
		`json={"action":"` + args[2] + `","password":"` + scriptPassword + `","code":"` + args[3] + `"}`})
	cmdStatus(ts, false, []string{"200"})
	cmdSave(ts, false, []string{args[0], ".nonce"})
}

func cmdMail(ts *testscript.TestScript, neg bool, args []string) {
	select {
	case m := <-of(ts).mails:
		text := m.Subject + "\n\n" + m.Body
		if neg || m.To != args[1] {
			ts.Fatalf("a mail to %s:\n%s", m.To, text)
		}
		match := regexp.MustCompile(args[2]).FindStringSubmatch(text)
		if match == nil {
			ts.Fatalf("nothing matches in:\n%s", text)
		}
		ts.Setenv(args[0], strings.TrimPrefix(match[1], of(ts).server.URL))
	case <-time.After(10 * time.Second): // a limit for a failure, not a wait
		ts.Fatalf("no mail came")
	}
}

// lookup finds a member by a path as .items.0.id and writes it as plain text:
// a string as it is, anything else as JSON.
func lookup(ts *testscript.TestScript, text []byte, path string) (string, bool) {
	var value any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		ts.Fatalf("no JSON: %v:\n%s", err, text)
	}
	for _, name := range strings.Split(strings.Trim(path, "."), ".") {
		switch at := value.(type) {
		case map[string]any:
			member, ok := at[name]
			if !ok {
				return "", false
			}
			value = member
		case []any:
			if name == "length" {
				return strconv.Itoa(len(at)), true
			}
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(at) {
				return "", false
			}
			value = at[i]
		default:
			if name != "" {
				return "", false
			}
		}
	}
	if s, ok := value.(string); ok {
		return s, true
	}
	plain, err := json.Marshal(value)
	if err != nil {
		ts.Fatalf("%v", err)
	}
	return string(plain), true
}
