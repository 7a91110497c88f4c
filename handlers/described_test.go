package handlers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"patronus.internal/dashboard/openapi"
)

// Described is the transport of a client whose API calls are held against the
// document of package openapi: what the server accepted must be a request that
// the document allows, and every answer, refusals too, must be one that it tells
// of, with no member that it does not know.
type Described struct{ T testing.TB }

// RoundTrip implements http.RoundTripper.
func (d Described) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || !isMachinePath(r.URL.Path) && r.URL.Path != docsPath || strings.HasPrefix(r.URL.Path, "/static/") {
		return answer, err
	}
	var text []byte
	if answer.StatusCode != http.StatusSwitchingProtocols { // which has no end
		if text, err = io.ReadAll(answer.Body); err != nil {
			return nil, err
		}
		answer.Body = io.NopCloser(bytes.NewReader(text))
	}
	for _, problem := range undescribed(r, sent, answer, text) {
		d.T.Errorf("%s %s is answered %d and openapi/ does not describe it: %s\n%s\n%s", r.Method, r.URL, answer.StatusCode, problem, sent, text)
	}
	return answer, nil
}

// description is the document, read once.
var description = sync.OnceValue(func() *openapi3.T {
	document, err := openapi3.NewLoader().LoadFromData(openapi.Document())
	if err != nil {
		panic(err)
	}
	return document
})

// operation is one of the document, with the values of its path.
type operation struct {
	*openapi3.Operation
	parameters openapi3.Parameters
	values     map[string]string
}

// operationOf finds that of a request. A path that stands in the document as it is
// goes before one with a parameter in its place.
func operationOf(method, path string) (found operation, ok bool) {
	if method == http.MethodHead { // is a GET without its body
		method = http.MethodGet
	}
	segments := strings.Split(path, "/")
	for template, item := range description().Paths.Map() {
		names := strings.Split(template, "/")
		of := item.GetOperation(method)
		if of == nil || len(names) != len(segments) {
			continue
		}
		values, fit := map[string]string{}, true
		for i, name := range names {
			if strings.HasPrefix(name, "{") {
				values[strings.Trim(name, "{}")] = segments[i]
			} else if name != segments[i] {
				fit = false
			}
		}
		if fit && (!ok || len(values) < len(found.values)) {
			found, ok = operation{of, slices.Concat(item.Parameters, of.Parameters), values}, true
		}
	}
	return found, ok
}

// undescribed says what of a call the document does not tell.
func undescribed(r *http.Request, sent []byte, answer *http.Response, text []byte) (problems []string) {
	report := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	found, ok := operationOf(r.Method, r.URL.Path)
	if !ok {
		if answer.StatusCode < 400 {
			report("there is no such operation")
		}
		checkProblem(nil, answer, text, report)
		return problems
	}
	if answer.StatusCode < 300 {
		checkRequest(found, r, sent, report)
	}
	described := found.Responses.Value(strconv.Itoa(answer.StatusCode))
	if described == nil {
		report("it has no such status")
		return problems
	}
	for name, header := range described.Value.Headers {
		values := answer.Header.Values(name)
		switch {
		case len(values) == 0 && (header.Value.Required || answer.StatusCode < 300 && strings.HasPrefix(name, "X-RateLimit-")):
			report("the header %s is missing", name)
		case len(values) > 0:
			if err := fits(header.Value.Schema, fromText(header.Value.Schema, values[0])); err != nil {
				report("the header %s: %v", name, err)
			}
		}
	}
	if answer.StatusCode >= 400 {
		checkProblem(described.Value, answer, text, report)
		return problems
	}
	checkBody("the answer", described.Value.Content, answer.Header.Get("Content-Type"), text, r.Method == http.MethodHead, report)
	return problems
}

// checkProblem holds a refusal against its response, or against that of every
// refusal where the document has no such operation.
func checkProblem(described *openapi3.Response, answer *http.Response, text []byte, report func(string, ...any)) {
	if described == nil {
		described = &openapi3.Response{Content: openapi3.Content{problemContentType: {Schema: description().Components.Schemas["Problem"]}}}
	}
	media := answer.Header.Get("Content-Type")
	if answer.Request.URL.Path == docsPath && strings.HasPrefix(media, "text/html") {
		return // of a person
	}
	checkBody("the problem", described.Content, media, text, answer.Request.Method == http.MethodHead, report)
}

// checkRequest holds what the server accepted against the operation.
func checkRequest(found operation, r *http.Request, sent []byte, report func(string, ...any)) {
	known := map[string]bool{}
	for _, p := range found.parameters {
		known[p.Value.In+" "+p.Value.Name] = true
		text, given := "", false
		switch p.Value.In {
		case "path":
			text, given = found.values[p.Value.Name]
		case "query":
			text, given = r.URL.Query().Get(p.Value.Name), r.URL.Query().Has(p.Value.Name)
		case "header":
			text, given = r.Header.Get(p.Value.Name), r.Header.Get(p.Value.Name) != ""
		}
		if !given {
			if p.Value.Required {
				report("it was accepted without %s", p.Value.Name)
			}
		} else if err := fits(p.Value.Schema, fromText(p.Value.Schema, text)); err != nil && text != "" {
			report("the parameter %s: %v", p.Value.Name, err)
		}
	}
	for name := range r.URL.Query() {
		if !known["query "+name] {
			report("there is no parameter %s", name)
		}
	}
	if r.Header.Get("X-Patronus-Nonce") != "" && !known["header X-Patronus-Nonce"] {
		report("it wants no nonce")
	}
	body := found.RequestBody
	switch {
	case body == nil:
		if len(sent) > 0 && string(sent) != "{}" {
			report("it takes no body")
		}
	case len(sent) > 0:
		checkBody("the request", body.Value.Content, r.Header.Get("Content-Type"), sent, false, report)
	case body.Value.Required:
		report("it was accepted without a body")
	}
}

// checkBody holds a body against the schema of its media type.
func checkBody(what string, content openapi3.Content, contentType string, text []byte, head bool, report func(string, ...any)) {
	if len(content) == 0 {
		if len(text) > 0 {
			report("%s has a body", what)
		}
		return
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || content[media] == nil {
		report("%s is of the type %q", what, contentType)
		return
	}
	if head {
		return
	}
	var value any = string(text)
	if strings.HasSuffix(media, "json") && !strings.HasSuffix(media, "ndjson") {
		if err := json.Unmarshal(text, &value); err != nil {
			report("%s is no JSON: %v", what, err)
			return
		}
	}
	if err := fits(content[media].Schema, value); err != nil {
		report("%s: %v", what, err)
	}
}

func fits(schema *openapi3.SchemaRef, value any) error {
	return schema.Value.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation(), openapi3.MultiErrors())
}

// fromText is what a parameter or a header stands for.
func fromText(schema *openapi3.SchemaRef, text string) any {
	if types := schema.Value.Type; types.Is("integer") || types.Is("boolean") {
		var value any
		if json.Unmarshal([]byte(text), &value) == nil {
			return value
		}
	}
	return text
}
