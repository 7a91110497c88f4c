// Package dashboard is the root of the Patronus Dashboard. It holds no code:
// the program is cmd/dashboard, and the pages are written in templ under
// views/. After a change to a .templ file run
//
//	go generate .
//
// and commit the _templ.go files it writes; the tests refuse stale ones. The
// generator is a tool of this module, so nothing needs to be installed.
//
// The stylesheet is built from the classes that the pages use: after a new
// class run static/src/build.sh, which needs Node.js and npm, and commit what
// it writes to static/.
package dashboard

//go:generate go tool templ generate -path ./views -include-timestamp=false -log-level warn
