package handlers_test

import (
	"bytes"
	"context"
	"errors"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"

	"patronus.internal/dashboard/handlers"
	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/mail"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
)

// TestScripts runs testdata/*.txt: one story of requests and answers each,
// against the real handlers and a real database file, at a clock that stands
// still until the script moves it. The commands are:
//
//	server [mail] [limits|locks]   start a server on an empty data folder, with a mail server, and with the rate limits and
//	                               locks of a new installation, or its locks alone; else with such that no script reaches
//	adduser EMAIL ROLE PASSWORD    what `dashboard user add` does
//	browser                        go on in another browser, without cookies
//	clock DURATION                 move the clock, 31s or -1h
//	http METHOD PATH [OPTION...]   send a request; options are
//	    bearer=TOKEN json=BODY form=BODY file=NAME type=TYPE header='Name: value'
//	status CODE                    check the status of the last answer
//	problem STATUS CODE            check that it is a problem with that code
//	names FIELD...                 check that it is 422 and names these fields, in this order
//	json PATH VALUE                check a member of the answer, by a path as .items.0.id; VALUE as JSON or plain text
//	nojson PATH                    check that there is no such member
//	header NAME REGEXP             check a header of the answer
//	body REGEXP                    check the text of the answer
//	etag NAME                      keep the entity tag of the last answer as $NAME
//	save NAME PATH                 keep a member as $NAME
//	savebody NAME REGEXP           keep what the first group matches as $NAME
//	totp NAME SECRET [DURATION]    keep the code of an authenticator app as $NAME
//	event PATH VALUE...            check that the newest event has these members
//	enrolled EMAIL ROLE            add a user and enrol a second factor; sets $TOKEN, $SECRET, $USER_ID and $BACKUP0 to $BACKUP9
//	nonce NAME BEARER ACTION CODE  confirm an action with the password of enrolled and keep the nonce as $NAME
//	resetmfa EMAIL                 what `dashboard user reset-mfa` does; sets $LINK and $LINKTOKEN
//	denials                        have more requests refused than one search goes through, the first to first@example.org
//	unlock EMAIL                   what `dashboard user unlock` does
//	strangers EMAIL N              let N wrong passwords of strangers be counted, one an hour
//	solve NAME                     do the work of the CAPTCHA in the last answer and keep what to send as $NAME
//	digits NAME TOKEN              keep the digits of a CAPTCHA as $NAME
//	mail NAME TO REGEXP            wait for a mail and keep what the first group matches in it as $NAME
//	csrf                           keep the token of the form in the last answer as $CSRF
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Values["world"] = &world{t: t, dir: env.WorkDir}
			// Bodies that a text file cannot hold or should not.
			for name, body := range map[string]string{
				"invalid-utf8.json":  "{\"email\":\"vera@example.org\",\"password\":\"a\xffb\"}",
				"long-password.json": `{"email":"vera@example.org","password":"` + strings.Repeat("a", 50_000) + `"}`,
				"long-name.json":     `{"name":"` + strings.Repeat("a", 10_000) + `","scopes":["audit:read"]}`,
				"huge.json":          `{"email":"vera@example.org","password":"` + strings.Repeat("a", 1<<20) + `"}`,
			} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(body), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server":    cmdServer,
			"adduser":   cmdAddUser,
			"browser":   cmdBrowser,
			"clock":     cmdClock,
			"http":      cmdHTTP,
			"status":    cmdStatus,
			"problem":   cmdProblem,
			"names":     cmdNames,
			"json":      cmdJSON,
			"header":    cmdHeader,
			"body":      cmdBody,
			"etag":      cmdETag,
			"save":      cmdSave,
			"savebody":  cmdSaveBody,
			"totp":      cmdTOTP,
			"event":     cmdEvent,
			"csrf":      cmdCSRF,
			"enrolled":  cmdEnrolled,
			"resetmfa":  cmdResetMFA,
			"denials":   cmdDenials,
			"nonce":     cmdNonce,
			"mail":      cmdMail,
			"solve":     cmdSolve,
			"unlock":    cmdUnlock,
			"strangers": cmdStrangers,
			"digits":    cmdDigits,
			"long":      cmdLong,
		},
	})
}

