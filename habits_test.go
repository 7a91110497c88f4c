package dashboard_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// maxLines is how long a file may grow before it has to be split.
const maxLines = 400

// source is a file of the module, by its path with slashes.
type source struct {
	path string
	text []byte
}

func (f source) test() bool { return strings.HasSuffix(f.path, "_test.go") }

// generated files are drawn from a view and hold what a person wrote only
// between other lines.
func (f source) generated() bool { return strings.HasSuffix(f.path, "_templ.go") }

// under reports whether the file is in a folder of the module or below it.
func (f source) under(folder string) bool { return strings.HasPrefix(f.path, folder+"/") }

// sourceFiles reads every Go and templ file of the module.
func sourceFiles(t *testing.T) []source {
	t.Helper()
	var files []source
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			hidden := path != "." && strings.HasPrefix(entry.Name(), ".")
			if hidden || slices.Contains([]string{"testdata", "node_modules", "data", "bin"}, entry.Name()) {
				return filepath.SkipDir
			}
			return nil
		case filepath.Ext(path) != ".go" && filepath.Ext(path) != ".templ":
			return nil
		}
		text, err := os.ReadFile(path)
		files = append(files, source{filepath.ToSlash(path), text})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestFilesStaySmall(t *testing.T) {
	for _, f := range sourceFiles(t) {
		if lines := bytes.Count(f.text, []byte("\n")); !f.generated() && lines > maxLines {
			t.Errorf("%s has %d lines, more than %d: split it by what it does", f.path, lines, maxLines)
		}
	}
}

// A clock and a random source that come from outside make every decision
// repeatable. time.Now and rand.Reader may be named, as the default of an
// option, but not called.
func TestClockAndRandomnessAreInjected(t *testing.T) {
	for _, f := range sourceFiles(t) {
		if f.test() || f.generated() || f.under("cmd") || filepath.Ext(f.path) != ".go" {
			continue
		}
		for _, found := range ambientCalls(t, f) {
			t.Errorf("%s: take it from Options.Now or Options.Rand", found)
		}
	}
}

// An error's text is written for the log: it may name files, queries and
// libraries. What people see is the Detail of a secerr.Error.
func TestNoErrorTextReachesAPage(t *testing.T) {
	for _, f := range sourceFiles(t) {
		// What a view does with an error shows in the Go code generated from it.
		if f.test() || !f.under("handlers") && !f.under("views") || filepath.Ext(f.path) != ".go" {
			continue
		}
		for _, found := range errorTexts(t, f) {
			t.Errorf("%s: show the Detail of a secerr.Error, log the error itself", found)
		}
	}
}

// ambient lists the functions that read the machine's clock or randomness, by
// import path.
var ambient = map[string][]string{
	"time":        {"Now", "Since", "Until"},
	"crypto/rand": {"Read", "Text"},
}

// ambientCalls returns a sentence for each call of an ambient function.
func ambientCalls(t *testing.T, f source) []string {
	t.Helper()
	return inspectCalls(t, f, func(file *ast.File, call *ast.CallExpr) string {
		function, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return ""
		}
		name, ok := function.X.(*ast.Ident)
		if !ok {
			return ""
		}
		path := importNamed(file, name.Name)
		if !slices.Contains(ambient[path], function.Sel.Name) {
			return ""
		}
		return "calls " + path + "." + function.Sel.Name
	})
}

// errorTexts returns a sentence for each call of a method Error without
// arguments: slog's Error always has some.
func errorTexts(t *testing.T, f source) []string {
	t.Helper()
	return inspectCalls(t, f, func(_ *ast.File, call *ast.CallExpr) string {
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || method.Sel.Name != "Error" || len(call.Args) > 0 {
			return ""
		}
		return "takes the text of an error"
	})
}

// inspectCalls asks check about each call in the file and returns its answers
// behind the places.
func inspectCalls(t *testing.T, f source, check func(*ast.File, *ast.CallExpr) string) []string {
	t.Helper()
	places := token.NewFileSet()
	file, err := parser.ParseFile(places, f.path, f.text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if what := check(file, call); what != "" {
				found = append(found, fmt.Sprintf("%s %s", places.Position(call.Pos()), what))
			}
		}
		return true
	})
	return found
}

// importNamed returns the path that a file imports under a name.
func importNamed(file *ast.File, name string) string {
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		own := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			own = spec.Name.Name
		}
		if own == name {
			return path
		}
	}
	return ""
}

func TestHabitRules(t *testing.T) {
	const head = "package p\nimport (\"crypto/rand\"; mathrand \"math/rand/v2\"; clock \"time\"; \"time\")\n"
	tests := []struct {
		name, body string
		find       func(*testing.T, source) []string
		want       int
	}{
		{"a call of time.Now", "var t = time.Now()", ambientCalls, 1},
		{"under another name", "var t = clock.Now().UTC()", ambientCalls, 1},
		{"time.Since", "func f(t time.Time) time.Duration { return time.Since(t) }", ambientCalls, 1},
		{"as a default", "var now = time.Now", ambientCalls, 0},
		{"of an option", "func f(o struct{ Now func() time.Time }) time.Time { return o.Now() }", ambientCalls, 0},
		{"rand.Read", "func f(b []byte) { rand.Read(b) }", ambientCalls, 1},
		{"rand.Reader as a default", "var r = rand.Reader", ambientCalls, 0},
		{"another package of that name", "var n = mathrand.N(3)", ambientCalls, 0},
		{"an error's text", "func f(err error) string { return err.Error() }", errorTexts, 1},
		{"inside an expression", "func f(e interface{ Err() error }) string { return \"x\" + e.Err().Error() }", errorTexts, 1},
		{"a log line", "func f(log interface{ Error(string, ...any) }) { log.Error(\"x\") }", errorTexts, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			found := test.find(t, source{"p.go", []byte(head + test.body)})
			if len(found) != test.want {
				t.Errorf("found %d, want %d: %v", len(found), test.want, found)
			}
		})
	}
}
