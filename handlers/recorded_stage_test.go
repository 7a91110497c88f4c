package handlers

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pquerna/otp/totp"

	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/mfa"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

const stagePassword = "plover kettle armistice 9"

// stagePublic is the name that every stage is reached by, whatever its port, so
// that tokens made on one are good on its copies.
var stagePublic = &url.URL{Scheme: "http", Host: "dashboard.example.org"}

// part is somebody who plays in an example.
type part struct {
	ID, Email              string
	Token, Refresh, Cookie string
	Backup                 []secret.Text // codes that are not used yet
}

// code is a fresh proof of the second factor.
func (p *part) code() string {
	next := p.Backup[0]
	p.Backup = p.Backup[1:]
	return next.Reveal()
}

// cast is who is there on every stage: an admin with a second factor, and a user
// without one. Both are signed in, on the API and in a browser.
type cast struct{ ada, uma part }

// stage is one server over one database file of its own.
type stage struct {
	t       *testing.T
	ctx     context.Context
	dir     string // the data folder
	clock   *securitytest.Clock
	service *security.Service
	web     *Server
	url     string
	cast
	// bearer is whom a call of the API comes from unless it says otherwise: the
	// admin, or a key of hers.
	bearer string
}

// openStage serves a data folder.
func openStage(t *testing.T, dir string) *stage {
	t.Helper()
	s := &stage{t: t, ctx: context.Background(), dir: dir, clock: securitytest.NewClock()}
	quiet := slog.New(slog.DiscardHandler)
	var err error
	s.service, err = security.Open(s.ctx, security.Options{DataDir: dir, PublicURL: stagePublic, Hashing: securitytest.CheapHashing, Now: s.clock.Now, Log: quiet})
	s.check(err)
	s.web, err = New(Options{Service: s.service, PublicURL: stagePublic, Now: s.clock.Now, Log: quiet})
	s.check(err)
	server := httptest.NewServer(s.web)
	s.url = server.URL
	s.check(securitytest.Unlimited(dir))
	t.Cleanup(func() {
		s.web.Stop()
		server.Close()
		if err := s.service.Close(s.ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// rehearse makes the data folder that stages are copies of.
func rehearse(t *testing.T) (dir string, of cast) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	t.Run("rehearsal", func(t *testing.T) {
		s := openStage(t, dir)
		of = cast{ada: s.enter("ada@example.org", "admin"), uma: s.enter("uma@example.org", "user")}
		begun, err := s.service.BeginTOTP(s.ctx, s.caller(of.ada.Token), "")
		s.check(err)
		enrolled, err := s.service.VerifyTOTP(s.ctx, s.caller(of.ada.Token), s.totp(begun.Secret))
		s.check(err)
		of.ada.Backup = enrolled.BackupCodes
		tokens, err := s.service.Tokens(enrolled.SignIn)
		s.check(err)
		of.ada.Token, of.ada.Refresh = tokens.Access.Reveal(), tokens.Refresh.Reveal()
		in, err := s.service.SecondFactor(s.ctx, stageRequest, session.Browser, s.login(session.Browser, of.ada.Email).Secret, mfa.BackupCode, of.ada.code())
		s.check(err)
		of.ada.Cookie = in.Secret.Reveal()
	})
	if t.Failed() {
		t.FailNow()
	}
	return dir, of
}

// stageRequest is what the requests of a stage look like from inside.
var stageRequest = security.Request{IP: netip.MustParseAddr("127.0.0.1"), UserAgent: "walk/1"}

// enter adds a user and signs them in, twice.
func (s *stage) enter(email, role string) part {
	s.t.Helper()
	u, _, err := s.service.AddUser(s.ctx, email, role, secret.NewText(stagePassword))
	s.check(err)
	p := part{ID: u.ID, Email: email, Cookie: s.login(session.Browser, email).Secret.Reveal()}
	tokens, err := s.service.Tokens(s.login(session.API, email))
	s.check(err)
	p.Token, p.Refresh = tokens.Access.Reveal(), tokens.Refresh.Reveal()
	return p
}

func (s *stage) login(kind session.Kind, email string) security.SignIn {
	s.t.Helper()
	in, err := s.service.Login(s.ctx, stageRequest, kind, email, secret.NewText(stagePassword))
	s.check(err)
	return in
}

func (s *stage) caller(token string) security.Caller {
	s.t.Helper()
	c, err := s.service.IdentifyBearer(s.ctx, stageRequest, secret.NewText(token))
	s.check(err)
	return c
}

// totp is what an authenticator app shows now.
func (s *stage) totp(of secret.Text) string {
	s.t.Helper()
	code, err := totp.GenerateCode(of.Reveal(), s.clock.Now())
	s.check(err)
	return code
}

// setStage is a copy of what was rehearsed, or an empty one.
func setStage(t *testing.T, from string, of cast, empty bool) *stage {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	if empty {
		return openStage(t, dir)
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "keys.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := openStage(t, dir)
	s.cast, s.bearer = of, of.ada.Token
	return s
}

// key makes an API key of somebody.
func (s *stage) key(of part, scopes ...string) (id, token string) {
	s.t.Helper()
	key, text, err := s.service.CreateKey(s.ctx, s.caller(of.Token), security.KeyRequest{Name: "walk", Scopes: scopes})
	s.check(err)
	return key.ID, text.Reveal()
}

// nonce confirms an operation for the bearer of this stage.
func (s *stage) nonce(action string) string {
	s.t.Helper()
	body := map[string]string{"action": action}
	if s.bearer == s.ada.Token {
		body["password"], body["code"] = stagePassword, s.ada.code()
	}
	var answer struct{ Nonce string }
	s.must(route{method: "POST", path: "/api/v1/auth/nonce", access: anyone}, call{json: body}, &answer)
	return answer.Nonce
}

// call is one request of an example.
type call struct {
	path   string            // when it is not that of the route
	id     string            // stands in the path for :id
	json   any               // a body
	form   map[string]string // or this, which gets its token
	nonce  string
	as     *part // nil: the bearer of the stage or, of a page, the admin
	header map[string]string
}

// answered is the answer to a call.
type answered struct {
	status int
	header http.Header
	text   string
}

// send makes the request of a call, the way in which a program or a browser does.
func (s *stage) send(r route, c call) answered {
	s.t.Helper()
	path := r.path
	if c.path != "" {
		path = c.path
	}
	path = strings.Replace(path, ":id", c.id, 1)
	var body io.Reader
	header := http.Header{}
	page := !isMachinePath(r.path)
	bearer, cookie := "", ""
	switch {
	case c.as != nil && page:
		cookie = c.as.Cookie
	case c.as != nil:
		bearer = c.as.Token
	case r.access == public:
	case page:
		cookie = s.ada.Cookie
	default:
		bearer = s.bearer
	}
	if bearer != "" {
		header.Set("Authorization", "Bearer "+bearer)
	}
	binding := formBinding(stageFormCookie)
	if page {
		header.Set("Cookie", s.web.csrf.cookieName()+"="+stageFormCookie)
	}
	if cookie != "" {
		header.Set("Cookie", "patronus="+cookie)
		binding = sessionBinding(cookie)
	}
	switch {
	case c.form != nil:
		token, err := s.web.csrf.token(binding)
		s.check(err)
		form := url.Values{csrfField: {token}}
		for name, value := range c.form {
			form.Set(name, value)
		}
		body = strings.NewReader(form.Encode())
		header.Set("Content-Type", mediaForm)
		header.Set("Origin", stagePublic.String())
		header.Set("Sec-Fetch-Site", "same-origin")
	case c.json != nil:
		text, err := json.Marshal(c.json)
		s.check(err)
		body = strings.NewReader(string(text))
		header.Set("Content-Type", mediaJSON)
	}
	if c.nonce != "" {
		header.Set("X-Patronus-Nonce", c.nonce)
	}
	for name, value := range c.header {
		header.Set(name, value)
	}
	request, err := http.NewRequest(r.method, s.url+path, body)
	s.check(err)
	request.Host, request.Header = stagePublic.Host, header
	client := &http.Client{Transport: Described{s.t}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(request)
	s.check(err)
	a := answered{status: response.StatusCode, header: response.Header}
	if a.status != http.StatusSwitchingProtocols { // which has no end
		text, err := io.ReadAll(response.Body)
		s.check(err)
		a.text = string(text)
	}
	s.check(response.Body.Close())
	return a
}

// stageFormCookie binds the forms of who is not signed in.
var stageFormCookie = base64.RawURLEncoding.EncodeToString(make([]byte, formCookieBytes))

// must makes a request of the set-up of an example and reads its answer.
func (s *stage) must(r route, c call, answer any) {
	s.t.Helper()
	a := s.send(r, c)
	if a.status >= http.StatusMultipleChoices {
		s.t.Fatalf("%s %s answers %d: %s", r.method, r.path, a.status, a.text)
	}
	s.check(json.Unmarshal([]byte(a.text), answer))
}

// events are those of the log behind a number, oldest first, as nobody but a test
// reads them: without a trace.
func (s *stage) events(after int64) []audit.Record {
	s.t.Helper()
	everything := security.Caller{User: user.User{Role: string(rbac.Admin)}}
	events, more, err := s.service.Events(s.ctx, everything, audit.Filter{After: after, OldestFirst: true, Limit: 500})
	s.check(err)
	if more != 0 {
		s.t.Fatal("an example wrote hundreds of events")
	}
	return events
}

// newest is the number of the newest event.
func (s *stage) newest() int64 {
	s.t.Helper()
	events := s.events(0)
	if len(events) == 0 {
		return 0
	}
	return events[len(events)-1].Seq
}
