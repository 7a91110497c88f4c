//go:build e2e

package e2e

import (
	"context"
	"strings"

	"github.com/chromedp/chromedp"
)

// savesBackupCodes copies, downloads and prints the codes as a person with
// JavaScript does; who is without it sees none of the buttons. What a button
// hands to the browser is caught on its way to the clipboard, the file and the
// printer.
func (p *person) savesBackupCodes() {
	p.t.Helper()
	buttons := len(p.texts("main button[data-action]:not([hidden])"))
	if !p.scripts {
		if buttons != 0 {
			p.t.Errorf("%d buttons do nothing without JavaScript", buttons)
		}
		return
	}
	if buttons != 3 {
		p.t.Fatalf("%d buttons, want copy, download and print", buttons)
	}
	p.do("listen to the buttons", evaluate(`
		window.caught = {}
		Object.defineProperty(navigator, 'clipboard', { value: { writeText: async text => { caught.copy = text } } })
		URL.createObjectURL = blob => { blob.text().then(text => { caught.download = text }); return '#' }
		window.print = () => { caught.print = 'printed' }`))
	want := strings.Join(p.backupCodes, "\n") + "\n"
	for action, result := range map[string]string{"copy": want, "download": want, "print": "printed"} {
		p.click("button[data-action=" + action + "]")
		if got := p.caught(action); got != result {
			p.t.Errorf("%s hands over %q, want %q", action, got, result)
		}
	}
}

// caught waits for what a button hands over.
func (p *person) caught(action string) (got string) {
	p.t.Helper()
	p.call("catch the "+action, func(ctx context.Context) (err error) {
		for got == "" && err == nil {
			got, err = chromedp.Run(ctx, chromedp.Evaluate[string]("window.caught."+action+" || ''"))
		}
		return err
	})
	return got
}
