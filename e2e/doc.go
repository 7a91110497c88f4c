// Package e2e walks through the pages as a person does: a real browser against
// the real binary, on a database of its own. The tests need Chromium, zbarimg
// and oathtool and stand behind a build tag:
//
//	go test -tags e2e ./e2e
//
// With E2E_SCREENSHOTS=FOLDER each page that is inspected is also kept there as
// a picture, on a desktop and a phone, light and dark.
package e2e
