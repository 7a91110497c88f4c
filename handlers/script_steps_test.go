package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html"
	"net/http/cookiejar"
	"net/netip"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/captcha"
	"patronus.internal/dashboard/security/mail"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
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

func cmdResetMFA(ts *testscript.TestScript, _ bool, args []string) {
	w := of(ts)
	link, err := w.service.ResetMFA(context.Background(), args[0])
	ts.Check(err)
	_, token, _ := strings.Cut(link.Reveal(), "token=")
	ts.Setenv("LINK", strings.TrimPrefix(link.Reveal(), w.server.URL))
	ts.Setenv("LINKTOKEN", token)
}

func cmdNames(ts *testscript.TestScript, _ bool, args []string) {
	cmdProblem(ts, false, []string{"422", "validation_failed"})
	for i, field := range args {
		cmdJSON(ts, false, []string{".errors." + strconv.Itoa(i) + ".field", field})
	}
	cmdJSON(ts, false, []string{".errors.length", strconv.Itoa(len(args))})
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

// cmdSolve takes the challenge from a problem or from the attribute of a page.
func cmdSolve(ts *testscript.TestScript, _ bool, args []string) {
	text := of(ts).text
	if match := regexp.MustCompile(`data-challenge="([^"]+)"`).FindSubmatch(text); match != nil {
		text = []byte(`{"captcha":` + html.UnescapeString(string(match[1])) + `}`)
	}
	var found struct{ Captcha captcha.Challenge }
	ts.Check(json.Unmarshal(text, &found))
	ts.Setenv(args[0], securitytest.SolveCaptcha(of(ts).t, found.Captcha))
}

// cmdStrangers answers each CAPTCHA and waits for each delay, as a patient
// attacker does.
func cmdStrangers(ts *testscript.TestScript, _ bool, args []string) {
	w := of(ts)
	times, err := strconv.Atoi(args[1])
	ts.Check(err)
	for range times {
		req := security.Request{IP: netip.MustParseAddr("192.0.2.99")}
		_, err := w.service.Login(context.Background(), req, session.API, args[0], secret.NewText("wrong"))
		if refusal, ok := errors.AsType[*secerr.Error](err); ok && refusal.Code == secerr.CaptchaRequired {
			req.Captcha.Work = securitytest.SolveCaptcha(w.t, refusal.Captcha.(captcha.Challenge))
			_, err = w.service.Login(context.Background(), req, session.API, args[0], secret.NewText("wrong"))
		}
		if !secerr.Is(err, secerr.InvalidCredentials) {
			ts.Fatalf("%v", err)
		}
		w.clock.Advance(time.Minute)
	}
	w.clock.Advance(-time.Minute)
}

func cmdUnlock(ts *testscript.TestScript, _ bool, args []string) {
	w := of(ts)
	ts.Check(securitytest.Beside(w.t, w.clock, filepath.Join(w.dir, "data")).UnlockUser(context.Background(), args[0]))
}

func cmdDigits(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], securitytest.CaptchaDigits(of(ts).t, of(ts).service.MAC, args[1]))
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

func cmdDenials(ts *testscript.TestScript, _ bool, _ []string) {
	securitytest.Denials(of(ts).service, securitytest.SearchedByIndex)
}

// cmdLong sets a variable to many letters: long NAME COUNT [LETTER].
func cmdLong(ts *testscript.TestScript, _ bool, args []string) {
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	letter := "a"
	if len(args) > 2 {
		letter = args[2]
	}
	ts.Setenv(args[0], strings.Repeat(letter, count))
}

func cmdETag(ts *testscript.TestScript, _ bool, args []string) {
	tag := of(ts).answer.Header.Get("ETag")
	if tag == "" {
		ts.Fatalf("there is no ETag")
	}
	ts.Setenv(args[0], tag)
}