// world is what one script works on.
type world struct {
	t       testing.TB
	dir     string
	clock   *securitytest.Clock
	service *security.Service
	server  *httptest.Server
	client  *http.Client
	answer  *http.Response
	text    []byte
	mails   chan mail.Message
}

func of(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }

func cmdServer(ts *testscript.TestScript, _ bool, args []string) {
	w := of(ts)
	var mailer security.Mailer
	if len(args) > 0 && args[0] == "mail" {
		w.mails = make(chan mail.Message, 100)
		mailer = mailbox(w.mails)
	}
	w.clock = securitytest.NewClock()
	listener := httptest.NewUnstartedServer(nil)
	public := &url.URL{Scheme: "http", Host: listener.Listener.Addr().String()}
	// The script's own output is not for two writers at once.
	file, err := os.Create(filepath.Join(w.dir, "server.log"))
	ts.Check(err)
	log := slog.New(slog.NewTextHandler(file, &slog.HandlerOptions{Level: slog.LevelDebug}))
	proxies := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	service, err := security.Open(context.Background(), security.Options{DataDir: filepath.Join(w.dir, "data"), PublicURL: public,
		Hashing: securitytest.CheapHashing, Mail: mailer, TrustedProxies: proxies, Now: w.clock.Now, Log: log})
	ts.Check(err)
	delivering, stop := context.WithCancel(context.Background())
	delivered := make(chan struct{})
	go func() { service.Deliver(delivering); close(delivered) }()
	web, err := handlers.New(handlers.Options{Service: service, PublicURL: public,
		TrustedProxies: proxies, Now: w.clock.Now, Log: log})
	ts.Check(err)
	listener.Config.Handler = web
	listener.Start()
	jar, err := cookiejar.New(nil)
	ts.Check(err)
	w.service, w.server = service, listener
	switch with := append([]string{""}, args...); with[len(with)-1] {
	case "limits":
	case "locks":
		ts.Check(securitytest.WithoutRateLimits(filepath.Join(w.dir, "data")))
	default:
		ts.Check(securitytest.Unlimited(filepath.Join(w.dir, "data")))
	}
	w.client = &http.Client{Transport: handlers.Described{T: w.t}, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ts.Setenv("URL", public.String())
	ts.Defer(func() {
		listener.Close()
		stop()
		<-delivered
		ts.Check(errors.Join(service.Close(context.Background()), file.Close()))
	})
	link, err := service.FirstRun(context.Background())
	ts.Check(err)
	ts.Setenv("SETUP", strings.TrimPrefix(link, public.String()))
}

func cmdAddUser(ts *testscript.TestScript, _ bool, args []string) {
	w := of(ts)
	var pw secret.Text
	if len(args) > 2 {
		pw = secret.NewText(args[2])
	}
	u, link, err := w.service.AddUser(context.Background(), args[0], args[1], pw)
	ts.Check(err)
	ts.Setenv("USER_ID", u.ID)
	ts.Setenv("LINK", strings.TrimPrefix(link, w.server.URL))
}

func cmdClock(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	of(ts).clock.Advance(d)
}

func cmdHTTP(ts *testscript.TestScript, _ bool, args []string) {
	w := of(ts)
	var body io.Reader
	headers := http.Header{}
	for _, option := range args[2:] {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "bearer":
			headers.Set("Authorization", "Bearer "+value)
		case "json":
			headers.Set("Content-Type", "application/json")
			body = strings.NewReader(value)
		case "form":
			headers.Set("Content-Type", "application/x-www-form-urlencoded")
			headers.Set("Origin", w.server.URL)
			headers.Set("Sec-Fetch-Site", "same-origin")
			body = strings.NewReader(value)
		case "file":
			headers.Set("Content-Type", "application/json")
			data, err := os.ReadFile(ts.MkAbs(value))
			ts.Check(err)
			body = bytes.NewReader(data)
		case "type":
			headers.Set("Content-Type", value)
		case "header":
			name, value, _ := strings.Cut(value, ": ")
			headers.Set(name, value)
		default:
			ts.Fatalf("unknown option %q", option)
		}
	}
	request, err := http.NewRequest(args[0], w.server.URL+args[1], body)
	ts.Check(err)
	request.Header = headers
	if host := headers.Get("Host"); host != "" {
		request.Host = host
	}
	w.answer, err = w.client.Do(request)
	ts.Check(err)
	w.text, err = io.ReadAll(w.answer.Body)
	ts.Check(err)
	ts.Check(w.answer.Body.Close())
}

