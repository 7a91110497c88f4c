//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"patronus.internal/dashboard/security/keyring"
	"patronus.internal/dashboard/security/securitytest"
)

// TestCaptcha has somebody come to an account from another browser and type
// three wrong passwords: from then on the right one needs a check.
func TestCaptcha(t *testing.T) {
	eitherWay(t, func(t *testing.T, scripts bool) {
		data := t.TempDir()
		s := startServerUnder(t, securitytest.WithoutRateLimits, data)
		p := newUser(t, s, data, scripts)
		// The browser that signed in before has a count of its own.
		p.uses(newVisitor(t, s, scripts))
		p.failsToSignIn(3)
		p.comesToCheck()
		// A test has no eyes to read the digits, but the keys are here.
		keys, err := keyring.Load(filepath.Join(data, "keys.json"), keyring.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if scripts {
			p.passesUnseen(keys)
		} else {
			p.typesDigits(keys)
		}
		p.at("/")
	})
}

// failsToSignIn types wrong passwords.
func (p *person) failsToSignIn(times int) {
	p.t.Helper()
	for range times {
		p.visit("/login", 200)
		p.fill("email", p.email)
		p.fill("password", p.password+"x")
		p.submit("/login", 401)
		p.sees("is not right")
	}
}

// comesToCheck types the right password, for which the page demands the check.
func (p *person) comesToCheck() {
	p.t.Helper()
	p.visit("/login", 200)
	p.fill("email", p.email)
	p.fill("password", p.password)
	p.submit("/login", 401)
	p.sees("Do the check first")
	p.seesNot(p.password)
}

const checkState = `#captcha [role="status"]`

// passesUnseen has the browser do the work, and sees each state of that.
func (p *person) passesUnseen(keys *keyring.Ring) {
	p.t.Helper()
	p.says(checkState, "Your browser has passed the check.")
	if value(p.visitor, "look for digits", chromedp.Evaluate[bool]("document.querySelector('#captcha fieldset').checkVisibility()")) {
		p.t.Error("beside the work of the browser the page asks for digits")
	}
	p.inspect("login-captcha-passed")

	// Where the work cannot be done there are the digits.
	undo := p.prepares(`window.Worker = class { constructor() { throw new Error('no worker') } }`)
	p.comesToCheck()
	p.says(checkState, "Your browser could not do the check.")
	p.seesAndHears()
	p.until(`(audio => { audio.preload = 'auto'; return audio.readyState > 0 })(document.querySelector('#captcha audio'))`)
	p.inspect("login-captcha-fallback")
	p.answersWrongly(keys)
	undo()

	// The form waits for the work, which here is held back until it does.
	p.prepares(`{
		const Real = Worker
		window.Worker = class extends Real {
			postMessage(work) { window.letWork = () => super.postMessage(work) }
		}
	}`)
	p.comesToCheck()
	p.says(checkState, "Your browser is doing a check.")
	p.fill("password", p.password)
	p.click(`form[action="/login"] button[type=submit]`)
	p.says(checkState, "Your browser is still busy with a check.")
	p.inspect("login-captcha-busy")
	p.load("let the browser work", 200, func(ctx context.Context) (*network.Response, error) {
		return chromedp.RunResponse(ctx, evaluate("letWork()"))
	})
}

// typesDigits signs in by the digits, after a wrong answer.
func (p *person) typesDigits(keys *keyring.Ring) {
	p.t.Helper()
	p.seesAndHears()
	p.inspect("login-captcha-digits")
	first := p.captchaToken()
	p.answersWrongly(keys)
	if p.captchaToken() == first {
		p.t.Error("after a wrong answer the digits are the same")
	}
	p.seesAndHears()
	p.fill("password", p.password)
	p.fill("captcha_digits", securitytest.CaptchaDigits(p.t, keys.MAC, p.captchaToken()))
	p.submit("/login", 200)
}

// answersWrongly types the right password with digits of which one is wrong.
func (p *person) answersWrongly(keys *keyring.Ring) {
	p.t.Helper()
	digits := []byte(securitytest.CaptchaDigits(p.t, keys.MAC, p.captchaToken()))
	digits[5] = '0' + (digits[5]-'0'+1)%10
	p.fill("password", p.password)
	p.fill("captcha_digits", string(digits))
	p.submit("/login", 401)
	p.sees("was not passed")
}

func (v *visitor) captchaToken() string {
	v.t.Helper()
	return v.attribute(`#captcha [name="captcha_token"]`, "value")
}

// attribute is that of the first element that fits, as it stands in the page.
func (v *visitor) attribute(selector, name string) string {
	v.t.Helper()
	return value(v, "read "+name+" of "+selector, chromedp.Evaluate[string](
		fmt.Sprintf("document.querySelector(%q).getAttribute(%q)", selector, name)))
}

// seesAndHears checks that the digits are there as a picture and as a
// recording.
func (v *visitor) seesAndHears() {
	v.t.Helper()
	const drawn = `(img => img.complete && img.naturalWidth > 0)(document.querySelector('#captcha img'))`
	if v.scripts { // it is drawn when it comes into view
		v.until(drawn)
	} else if !value(v, "look at the picture", chromedp.Evaluate[bool](drawn)) {
		v.t.Error("there is no picture of the digits")
	}
	for selector, magic := range map[string]string{"#captcha img": "\x89PNG", "#captcha audio": "RIFF"} {
		request, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.site+v.attribute(selector, "src"), nil)
		if err != nil {
			v.t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			v.t.Fatal(err)
		}
		file, err := io.ReadAll(response.Body)
		if err != nil {
			v.t.Error(err)
		}
		if err := response.Body.Close(); err != nil {
			v.t.Error(err)
		}
		if response.StatusCode != http.StatusOK || !strings.HasPrefix(string(file), magic) {
			v.t.Errorf("%s: status %d and %d bytes of %s", selector, response.StatusCode, len(file), response.Header.Get("Content-Type"))
		}
	}
}

// until waits for an expression of JavaScript to come true.
func (v *visitor) until(expression string) {
	v.t.Helper()
	value(v, "wait for "+expression, chromedp.Evaluate[bool](
		"new Promise(done => { const look = () => { "+expression+" ? done(true) : requestAnimationFrame(look) }; look() })",
		chromedp.EvalAwaitPromise))
}

// prepares runs a script before those of each page that comes, until it is
// undone.
func (v *visitor) prepares(script string) (undo func()) {
	v.t.Helper()
	var id page.ScriptIdentifier
	v.call("prepare the pages", func(ctx context.Context) error {
		added, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
		if err == nil {
			id = added.Identifier
		}
		return err
	})
	return func() {
		v.t.Helper()
		v.call("prepare the pages no more", func(ctx context.Context) error {
			_, err := chromedp.Call(ctx, page.RemoveScriptToEvaluateOnNewDocument, page.RemoveScriptToEvaluateOnNewDocumentParams{Identifier: id})
			return err
		})
	}
}
