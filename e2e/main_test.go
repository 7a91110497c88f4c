//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// What all tests share: the binary under test and one running browser, in
// which each visitor has a profile of their own.
var (
	binary  string
	browser context.Context
)

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	for _, tool := range []string{"zbarimg", "oathtool"} {
		if _, err := exec.LookPath(tool); err != nil {
			return stop("the browser tests need %s; scripts/test.sh installs it", tool)
		}
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		return stop("the browser tests need chromium on the PATH; scripts/test.sh installs it")
	}
	folder, err := os.MkdirTemp("", "patronus-e2e-")
	if err != nil {
		return stop("%v", err)
	}
	defer os.RemoveAll(folder)

	binary = filepath.Join(folder, "dashboard")
	build := exec.Command("go", "build", "-o", binary, "../cmd/dashboard")
	if out, err := build.CombinedOutput(); err != nil {
		return stop("the binary does not build: %v\n%s", err, out)
	}

	allocator, cancel := chromedp.NewExecAllocator(context.Background(), append(
		chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium),
		chromedp.UserDataDir(filepath.Join(folder, "profile")),
		chromedp.NoSandbox, // Chromium has none for root, as in a CI container
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)...)
	defer cancel()
	browser, cancel = chromedp.NewContext(allocator)
	defer cancel()
	if err := chromedp.Do(browser); err != nil {
		return stop("chromium does not start: %v", err)
	}
	defer func() {
		if err := chromedp.Cancel(browser); err != nil {
			fmt.Fprintln(os.Stderr, "chromium did not end well:", err)
		}
	}()
	return m.Run()
}

func stop(format string, args ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	return 1
}
