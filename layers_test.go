package dashboard_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "patronus.internal/dashboard"

// layer is a storey of the house. An import goes from a higher storey to a
// lower one, never to the same.
type layer struct {
	name  string
	level int
}

// The storeys from the ground up.
var (
	leaf        = layer{"leaf", 0} // imported by any, imports nothing of ours
	storage     = layer{"storage", 1}
	auditLog    = layer{"audit log", 2}
	concern     = layer{"concern", 3} // one feature of security each
	service     = layer{"security", 4}
	testSupport = layer{"test support", 5} // for tests of the storeys above
	view        = layer{"view", 6}
	handler     = layer{"handler", 7}
	command     = layer{"command", 8}
)

// layers names the packages that are no concern.
var layers = map[string]layer{
	"":                      leaf, // the module's root: a comment on how to generate
	"security/secerr":       leaf,
	"security/secret":       leaf,
	"migrations":            leaf,
	"static":                leaf,
	"openapi":               leaf, // what the API is, for those who call it
	"security/merkle":       leaf, // the arithmetic of the tree of the log
	"security/db":           storage,
	"security/audit":        auditLog,
	"security":              service,
	"security/securitytest": testSupport,
	"views":                 view,
	"handlers":              handler,
	"cmd/dashboard":         command,
	"e2e":                   command,
}

// forbidden imports go down, and yet have no business where they are named.
var forbidden = map[string]map[string]string{
	"handlers": {
		"database/sql":          "storage is reached through package security",
		module + "/security/db": "storage is reached through package security",
	},
	"views": {
		"database/sql":          "a view does no I/O",
		"net":                   "a view does no I/O",
		"net/http":              "a view does no I/O",
		"os":                    "a view does no I/O",
		"os/exec":               "a view does no I/O",
		module + "/security":    "a view decides nothing: the handler hands it plain values",
		module + "/security/db": "a view does no I/O",
	},
}

// layerOf returns the storey of a package given by its path in the module. A
// folder right under security is a concern; any other new package has to be
// given a storey here.
func layerOf(path string) (layer, bool) {
	if known, ok := layers[path]; ok {
		return known, true
	}
	name, ok := strings.CutPrefix(path, "security/")
	return concern, ok && !strings.Contains(name, "/")
}

// imports is a package and what its own files, without the tests, import.
type imports struct {
	ImportPath string
	Imports    []string
}

// violations lists what is wrong with the imports of one package.
func violations(p imports) []string {
	path := inModule(p.ImportPath)
	from, ok := layerOf(path)
	if !ok {
		return []string{fmt.Sprintf("package %s has no layer: give it one in the table of layers_test.go, or move it under security/ if it is a concern", path)}
	}
	var found []string
	for _, imported := range p.Imports {
		if why, no := forbidden[path][imported]; no {
			found = append(found, fmt.Sprintf("%s must not import %s: %s", path, imported, why))
		}
		if imported != module && !strings.HasPrefix(imported, module+"/") {
			continue
		}
		target := inModule(imported)
		to, ok := layerOf(target)
		switch {
		case !ok: // is reported for that package itself
		case to == testSupport:
			found = append(found, fmt.Sprintf("%s imports %s outside its tests", path, target))
		case from == concern && to == concern:
			found = append(found, fmt.Sprintf("%s imports %s: concerns never import one another; what needs both is a method of security.Service", path, target))
		case to.level >= from.level:
			found = append(found, fmt.Sprintf("%s (%s) imports %s (%s): imports go strictly down", path, from.name, target, to.name))
		}
	}
	return found
}

func inModule(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

func TestImportsGoDown(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 5 || !slices.ContainsFunc(packages, func(p imports) bool { return inModule(p.ImportPath) == "security" }) {
		t.Fatalf("go list found %d packages and perhaps no security; the test looks at the wrong place", len(packages))
	}
	for _, p := range packages {
		for _, violation := range violations(p) {
			t.Error(violation)
		}
	}
}

func listPackages(t *testing.T) []imports {
	t.Helper()
	// What go list reads is unknown to the cache of test results. The test of
	// the source files opens each of them, which makes the cache see a change.
	sourceFiles(t)
	// With -e a package that does not compile is still listed: that is for the
	// compiler to report.
	list := exec.CommandContext(t.Context(), "go", "list", "-e", "-tags", "e2e", "-json=ImportPath,Imports", "./...")
	var stdout, stderr bytes.Buffer
	list.Stdout, list.Stderr = &stdout, &stderr
	if err := list.Run(); err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packages []imports
	for decoder := json.NewDecoder(&stdout); ; {
		var p imports
		if err := decoder.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		packages = append(packages, p)
	}
}

func TestLayerRules(t *testing.T) {
	tests := []struct {
		name, from string
		imports    []string
		refused    bool
	}{
		{"down", "handlers", []string{"views", "security", "security/audit", "security/secerr", "static"}, false},
		{"a concern on the storage", "security/token", []string{"security/audit", "security/db", "security/secret"}, false},
		{"up", "security/db", []string{"security/audit"}, true},
		{"from security to the pages", "security", []string{"handlers"}, true},
		{"from a view to a handler", "views", []string{"handlers"}, true},
		{"a leaf on a leaf", "security/secret", []string{"security/secerr"}, true},
		{"a concern on a concern", "security/token", []string{"security/session"}, true},
		{"test support outside tests", "handlers", []string{"security/securitytest"}, true},
		{"test support on security", "security/securitytest", []string{"security", "security/db"}, false},
		{"a view on the service", "views", []string{"security"}, true},
		{"a handler on the storage", "handlers", []string{"security/db"}, true},
		{"an unknown package", "helpers", nil, true},
		{"a folder within a concern", "security/token/internal", nil, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := imports{ImportPath: module + "/" + test.from}
			for _, path := range test.imports {
				p.Imports = append(p.Imports, module+"/"+path)
			}
			if found := violations(p); (found != nil) != test.refused {
				t.Errorf("refused = %v, want %v: %v", found != nil, test.refused, found)
			}
		})
	}
	for from, targets := range forbidden {
		for target := range targets {
			if violations(imports{ImportPath: module + "/" + from, Imports: []string{target}}) == nil {
				t.Errorf("%s may import %s", from, target)
			}
		}
	}
}