func cmdStatus(ts *testscript.TestScript, _ bool, args []string) {
	w := of(ts)
	if got := strconv.Itoa(w.answer.StatusCode); got != args[0] {
		ts.Fatalf("status is %s, not %s:\n%s", got, args[0], w.text)
	}
}

func cmdProblem(ts *testscript.TestScript, _ bool, args []string) {
	cmdStatus(ts, false, args[:1])
	w := of(ts)
	if got := w.answer.Header.Get("Content-Type"); got != "application/problem+json" {
		ts.Fatalf("content type is %q", got)
	}
	cmdJSON(ts, false, []string{".code", args[1]})
	cmdJSON(ts, false, []string{".status", args[0]})
	cmdJSON(ts, false, []string{".request_id", w.answer.Header.Get("X-Request-Id")})
}

func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	got, found := lookup(ts, of(ts).text, args[0])
	if neg {
		if found && (len(args) == 1 || got == args[1]) {
			ts.Fatalf("%s is %s:\n%s", args[0], got, of(ts).text)
		}
		return
	}
	if !found || len(args) > 1 && got != args[1] {
		ts.Fatalf("%s is %q, not %q:\n%s", args[0], got, args[1:], of(ts).text)
	}
}

func cmdHeader(ts *testscript.TestScript, neg bool, args []string) {
	got := strings.Join(of(ts).answer.Header.Values(args[0]), "\n")
	if regexp.MustCompile(args[1]).MatchString(got) == neg {
		ts.Fatalf("header %s is %q", args[0], got)
	}
}

func cmdBody(ts *testscript.TestScript, neg bool, args []string) {
	if regexp.MustCompile(args[0]).Match(of(ts).text) == neg {
		ts.Fatalf("the body is:\n%s", of(ts).text)
	}
}

func cmdSave(ts *testscript.TestScript, _ bool, args []string) {
	got, found := lookup(ts, of(ts).text, args[1])
	if !found {
		ts.Fatalf("no %s in:\n%s", args[1], of(ts).text)
	}
	ts.Setenv(args[0], got)
}

func cmdSaveBody(ts *testscript.TestScript, _ bool, args []string) {
	match := regexp.MustCompile(args[1]).FindSubmatch(of(ts).text)
	if match == nil {
		ts.Fatalf("nothing matches in:\n%s", of(ts).text)
	}
	ts.Setenv(args[0], html.UnescapeString(string(match[1])))
}

func cmdTOTP(ts *testscript.TestScript, _ bool, args []string) {
	at := of(ts).clock.Now()
	if len(args) > 2 {
		d, err := time.ParseDuration(args[2])
		ts.Check(err)
		at = at.Add(d)
	}
	code, err := totp.GenerateCode(strings.ReplaceAll(args[1], " ", ""), at)
	ts.Check(err)
	ts.Setenv(args[0], code)
}

// cmdEvent looks at the newest event without going through the API, so that
// looking leaves no trace.
func cmdEvent(ts *testscript.TestScript, _ bool, args []string) {
	w := of(ts)
	newest, err := securitytest.NewestEvent(filepath.Join(w.dir, "data", "patronus.db"))
	ts.Check(err)
	for i := 0; i+1 < len(args); i += 2 {
		if got, found := lookup(ts, newest, args[i]); !found || got != args[i+1] {
			ts.Fatalf("%s of the newest event is %q, not %q:\n%s", args[i], got, args[i+1], newest)
		}
	}
}

func cmdCSRF(ts *testscript.TestScript, _ bool, _ []string) {
	cmdSaveBody(ts, false, []string{"CSRF", `name="csrf_token" value="([^"]+)"`})
}
