//go:build e2e

package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"patronus.internal/dashboard/security/securitytest"
)

// TestLongExport tells how far a long export is while the browser saves it.
func TestLongExport(t *testing.T) {
	data, downloads := t.TempDir(), t.TempDir()
	s := startServer(t, data)
	p := newAdmin(t, s, true)
	if err := securitytest.AppendEvents(data, 300_000); err != nil {
		t.Fatal(err)
	}
	p.call("save downloads", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow,
			BrowserContextID: chromedp.FromContext(ctx).BrowserContextID, DownloadPath: downloads})
		return err
	})
	p.visit("/audit?limit=5", 200)
	p.click(`button[name="format"][value="csv"]`)
	p.until(`document.querySelector('.exporting progress').value > 0`)
	p.says("#exporting", "Exporting…")
	p.inspect("audit-exporting")
	p.until(`document.getElementById('exporting').innerText === 'The export is done.'`)
	saved, err := filepath.Glob(filepath.Join(downloads, "*.csv"))
	if err != nil || len(saved) != 1 {
		t.Fatalf("saved are %v, %v", saved, err)
	}
	file, err := os.ReadFile(saved[0])
	if err != nil || strings.Count(string(file), "\n") < 300_000 {
		t.Errorf("the file has %d lines, %v", strings.Count(string(file), "\n"), err)
	}
	p.at("/audit")
}
