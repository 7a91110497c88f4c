package handlers

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"patronus.internal/dashboard/openapi"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/stepup"
)

var (
	pathParameter = regexp.MustCompile(`:([a-z_]+)`)
	nonceInRoutes = regexp.MustCompile("nonce `([a-z_.]+)`")
)

// TestEveryRouteIsDescribed: the document has an operation for each route of the
// API and no other, and says of it who may call it, the permission, the limit and
// the nonce.
func TestEveryRouteIsDescribed(t *testing.T) {
	routed, err := os.ReadFile("../docs/routes.md")
	if err != nil {
		t.Fatal(err)
	}
	operations := map[string]*openapi3.Operation{}
	ids := map[string]bool{}
	for path, item := range description().Paths.Map() {
		for method, operation := range item.Operations() {
			operations[method+" "+path] = operation
			if operation.OperationID == "" || ids[operation.OperationID] {
				t.Errorf("%s %s: the operationId %q is missing or there twice", method, path, operation.OperationID)
			}
			ids[operation.OperationID] = true
			for _, tag := range operation.Tags {
				if description().Tags.Get(tag) == nil {
					t.Errorf("%s %s: there is no tag %q", method, path, tag)
				}
			}
			if operation.Summary == "" || len(operation.Tags) != 1 {
				t.Errorf("%s %s: it needs a summary and one tag", method, path)
			}
		}
	}
	s := &Server{}
	for _, r := range slices.Concat(s.api(), s.streams()) {
		name := r.method + " " + pathParameter.ReplaceAllString(r.path, "{$1}")
		operation := operations[name]
		if operation == nil {
			t.Errorf("%s is not described: add it to openapi/paths_….yaml", name)
			continue
		}
		delete(operations, name)
		says := func(extension, want string) {
			if got, _ := operation.Extensions[extension].(string); got != want {
				t.Errorf("%s: %s is %q and not %q", name, extension, got, want)
			}
		}
		says("x-access", string(r.access))
		says("x-permission", string(r.permission))
		says("x-limit", string(r.limit))
		if during, _ := operation.Extensions["x-during-enrollment"].(bool); r.access != public && during != r.duringEnrollment {
			t.Errorf("%s: x-during-enrollment is %t", name, during)
		}
		_, line, _ := strings.Cut(string(routed), "| "+r.method+" | `"+r.path+"` |")
		line, _, _ = strings.Cut(line, "\n")
		nonce := ""
		if match := nonceInRoutes.FindStringSubmatch(line); match != nil {
			nonce = match[1]
		}
		says("x-nonce", nonce)
	}
	for name := range operations {
		t.Errorf("%s is described, and there is no such route", name)
	}
}

// TestWordsAreDescribed: what the document lists is what there is.
func TestWordsAreDescribed(t *testing.T) {
	enum := func(schema string) (words []string) {
		for _, word := range description().Components.Schemas[schema].Value.Enum {
			words = append(words, word.(string))
		}
		return words
	}
	same := func(what string, got, want []string) {
		got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
		if !slices.Equal(got, want) {
			t.Errorf("%s: the document has\n%v\nand the program\n%v", what, got, want)
		}
	}
	same("event types", enum("EventType"), texts(audit.Types))
	same("severities", enum("Severity"), texts(audit.Severities))
	same("roles", enum("Role"), texts(rbac.Roles))
	for _, action := range enum("Action") {
		if _, err := stepup.ParseAction(action); err != nil {
			t.Errorf("there is no action %s", action)
		}
	}
	described := openapi.Codes()
	for _, c := range described {
		row, known := refusals[secerr.Code(c.Name)]
		if status := strconv.Itoa(row.Status); !known || status != c.Status || row.Title != c.Title {
			t.Errorf("openapi/problems.yaml has %s as %s %q, and errors.go as %s %q", c.Name, c.Status, c.Title, status, row.Title)
		}
	}
	if len(described) != len(refusals) {
		t.Errorf("openapi/problems.yaml has %d codes, and errors.go %d", len(described), len(refusals))
	}
	want, err := json.Marshal(policy.Default())
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(description().Components.Schemas["Policy"].Value.Examples[0])
	if err != nil {
		t.Fatal(err)
	}
	if !sameJSON(t, got, want) {
		t.Errorf("the policy of the document is\n%s\nand the default\n%s", got, want)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
