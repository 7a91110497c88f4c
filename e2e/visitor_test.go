//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// actionLimit bounds one step of a visitor. It is wide for a busy machine and
// ends a test only where a page does not come.
const actionLimit = 20 * time.Second

// visitor is a person with a browser profile of their own. Every step fails
// the test if it cannot be taken or if the page reports a problem: an error in
// the console, a breach of the Content-Security-Policy, a file that does not
// load.
type visitor struct {
	t       *testing.T
	ctx     context.Context
	site    string
	scripts bool

	mu       sync.Mutex
	problems []string
}

// newVisitor opens a window on the server, with JavaScript or without.
func newVisitor(t *testing.T, s *server, scripts bool) *visitor {
	t.Helper()
	v := &visitor{t: t, site: s.url, scripts: scripts}
	var cancel context.CancelFunc
	v.ctx, cancel = chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(v.hear))
	t.Cleanup(func() {
		if problems := v.heard(); problems != nil {
			t.Errorf("the last page reports\n%s", strings.Join(problems, "\n"))
		}
		cancel()
	})
	// The window belongs to the context of this first call, so it has no limit.
	if err := chromedp.Do(v.ctx); err != nil {
		t.Fatalf("no window: %v", err)
	}
	v.runScripts(scripts)
	v.look(desktop, light)
	return v
}

func (v *visitor) runScripts(on bool) {
	v.t.Helper()
	v.call("switch JavaScript", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	})
}

// hear keeps what a page complains of. The status of a document is left to
// each step, which knows the one it expects.
func (v *visitor) hear(event any) {
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		v.report("uncaught: %s", e.ExceptionDetails.Text)
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			for _, arg := range e.Args {
				v.report("console: %s %s", arg.Description, arg.Value)
			}
		}
	case *log.EventEntryAdded:
		security := e.Entry.Source == log.EntrySourceSecurity
		if security || e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			v.report("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL)
		}
	case *network.EventResponseReceived:
		if e.Type != network.ResourceTypeDocument && e.Response.Status >= 400 {
			v.report("status %d for %s", e.Response.Status, e.Response.URL)
		}
	case *network.EventLoadingFailed:
		if e.BlockedReason != "" || !e.Canceled {
			v.report("%s did not load: %s %s", e.Type, e.ErrorText, e.BlockedReason)
		}
	}
}

func (v *visitor) report(format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.problems = append(v.problems, fmt.Sprintf(format, args...))
}

// heard returns what was reported since it was last called.
func (v *visitor) heard() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	problems := v.problems
	v.problems = nil
	return problems
}

// call takes one step within the limit. On failure it shows the page.
func (v *visitor) call(what string, step func(ctx context.Context) error) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, actionLimit)
	defer cancel()
	err := step(ctx)
	for isStale(err) && ctx.Err() == nil {
		err = step(ctx)
	}
	if err != nil {
		v.t.Fatalf("%s: %v\n%s", what, err, v.page())
	}
}

// isStale reports whether a step was not taken because the debugger numbered
// the nodes of the page anew, as it does shortly after a page has loaded. What
// was looked up before that has to be looked up again.
func isStale(err error) bool {
	var refused *cdproto.Error
	return errors.As(err, &refused) && strings.Contains(refused.Message, "node with given id")
}

// value is call for an action of chromedp that returns a value.
func value[T any](v *visitor, what string, action chromedp.Action[T]) (result T) {
	v.t.Helper()
	v.call(what, func(ctx context.Context) (err error) {
		result, err = chromedp.Run(ctx, action)
		return err
	})
	return result
}

func (v *visitor) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	v.call(what, func(ctx context.Context) error { return chromedp.Do(ctx, actions...) })
}

// load takes a step that leads to another page and checks its status.
func (v *visitor) load(what string, status int64, step func(ctx context.Context) (*network.Response, error)) {
	v.t.Helper()
	var response *network.Response
	v.call(what, func(ctx context.Context) (err error) {
		response, err = step(ctx)
		return err
	})
	if response == nil {
		v.t.Fatalf("%s: no page came\n%s", what, v.page())
	}
	if response.Status != status {
		v.t.Fatalf("%s: status %d, want %d\n%s", what, response.Status, status, v.page())
	}
	if problems := v.heard(); problems != nil {
		v.t.Fatalf("%s: the page reports\n%s\n%s", what, strings.Join(problems, "\n"), v.page())
	}
}

