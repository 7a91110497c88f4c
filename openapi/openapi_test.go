package openapi

import (
	"io/fs"
	"maps"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestDocumentIsValid holds the document against OpenAPI 3.1, and each example in
// it against its schema.
func TestDocumentIsValid(t *testing.T) {
	loader := openapi3.NewLoader()
	document, err := loader.LoadFromData(Document())
	if err != nil {
		t.Fatal(err)
	}
	err = document.Validate(loader.Context, openapi3.EnableExamplesValidation(), openapi3.EnableSchemaFormatValidation(),
		openapi3.EnableSchemaDefaultsValidation(), openapi3.EnableMultiError())
	if err != nil {
		t.Fatal(err)
	}
}

// TestObjectsAreClosed: an object that may have other members than those listed
// would let a test of the server pass what nobody has described. Every body has an
// example, but for files.
func TestObjectsAreClosed(t *testing.T) {
	document, err := openapi3.NewLoader().LoadFromData(Document())
	if err != nil {
		t.Fatal(err)
	}
	var closed func(where string, schema *openapi3.Schema)
	closed = func(where string, schema *openapi3.Schema) {
		if schema.Type.Includes("object") && schema.AdditionalProperties.Has == nil {
			t.Errorf("%s: say whether there may be other members", where)
		}
		for name, property := range schema.Properties {
			closed(where+"."+name, property.Value)
		}
		if schema.Items != nil {
			closed(where+"[]", schema.Items.Value)
		}
	}
	for name, schema := range document.Components.Schemas {
		closed(name, schema.Value)
	}
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			bodies := map[string]openapi3.Content{}
			if operation.RequestBody != nil {
				bodies["request"] = operation.RequestBody.Value.Content
			}
			for status, response := range operation.Responses.Map() {
				bodies[status] = response.Value.Content
			}
			for which, content := range bodies {
				for media, body := range content {
					where := strings.Join([]string{method, path, which, media}, " ")
					closed(where, body.Schema.Value)
					file := body.Schema.Value.Type.Is("string")
					if body.Example == nil && body.Examples == nil && !file {
						t.Errorf("%s has no example", where)
					}
				}
			}
		}
	}
}

// TestMistakesAreNamed: what would make a wrong document ends the build of it.
func TestMistakesAreNamed(t *testing.T) {
	whole := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(name, ".yaml") || name == "guide.md") {
			content, err := os.ReadFile(name)
			whole[name] = &fstest.MapFile{Data: content}
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const fine = "/x:\n  get:\n    operationId: x\n    x-access: public\n    x-limit: none\n    responses:\n      \"204\": {description: Done.}\n"
	for _, test := range []struct{ name, paths, want string }{
		{"fine", fine, ""},
		{"an operation twice", strings.Replace(fine, "/x:", "/api/v1/me:", 1), "/api/v1/me is there already"},
		{"no access", strings.Replace(fine, "public", "everybody", 1), `GET /x: there is no x-access "everybody"`},
		{"a permission that nobody needs", strings.Replace(fine, "x-limit", "x-permission: users:read\n    x-limit", 1), "do not fit"},
		{"a permission that is missing", strings.Replace(fine, "public", "permission", 1), "do not fit"},
		{"an unknown code", fine + "    x-problems: {gone: Away.}\n", `there is no code "gone"`},
		{"no responses", strings.Split(fine, "    responses")[0], "no responses"},
		{"no YAML", "{", "paths_zzz.yaml"},
		{"a list", "[]", "no mapping"},
	} {
		with := maps.Clone(whole)
		with["paths_zzz.yaml"] = &fstest.MapFile{Data: []byte(test.paths)}
		_, err := build(with)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
