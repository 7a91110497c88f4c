//go:build e2e

package e2e

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestKeyPage makes a key that may do too much, narrows it to what it used, changes
// it and deletes it, on its page. Somebody else's is there for an admin to end, and
// for nobody else.
func TestKeyPage(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServer(t, data)
		admin := newAdmin(t, s, scripts)
		user := newUser(t, s, data, scripts)
		page, key := admin.makesWideKey(s)
		admin.narrowsKey(s, page, key)
		admin.changesKey(s, page, key)

		user.visit(page, 404)
		admin.visit("/users?q="+user.email, 200)
		admin.follow(`main tbody a[href^="/users/"]`, 200)
		admin.choose("permission", "users:read")
		admin.submit(admin.path()+"/grants", 200)
		user.visit("/api-keys", 200)
		user.fill("name", "my log")
		user.click(`[name="scopes"][value="audit:read"]`)
		user.click(`[name="scopes"][value="users:read"]`)
		user.submit("/api-keys", 201)
		theirs := user.text("#api-key-secret")
		s.keepsSecret("API key of the user", theirs)
		user.visit("/api-keys", 200)
		user.follow(`main tbody a[href^="/api-keys/"]`, 200)
		user.seesNot("granted, but")
		admin.follow(`form[action$="/revoke"] button`, 200) // the grant
		user.visit(user.path(), 200)
		if row := user.row("users:read"); !strings.Contains(row, "granted, but you may not do this any more") {
			t.Errorf("what is lost is listed as %s", row)
		}
		user.inspect("key-shrunk")

		admin.visit("/users?q="+user.email, 200)
		admin.follow(`main tbody a[href^="/users/"]`, 200)
		admin.sees("Their API keys")
		admin.inspect("user-with-keys")
		admin.follow(`main tbody a[href="`+user.path()+`"]`, 200)
		admin.sees(user.email)
		admin.seesNot("Change it")
		admin.inspect("key-of-another")
		admin.click(`details:has(form[action$="/revoke"]) > summary`)
		admin.follow(`form[action$="/revoke"] button:not([type=button])`, 200)
		admin.at(user.path())
		admin.sees("Revoked")
		if code := problemCode(s.get("/api/v1/audit", theirs)); code != "401 unauthenticated" {
			t.Errorf("the user's key after its end: %s", code)
		}

		admin.visit(page, 200)
		admin.follow(`a[href$="/delete"]`, 200)
		admin.sees("It stops working at once")
		admin.inspect("key-delete")
		admin.submit(page+"/delete", 200)
		admin.at("/api-keys")
		admin.sees("The key is deleted")
		admin.visit(page, 404)
		if code := problemCode(s.get("/api/v1/audit", key)); code != "401 unauthenticated" {
			t.Errorf("the key after its end: %s", code)
		}
	})
}

// makesWideKey makes a key with networks and a limit, and returns its page and its
// secret.
func (p *person) makesWideKey(s *server) (page, key string) {
	p.t.Helper()
	p.visit("/api-keys", 200)
	p.click("form[action='/api-keys'] details > summary")
	p.inspect("api-keys-more")
	p.fill("name", "nightly report to the auditors of the second floor")
	for _, scope := range []string{"audit:read", "users:read", "users:write", "sites:read"} {
		p.click(`[name="scopes"][value="` + scope + `"]`)
	}
	p.writesLines("networks", "127.0.0.1")
	p.fill("rate_limit.max_requests", "0")
	p.submit("/api-keys", 422)
	p.refuses("networks")
	p.refuses("rate_limit.max_requests")
	p.refuses("rate_limit.window_secs")
	p.inspect("api-keys-more-refused")
	p.writesLines("networks", "127.0.0.0/8\n2001:db8:4:2::/64")
	p.fill("rate_limit.max_requests", "100")
	p.fill("rate_limit.window_secs", "60")
	p.submit("/api-keys", 201)
	key = p.text("#api-key-secret")
	s.keepsSecret("API key with networks", key)
	p.visit("/api-keys", 200)
	p.follow(`main tbody a[href^="/api-keys/"]`, 200)
	for _, shown := range []string{key[:len("pk_")+8], "2001:db8:4:2::/64", "100 requests in 60 s", "not yet", "It has used nothing of this yet"} {
		p.sees(shown)
	}
	p.inspect("key-unused")
	return p.path(), key
}

// narrowsKey uses the key and takes what it did not use.
func (p *person) narrowsKey(s *server, page, key string) {
	p.t.Helper()
	for _, path := range []string{"/api/v1/audit", "/api/v1/users"} {
		if status, body := s.get(path, key); status != 200 {
			p.t.Errorf("%s with the key: %d %s", path, status, body)
		}
	}
	p.visit(page, 200)
	p.sees("from 127.0.0.1")
	if row := p.row("users:write"); !strings.Contains(row, "not used within 30 days") {
		p.t.Errorf("what was not used is listed as %s", row)
	}
	if row := p.row("audit:read"); !strings.Contains(row, "used within 30 days") || strings.Contains(row, "not used") {
		p.t.Errorf("what was used is listed as %s", row)
	}
	p.inspect("key-wide")
	p.submit(page+"/narrow", 200)
	p.at(page)
	p.sees("The key keeps only what it used")
	p.sees("so there is nothing to take from it")
	p.seesNot("users:write")
	p.inspect("key-narrowed")
	if code := problemCode(s.get("/metrics", key)); code != "403 insufficient_scope" {
		p.t.Errorf("what was taken: %s", code)
	}
	if status, _ := s.get("/api/v1/users", key); status != 200 {
		p.t.Errorf("what was kept: %d", status)
	}
}

// changesKey gives the key another name and other networks, and is refused some.
func (p *person) changesKey(s *server, page, key string) {
	p.t.Helper()
	p.fill("name", "report")
	p.writesLines("networks", "everywhere")
	p.fill("rate_limit.burst", "-1")
	p.submit(page, 422)
	p.refuses("networks")
	p.refuses("rate_limit.burst")
	p.inspect("key-change-refused")
	p.writesLines("networks", "192.0.2.0/24")
	p.fill("rate_limit.max_requests", "")
	p.fill("rate_limit.window_secs", "")
	p.fill("rate_limit.burst", "")
	p.submit(page, 200)
	p.at(page)
	p.sees("The key is changed")
	p.sees("none; that of all keys counts")
	if code := problemCode(s.get("/api/v1/audit", key)); code != "403 forbidden" {
		p.t.Errorf("from outside of its networks: %s", code)
	}
}

// writesLines types several lines into a field, in place of what it holds.
func (v *visitor) writesLines(name, text string) {
	v.t.Helper()
	selector := `textarea[name="` + name + `"]`
	v.do("write "+name, evaluate("document.querySelector('"+selector+"').value = ''"), chromedp.SendKeys(chromedp.CSS(selector), text))
}
