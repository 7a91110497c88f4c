package handlers_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"patronus.internal/dashboard/handlers"
	"patronus.internal/dashboard/security"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/securitytest"
	"patronus.internal/dashboard/security/session"
)

// live is a server with a viewer and a plain user signed in.
type live struct {
	t       *testing.T
	ctx     context.Context
	service *security.Service
	web     *handlers.Server
	url     string
	dir     string
}

func startLive(t *testing.T) *live {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a limit for a failure, not a wait
	t.Cleanup(cancel)
	server := httptest.NewUnstartedServer(nil)
	public := &url.URL{Scheme: "http", Host: server.Listener.Addr().String()}
	quiet := slog.New(slog.DiscardHandler)
	l := &live{t: t, ctx: ctx, url: public.String(), dir: filepath.Join(t.TempDir(), "data")}
	var err error
	if l.service, err = security.Open(ctx, security.Options{DataDir: l.dir, PublicURL: public, Hashing: securitytest.CheapHashing, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	if l.web, err = handlers.New(handlers.Options{Service: l.service, PublicURL: public, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = l.web
	server.Start()
	t.Cleanup(func() {
		l.web.Stop()
		server.Close()
		if err := l.service.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for address, role := range map[string]string{"vera@example.org": "viewer", "uma@example.org": "user"} {
		if _, _, err := l.service.AddUser(ctx, address, role, secret.NewText(scriptPassword)); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *live) signIn(address string, kind session.Kind) security.SignIn {
	l.t.Helper()
	in, err := l.service.Login(l.ctx, security.Request{}, kind, address, secret.NewText(scriptPassword))
	if err != nil {
		l.t.Fatal(err)
	}
	return in
}

func (l *live) token(in security.SignIn) string {
	l.t.Helper()
	tokens, err := l.service.Tokens(in)
	if err != nil {
		l.t.Fatal(err)
	}
	return tokens.Access.Reveal()
}

// dial opens a feed and returns it, or the status that refuses it.
func (l *live) dial(query string, header http.Header) (*websocket.Conn, int) {
	l.t.Helper()
	conn, response, err := websocket.Dial(l.ctx, strings.Replace(l.url, "http", "ws", 1)+"/ws/audit"+query, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		if response == nil {
			l.t.Fatal(err)
		}
		return nil, response.StatusCode
	}
	l.t.Cleanup(func() { conn.CloseNow() })
	return conn, response.StatusCode
}

func (l *live) open(query, bearer string) *websocket.Conn {
	l.t.Helper()
	conn, status := l.dial(query, http.Header{"Authorization": {"Bearer " + bearer}})
	if conn == nil {
		l.t.Fatalf("the feed is refused with %d", status)
	}
	return conn
}

type seen struct {
	ID        int64   `json:"id"`
	EventType string  `json:"event_type"`
	Email     *string `json:"email"`
}

func (l *live) next(conn *websocket.Conn) seen {
	l.t.Helper()
	kind, text, err := conn.Read(l.ctx)
	if err != nil || kind != websocket.MessageText {
		l.t.Fatalf("%v", err)
	}
	var event seen
	if err := json.Unmarshal(text, &event); err != nil {
		l.t.Fatalf("%v: %s", err, text)
	}
	return event
}

// TestTheLogAsItHappens: each event comes once, in order, and who comes back
// misses none.
func TestTheLogAsItHappens(t *testing.T) {
	l := startLive(t)
	bearer := l.token(l.signIn("vera@example.org", session.API))
	conn := l.open("", bearer)
	l.signIn("uma@example.org", session.API)
	first := l.next(conn)
	if first.EventType != "login_attempt" || *first.Email != "uma@example.org" {
		t.Errorf("%+v", first)
	}
	// What another process writes comes too.
	if _, _, err := securitytest.Beside(t, securitytest.NewClock(), l.dir).AddUser(l.ctx, "new@example.org", "user", secret.NewText(scriptPassword)); err != nil {
		t.Fatal(err)
	}
	if event := l.next(conn); event.EventType != "user_create" || event.ID != first.ID+1 {
		t.Errorf("%+v", event)
	}
	again := l.open("?after=0", bearer)
	for id := int64(1); id <= first.ID+1; id++ {
		if event := l.next(again); event.ID != id {
			t.Fatalf("event %d comes in the place of %d", event.ID, id)
		}
	}
	if event := l.next(l.open("?after="+strconv.FormatInt(first.ID-1, 10), bearer)); event.ID != first.ID {
		t.Errorf("behind %d comes %d", first.ID-1, event.ID)
	}
	// A user sees their own events alone.
	uma := l.open("?after=0", l.token(l.signIn("uma@example.org", session.API)))
	for range 2 {
		if event := l.next(uma); event.Email == nil || *event.Email != "uma@example.org" {
			t.Errorf("%+v", event)
		}
	}
}

// TestALiveFeedEndsWithItsSession: by a sign-out, in the browser too, and when
// the server stops.
func TestALiveFeedEndsWithItsSession(t *testing.T) {
	l := startLive(t)
	ends := func(name string, conn *websocket.Conn, want websocket.StatusCode) {
		t.Helper()
		for {
			_, _, err := conn.Read(l.ctx)
			if err == nil {
				continue // events from before
			}
			if got := websocket.CloseStatus(err); got != want {
				t.Errorf("%s: %v", name, err)
			}
			return
		}
	}
	in := l.signIn("vera@example.org", session.API)
	conn := l.open("", l.token(in))
	caller, err := l.service.IdentifyBearer(l.ctx, security.Request{}, secret.NewText(l.token(in)))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.service.Logout(l.ctx, caller); err != nil {
		t.Fatal(err)
	}
	ends("signed out", conn, 4401)

	browser := l.signIn("vera@example.org", session.Browser)
	cookie := http.Header{"Cookie": {"patronus=" + browser.Secret.Reveal()}, "Origin": {l.url}}
	conn, status := l.dial("", cookie)
	if conn == nil {
		t.Fatalf("a page of ours is refused with %d", status)
	}
	if err := securitytest.Beside(t, securitytest.NewClock(), l.dir).DisableUser(l.ctx, "vera@example.org"); err != nil {
		t.Fatal(err)
	}
	ends("disabled by another process", conn, 4401)

	conn = l.open("", l.token(l.signIn("uma@example.org", session.API)))
	l.web.Stop()
	ends("stopping", conn, websocket.StatusGoingAway)
}

func TestWhoMayNotFollow(t *testing.T) {
	l := startLive(t)
	in := l.signIn("vera@example.org", session.Browser)
	bearer := l.token(l.signIn("vera@example.org", session.API))
	cookie := "patronus=" + in.Secret.Reveal()
	for name, c := range map[string]struct {
		query  string
		header http.Header
		want   int
	}{
		"nobody":                     {"", http.Header{}, 401},
		"a bearer that is none":      {"", http.Header{"Authorization": {"Bearer x"}}, 401},
		"another site's page":        {"", http.Header{"Cookie": {cookie}, "Origin": {"https://evil.example"}}, 403},
		"another site, with a token": {"", http.Header{"Authorization": {"Bearer " + bearer}, "Origin": {"https://evil.example"}}, 403},
		"a cookie without an origin": {"", http.Header{"Cookie": {cookie}}, 401},
		"what is no event":           {"?after=x", http.Header{"Authorization": {"Bearer " + bearer}}, 422},
		"a negative one":             {"?after=-1", http.Header{"Authorization": {"Bearer " + bearer}}, 422},
		"what is not known":          {"?before=1", http.Header{"Authorization": {"Bearer " + bearer}}, 400},
	} {
		if conn, status := l.dial(c.query, c.header); conn != nil || status != c.want {
			t.Errorf("%s: %d", name, status)
		}
	}
	// Twelve at once, then one each six seconds.
	uma := l.token(l.signIn("uma@example.org", session.API))
	opened := 0
	for range 20 {
		conn, status := l.dial("", http.Header{"Authorization": {"Bearer " + uma}})
		switch {
		case conn != nil:
			opened++
		case status != 429:
			t.Errorf("%d", status)
		}
	}
	if opened != 12 {
		t.Errorf("%d of twenty feeds opened", opened)
	}
}