// page is what can be seen, for a failure.
func (v *visitor) page() string {
	ctx, cancel := context.WithTimeout(v.ctx, actionLimit)
	defer cancel()
	seen, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText`))
	if err != nil {
		return err.Error()
	}
	return seen
}

// visit opens a path of the site, or a whole link of it.
func (v *visitor) visit(path string, status int64) {
	v.t.Helper()
	link := path
	if strings.HasPrefix(path, "/") {
		link = v.site + path
	}
	v.load("visit "+path, status, func(ctx context.Context) (*network.Response, error) {
		return chromedp.Run(ctx, chromedp.NavigateResponse(link))
	})
}

// at checks which page is shown, by its path.
func (v *visitor) at(path string) {
	v.t.Helper()
	if at := v.path(); at != path {
		v.t.Fatalf("at %s, want %s\n%s", at, path, v.page())
	}
}

// path is that of the page that is shown.
func (v *visitor) path() string {
	v.t.Helper()
	return value(v, "read the address", chromedp.Evaluate[string]("location.pathname"))
}

// fill types a text into the field of that name, in place of what it holds.
func (v *visitor) fill(name, text string) {
	v.t.Helper()
	v.fillIn(`[name="`+name+`"]:not([type=hidden])`, text)
}

func (v *visitor) fillIn(selector, text string) {
	v.t.Helper()
	field := chromedp.CSS(selector)
	v.do("fill "+selector, chromedp.Clear(field), chromedp.SendKeys(field, text))
}

// choose picks an option of a select by its value.
func (v *visitor) choose(name, option string) {
	v.t.Helper()
	field := chromedp.CSS(`select[name="` + name + `"]`)
	v.do("choose "+name, chromedp.SetValue(field, option))
	if chosen := value(v, "read "+name, chromedp.Value(field)); chosen != option {
		v.t.Fatalf("select %s has no option %q\n%s", name, option, v.page())
	}
}

// click presses something that stays on the page.
func (v *visitor) click(selector string) {
	v.t.Helper()
	v.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// follow presses a link or button that leads to another page.
func (v *visitor) follow(selector string, status int64) {
	v.t.Helper()
	v.load("follow "+selector, status, func(ctx context.Context) (*network.Response, error) {
		return chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(selector)))
	})
}

// submit presses the button of the form that is sent to action.
func (v *visitor) submit(action string, status int64) {
	v.t.Helper()
	v.follow(`form[action="`+action+`"] button:not([type=button])`, status)
}

// text is what the first element that fits shows.
func (v *visitor) text(selector string) string {
	v.t.Helper()
	return strings.TrimSpace(value(v, "read "+selector, chromedp.Text(chromedp.CSS(selector))))
}

// texts is what each element that fits shows; there may be none.
func (v *visitor) texts(selector string) []string {
	v.t.Helper()
	return value(v, "read each "+selector, chromedp.Evaluate[[]string](
		fmt.Sprintf("Array.from(document.querySelectorAll(%q), e => e.innerText.trim())", selector)))
}

// sees checks that the page shows a text.
func (v *visitor) sees(text string) {
	v.t.Helper()
	if page := value(v, "read the page", chromedp.Text(chromedp.CSS("body"))); !strings.Contains(page, text) {
		v.t.Fatalf("the page does not show %q\n%s", text, v.page())
	}
}

// seesNot checks that nowhere in the page, not even hidden, is a text.
func (v *visitor) seesNot(text string) {
	v.t.Helper()
	if html := value(v, "read the page", chromedp.OuterHTML(chromedp.CSS("html"))); strings.Contains(html, text) {
		v.t.Fatalf("the page holds %q\n%s", text, v.page())
	}
}

// row is what the row of a table shows that holds a text.
func (v *visitor) row(text string) string {
	v.t.Helper()
	rows := v.texts("main tbody tr")
	at := slices.IndexFunc(rows, func(row string) bool { return strings.Contains(row, text) })
	if at < 0 {
		v.t.Fatalf("no row shows %q\n%s", text, v.page())
	}
	return rows[at]
}
