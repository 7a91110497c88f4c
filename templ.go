// Package dashboard holds what belongs to the whole module. The pages are
// written in templ; after a change to a .templ file, generate their Go code
// with `go generate .` and commit both.
package dashboard

//go:generate go tool templ generate -path ./views
