//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

const keyName = "nightly report"

var keySecret = regexp.MustCompile(`^pk_[0-9a-f]{64}$`)

// createKey makes a key that may read the log for thirty days, and returns its
// secret, which is shown once.
func (p *person) createKey(s *server) string {
	p.visit("/api-keys", 200)
	p.inspect("api-keys-empty")
	p.fill("name", keyName)
	p.submit("/api-keys", 422) // no scope
	p.refuses("scopes")

	p.click(`[name="scopes"][value="audit:read"]`)
	p.choose("expires_in_days", "30")
	p.submit("/api-keys", 201)
	secret := p.text("#api-key-secret")
	if !keySecret.MatchString(secret) {
		p.t.Fatalf("the secret is %q, want pk_ and 64 hex digits", secret)
	}
	s.keepsSecret("API key", secret)
	p.inspect("api-key-created")

	p.visit("/api-keys", 200)
	p.seesNot(secret)
	row := p.row(keyName)
	for _, shown := range []string{secret[:len("pk_")+8], "audit:read", "Active"} {
		if !strings.Contains(row, shown) {
			p.t.Errorf("the key is listed without %q: %s", shown, row)
		}
	}
	if !p.rowHasDay(keyName, time.Now().AddDate(0, 0, 30)) {
		p.t.Errorf("the key is listed without its expiry in 30 days: %s", row)
	}
	if strings.Contains(row, "127.0.0.1") {
		p.t.Errorf("the key was used before it was: %s", row)
	}
	p.inspect("api-keys")
	p.follow(`main a[href="/api/v1/docs"]`, 200)
	p.sees("Patronus Dashboard API")
	return secret
}

// rowHasDay reports whether the row that shows a text also shows a time within
// a day of when.
func (p *person) rowHasDay(text string, when time.Time) bool {
	p.t.Helper()
	times := value(p.visitor, "read the times", chromedp.Evaluate[[]string](fmt.Sprintf(
		"Array.from(document.querySelectorAll('main tbody tr')).filter(r => r.innerText.includes(%q))"+
			".flatMap(r => Array.from(r.querySelectorAll('time'), t => t.dateTime))", text)))
	return slices.ContainsFunc(times, func(shown string) bool {
		at, err := time.Parse(time.RFC3339, shown)
		return err == nil && at.Sub(when).Abs() < 24*time.Hour
	})
}

// rotatesKey gives the key a new secret, first with an overlap, in which both
// work, then without, and returns the last one.
func (p *person) rotatesKey(s *server, first string) string {
	const form = `form[action$="/rotate"]`
	works := func(what, key string, want bool) {
		p.t.Helper()
		if status, body := s.get("/api/v1/me", key); (status == 200) != want {
			p.t.Errorf("%s: status %d, %s", what, status, body)
		}
	}
	rotate := func(overlap, says string) string {
		p.t.Helper()
		p.visit("/api-keys", 200)
		p.click("details:has(" + form + ") > summary")
		p.choose("overlap_secs", overlap)
		p.follow(form+" button:not([type=button])", 201)
		p.sees(says)
		secret := p.text("#api-key-secret")
		if !keySecret.MatchString(secret) {
			p.t.Fatalf("the new secret is %q, want pk_ and 64 hex digits", secret)
		}
		s.keepsSecret("API key, rotated "+overlap, secret)
		return secret
	}
	p.visit("/api-keys", 200)
	p.click("details:has(" + form + ") > summary")
	p.inspect("api-keys-rotate")
	p.do("ask for what is not offered", evaluate(`document.querySelector('[name="overlap_secs"] option').value = "604801"`))
	p.choose("overlap_secs", "604801")
	p.follow(form+" button:not([type=button])", 422)
	p.refuses("overlap_secs")
	p.inspect("api-keys-rotate-refused")

	second := rotate("3600", "The old secret works until")
	p.inspect("api-key-rotated")
	works("the old secret in its overlap", first, true)
	works("the new secret", second, true)
	third := rotate("0", "does not work any more")
	works("the first secret after the second rotation", first, false)
	works("the second secret after the second rotation", second, false)
	works("the third secret", third, true)
	p.visit("/api-keys", 200)
	p.seesNot(third)
	if row := p.row(keyName); !strings.Contains(row, third[:len("pk_")+8]) {
		p.t.Errorf("the key is listed without its new prefix: %s", row)
	}
	return third
}

// usesAndRevokesKey calls the API with the key, sees the use in the list, and
// revokes the key: it is dead at once.
func (p *person) usesAndRevokesKey(s *server, key string) {
	if code := problemCode(s.get("/api/v1/audit", key[:len(key)-1]+"g")); code != "401 unauthenticated" {
		p.t.Errorf("a key that is none: %s", code)
	}
	if code := problemCode(s.get("/api/v1/users", key)); code != "403 insufficient_scope" {
		p.t.Errorf("the users, without the scope: %s", code)
	}
	status, body := s.get("/api/v1/audit?event_type=api_key_create", key)
	if status != 200 || strings.Count(body, `"event_type":"api_key_create"`) != 1 {
		p.t.Errorf("the log with the key: status %d, %s", status, body)
	}

	p.visit("/api-keys", 200)
	if row := p.row(keyName); !strings.Contains(row, "127.0.0.1") || !p.rowHasDay(keyName, time.Now()) {
		p.t.Errorf("the key is listed without its last use: %s", row)
	}
	p.click(`details:has(form[action$="/revoke"]) > summary`)
	p.inspect("api-keys-revoke")
	p.follow(`form[action$="/revoke"] button:not([type=button])`, 200)
	p.at("/api-keys")
	if row := p.row(keyName); !strings.Contains(row, "Revoked") {
		p.t.Errorf("the key is listed as %s", row)
	}
	if len(p.texts(`form[action$="/revoke"]`)) > 0 {
		p.t.Error("a revoked key can be revoked again")
	}
	if code := problemCode(s.get("/api/v1/audit", key)); code != "401 unauthenticated" {
		p.t.Errorf("the log with the revoked key: %s", code)
	}
}

// seesExpiry makes a key that ends in two days and is told so, on the page of the
// keys and on the first one.
func (p *person) seesExpiry(s *server) {
	const name = "weekend job"
	p.visit("/", 200)
	p.seesNot("expire soon")
	p.visit("/api-keys", 200)
	p.fill("name", name)
	p.click(`[name="scopes"][value="audit:read"]`)
	p.do("choose what is not offered", evaluate(`document.querySelector('[name="expires_in_days"] option').value = "2"`))
	p.choose("expires_in_days", "2")
	p.submit("/api-keys", 201)
	s.keepsSecret("API key of two days", p.text("#api-key-secret"))
	p.visit("/api-keys", 200)
	if row := p.row(name); !strings.Contains(row, "expires in 1 day") {
		p.t.Errorf("the key is listed without a warning: %s", row)
	}
	p.inspect("api-keys-expiring")
	p.visit("/", 200)
	p.sees("expire soon")
	p.sees(name)
	p.inspect("overview-expiring")
}

// problemCode is the status and the code of a refusal.
func problemCode(status int, body string) string {
	var problem struct{ Code string }
	if err := json.Unmarshal([]byte(body), &problem); err != nil {
		return fmt.Sprintf("%d, no problem+json: %s", status, body)
	}
	return fmt.Sprintf("%d %s", status, problem.Code)
}
