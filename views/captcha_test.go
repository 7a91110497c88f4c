package views

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/a-h/templ"
	"golang.org/x/net/html"
)

// TestCaptchaOfTheLogin: a browser without JavaScript gets everything that it
// needs from the page alone, within the form, and none is there uncalled for.
func TestCaptchaOfTheLogin(t *testing.T) {
	fields := func(c *CaptchaProps) map[string]map[string]string {
		t.Helper()
		var body bytes.Buffer
		if err := Login(LoginProps{Captcha: c}).Render(templ.WithNonce(context.Background(), "nonce"), &body); err != nil {
			t.Fatal(err)
		}
		document, err := html.Parse(&body)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]map[string]string{}
		for e := range document.Descendants() {
			a := attributes(e)
			if !within(e, "form") {
				continue
			}
			found[e.Data] = a
			found[e.Data+" "+a["name"]] = a
			found["#"+a["id"]] = a
		}
		return found
	}
	for name := range fields(nil) {
		if strings.Contains(name, "captcha") || name == "img" || name == "script" {
			t.Errorf("%s is there without being demanded", name)
		}
	}
	f := fields(&CaptchaProps{Challenge: `{"salt":"s"}`, Token: "token", ImagePath: "/i", AudioPath: "/a"})
	_, hidden := f["fieldset"]["hidden"]
	_, required := f["input captcha_digits"]["required"]
	if hidden || !required || f["input captcha_token"]["value"] != "token" || f["img"]["src"] != "/i" || f["img"]["alt"] != "Six digits" || f["audio"]["src"] != "/a" {
		t.Errorf("the digits: %v", f)
	}
	if work, ok := f["input captcha"]; !ok || work["value"] != "" || f["#captcha"]["data-challenge"] != `{"salt":"s"}` || f["#captcha"]["data-worker"] == "" || f["script"]["src"] == "" {
		t.Errorf("the work: %v", f)
	}
}
