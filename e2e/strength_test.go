//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"patronus.internal/dashboard/security/password"
	"patronus.internal/dashboard/security/secret"
)

// Where the words on a new password are, and those on its repetition.
const (
	strengthWords = ".advice > p"
	sameWords     = ".advice-same"
)

// retype types a text over what somebody has typed before; a backspace empties
// the field.
func (v *visitor) retype(id, text string) {
	v.t.Helper()
	v.do("type into "+id, evaluate(fmt.Sprintf("document.getElementById(%[1]q).focus(); document.getElementById(%[1]q).select()", id)),
		chromedp.SendKeys(chromedp.CSS("#"+id), text))
}

// says waits until an element shows words that start like these.
func (v *visitor) says(selector, words string) {
	v.t.Helper()
	var seen string
	v.call(fmt.Sprintf("wait for %q", words), func(ctx context.Context) (err error) {
		script := fmt.Sprintf("document.querySelector(%q).innerText", selector)
		for {
			seen, err = chromedp.Run(ctx, chromedp.Evaluate[string](script))
			if err == nil && (seen == words || words != "" && strings.HasPrefix(seen, words)) {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("it says %q (%v)", seen, err)
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
}

// loaded counts the files of that name that the page has asked for.
func (v *visitor) loaded(name string) int {
	v.t.Helper()
	return value(v, "count "+name, chromedp.Evaluate[int](
		fmt.Sprintf("performance.getEntriesByType('resource').filter(e => e.name.includes('/static/%s.')).length", name)))
}

// TestStrengthAtSetup types the first password beside the address that it must
// not be made of.
func TestStrengthAtSetup(t *testing.T) {
	s := startServer(t, t.TempDir())
	v := newVisitor(t, s, true)
	v.visit(s.firstRunLink(), 200)
	v.retype("email", "ada.lovelace@analytical.example")
	if strength, library := v.loaded("strength"), v.loaded("zxcvbn"); strength != 1 || library != 0 {
		t.Errorf("before a password is typed, %d scripts and %d libraries are loaded", strength, library)
	}
	v.retype("password", "lantern")
	v.says(strengthWords, "Too short: 7 of 15 characters.")
	if !value(v, "look for the bar", chromedp.Evaluate[bool](`document.querySelector('.advice-bar[data-level="1"]').checkVisibility()`)) {
		t.Error("no bar is shown")
	}
	v.inspect("setup-strength-short")
	v.retype("password", "lovelace.analytical.ada")
	v.says(strengthWords, "Too short: 2 of 15 characters. Parts of your e-mail address")
	v.retype("email", "ada@example.org") // the words follow the address, too
	v.says(strengthWords, "Very good.")
	v.retype("password", "P4tr0nusP4tr0nusP4tr0nus")
	v.says(strengthWords, "Too short: 0 of 15 characters. Parts of")
	v.retype("password", strings.Repeat("violet harbour ", 9))
	v.says(strengthWords, "Too long: 135 characters")
	v.retype("password", "passwordpassword")
	v.says(strengthWords, "Easy to guess. ")
	v.retype("password", "summer in london")
	v.says(strengthWords, "Good.")
	v.retype("password", adminPassword)
	v.says(strengthWords, "Very good.")
	v.retype("password", "\b")
	v.says(strengthWords, "")
	if n := v.loaded("zxcvbn"); n != 1 {
		t.Errorf("zxcvbn is loaded %d times", n)
	}
}

// TestStrengthOnAccount changes a password with the words beside it, after it
// was first set without JavaScript and so without words.
func TestStrengthOnAccount(t *testing.T) {
	data := t.TempDir()
	s := startServer(t, data)
	link := addUser(t, s, data, "grace@example.org", "user")
	p := &person{visitor: newVisitor(t, s, false), email: "grace@example.org", password: "copper meadow wristwatch 61"}
	s.keepsSecret("password", p.password)
	p.visit(link, 200)
	if shown := value(p.visitor, "look for words", chromedp.Evaluate[bool](
		`Array.from(document.querySelectorAll('.advice, .advice-same')).some(e => e.checkVisibility())`)); shown {
		t.Error("words on a password that nothing changes without JavaScript")
	}
	p.retype("password", p.password)
	p.retype("password_confirm", p.password)
	p.submit("/reset-password", 200)

	p.runScripts(true)
	p.scripts = true
	p.visit("/login", 200)
	p.fill("email", p.email)
	p.retype("password", p.password)
	p.submit("/login", 200)
	p.visit("/account", 200)
	p.click("#current_password")
	if n := p.loaded("zxcvbn"); n != 0 {
		t.Errorf("zxcvbn is loaded %d times for nothing", n)
	}
	p.retype("password", "grace of patronus")
	p.says(strengthWords, "Too short: ")
	p.inspect("account-strength-context")
	p.retype("password", "qwertyuiopasdfghjkl")
	p.says(strengthWords, "Easy to guess. ")
	p.retype("password_confirm", "qwertyuiop")
	p.says(sameWords, "")
	p.click("#current_password")
	p.says(sameWords, "The two passwords are not the same.")
	p.inspect("account-strength-easy")
	p.retype("current_password", p.password)
	p.submit("/account/password", 422)
	if labels := p.texts(`[role="alert"] a`); len(labels) != 1 || !strings.HasPrefix(labels[0], "New password, once more: ") {
		t.Errorf("the summary says %q", labels)
	}

	p.password = "orchard velvet compass 48"
	s.keepsSecret("new password", p.password)
	p.retype("password", p.password)
	p.says(strengthWords, "Very good.")
	p.retype("password_confirm", p.password)
	p.click("#current_password")
	p.says(sameWords, "The two passwords are the same.")
	if stale := p.texts(".field-error"); len(stale) != 0 {
		t.Errorf("beside that it says %q", stale)
	}
	p.inspect("account-strength-good")
	p.retype("current_password", "copper meadow wristwatch 61")
	p.submit("/account/password", 200)
	p.sees("Your password is changed")
}

// TestStrengthAgrees holds the words of the page against the decision of the
// server. They differ only where the server knows more: the list of common
// passwords.
func TestStrengthAgrees(t *testing.T) {
	data := t.TempDir()
	s := startServer(t, data)
	const email = "ann.miller@bakery.example.org"
	v := newVisitor(t, s, true)
	v.visit(addUser(t, s, data, email, "user"), 200)
	rules := password.Rules{MinLength: 15, MinScore: 3, Email: email, Product: "patronus"}
	for _, typed := range []string{
		"short", "plover kettle armistice", "éééééééééééééééé", "zazazazazazazaza", "bcdefghijklmnopqr", email,
		"Patronus-xk2vq-xk2", "miller bakery xk2vq9", "miller plover kettle armistice", "m1ller plover kettle armistice",
		"P4tr0nusB4k3ryM1ll3r", "p@tronus-m1ller-b@kery", "patrpatronusonus-xk2vq", "annmillerabcdefabcdef",
		strings.Repeat("a", 40) + "plover kettle armistice", "passwordpassword", "1990-02-14 1990-02-14", "qwertyuiopasdfghjkl",
		"Zaq!mK9#pw2vLs7", "correct horse battery", "iloveyouverymuch", "äußerst grüne Möhren 7", "лошадь батарея скрепка", "e\u0301clair verte lampe", "marymarymarymary1",
		"летозималетозимаю", "four\u2003wide\u2003spaces\u2003here",
	} {
		normal, err := password.Normalize(secret.NewText(typed))
		if err != nil {
			t.Fatal(err)
		}
		reasons := password.Check(normal, rules)
		quoted, err := json.Marshal(typed)
		if err != nil {
			t.Fatal(err)
		}
		// Pasted, since no keyboard types all of these.
		v.do("enter a password", evaluate(fmt.Sprintf(`
			document.querySelector('.advice > p').textContent = ''
			password.focus(); password.select(); document.execCommand('insertText', false, %s)`, quoted)))
		words := v.verdict()
		if accepted := strings.HasSuffix(strings.ToLower(words), "good."); accepted != (len(reasons) == 0) {
			t.Errorf("%q: the page says %q, the server %v", typed, words, reasons)
		}
	}
}

// verdict waits for words on a password that do not wait for zxcvbn themselves.
func (v *visitor) verdict() string {
	v.t.Helper()
	const words = `document.querySelector('.advice > p').innerText`
	v.call("wait for words", func(ctx context.Context) error {
		for {
			seen, err := chromedp.Run(ctx, chromedp.Evaluate[string](words))
			if err != nil || seen != "" && seen != "Long enough." {
				return err
			}
		}
	})
	return value(v, "read the words", chromedp.Evaluate[string](words))
}
