//go:build e2e

package e2e

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// axe is axe-core 4.14.1, the accessibility rules of Deque Systems (MPL-2.0).
//
//go:embed testdata/axe.min.js
var axe string

// screen is a window's size in CSS pixels.
type screen struct{ width, height int64 }

// A usual notebook, and the narrowest phone that the pages promise to fit.
var (
	desktop = screen{1280, 900}
	phone   = screen{360, 740}
)

const (
	light = "light"
	dark  = "dark"
)

// look sets the size of the window and the colours that the visitor prefers.
func (v *visitor) look(size screen, colours string) {
	v.t.Helper()
	v.do("resize the window", chromedp.EmulateViewport(size.width, size.height))
	v.call("choose colours", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{
				{Name: "prefers-color-scheme", Value: colours},
				// A colour in transition would be measured half way.
				{Name: "prefers-reduced-motion", Value: "reduce"},
			}})
		return err
	})
}

// inspect looks at the page on a desktop and a phone, in light and dark: it
// must break no rule of axe-core and be no wider than the window. The name is
// that of its pictures.
func (v *visitor) inspect(name string) {
	v.t.Helper()
	if !v.scripts {
		// The page was drawn without JavaScript; the rules themselves need it.
		v.runScripts(true)
		defer v.runScripts(false)
		name += "-noscript"
	}
	for _, size := range []screen{desktop, phone} {
		for _, colours := range []string{light, dark} {
			v.look(size, colours)
			seen := fmt.Sprintf("%s-%d-%s", name, size.width, colours)
			v.fits(seen, size)
			v.accessible(seen)
			v.picture(seen)
		}
	}
	v.look(desktop, light)
}

// inspectOnce inspects a page that is the same with JavaScript and without, in
// the run with it.
func (v *visitor) inspectOnce(name string) {
	v.t.Helper()
	if v.scripts {
		v.inspect(name)
	}
}

// fits checks that nobody has to scroll sideways.
func (v *visitor) fits(seen string, size screen) {
	v.t.Helper()
	wide := value(v, "measure the page", chromedp.Evaluate[int64]("document.documentElement.scrollWidth"))
	if wide > size.width {
		v.t.Errorf("%s: the page is %d px wide, the window %d", seen, wide, size.width)
	}
}

// violation is a broken rule, with the elements that break it.
type violation struct {
	ID    string `json:"id"`
	Help  string `json:"help"`
	Nodes []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	} `json:"nodes"`
}

// accessible runs every rule of axe-core. It reaches the page through the
// debugger, which the Content-Security-Policy does not bind.
func (v *visitor) accessible(seen string) {
	v.t.Helper()
	const run = `axe.run(document, {resultTypes: ["violations"]}).then(found => JSON.stringify(found.violations))`
	if !value(v, "look for axe-core", chromedp.Evaluate[bool]("typeof axe === 'object'")) {
		v.do("load axe-core", evaluate(axe))
	}
	found := value(v, "run axe-core", chromedp.Evaluate[string](run, chromedp.EvalAwaitPromise))
	var violations []violation
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		v.t.Fatalf("%s: axe-core answered %q: %v", seen, found, err)
	}
	for _, broken := range violations {
		var nodes strings.Builder
		for _, node := range broken.Nodes {
			fmt.Fprintf(&nodes, "  %s\n  %s\n", node.HTML, strings.ReplaceAll(node.FailureSummary, "\n", "\n  "))
		}
		v.t.Errorf("%s: %s (%s)\n%s", seen, broken.Help, broken.ID, &nodes)
	}
}

// evaluate runs a script for what it does.
func evaluate(script string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[bool](script+"\n;true")(ctx, target)
		return chromedp.Void{}, err
	}
}

// tallest is how high a page may be, in pixels, to be kept whole. Of a higher one
// the picture is what the window shows: the whole would take a browser on a busy
// machine longer than a step may.
const tallest = 15_000

// picture keeps what is seen in the folder that E2E_SCREENSHOTS names.
func (v *visitor) picture(seen string) {
	v.t.Helper()
	folder := os.Getenv("E2E_SCREENSHOTS")
	if folder == "" {
		return
	}
	shot := chromedp.FullScreenshot(100)
	if value(v, "measure the page", chromedp.Evaluate[int64]("document.documentElement.scrollHeight")) > tallest {
		shot = chromedp.CaptureScreenshot()
	}
	png := value(v, "take a picture", shot)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		v.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, seen+".png"), png, 0o644); err != nil {
		v.t.Fatal(err)
	}
}
