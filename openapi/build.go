package openapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Code is a row of problems.yaml: what the member code of a problem can be.
type Code struct{ Name, Status, Title, Means string }

func codesOf(table *yaml.Node) []Code {
	var codes []Code
	for name, row := range members(table) {
		codes = append(codes, Code{name, value(row, "status"), value(row, "title"), value(row, "means")})
	}
	return codes
}

// Codes lists the codes, in the order of their statuses.
func Codes() []Code {
	table, err := load(sources, "problems.yaml")
	if err != nil {
		panic(err) // the sources are embedded
	}
	return codesOf(table)
}

// builder puts into the document what follows from what is written by hand.
type builder struct {
	root, schemas, responses *yaml.Node
	codes                    []Code
}

// codeTable lists the codes in Markdown.
func (b *builder) codeTable() string {
	var t strings.Builder
	t.WriteString("| code | status | what it means |\n| --- | --- | --- |")
	for _, c := range b.codes {
		fmt.Fprintf(&t, "\n| `%s` | %s | %s |", c.Name, c.Status, c.Means)
	}
	return t.String()
}

// nameCodes lets a problem have no other code than those of the table.
func (b *builder) nameCodes() {
	names := list()
	for _, c := range b.codes {
		names.Content = append(names.Content, str(c.Name))
	}
	set(member(b.schemas, "Problem", "properties", "code"), "enum", names)
}

// complete is for one operation.
func (b *builder) complete(method string, operation *yaml.Node) error {
	a, ok := accesses[value(operation, "x-access")]
	if !ok {
		return fmt.Errorf("there is no x-access %q", value(operation, "x-access"))
	}
	permission := value(operation, "x-permission")
	if a.permission != (permission != "") {
		return errors.New("x-permission and x-access do not fit")
	}
	about := strings.TrimRight(value(operation, "description"), "\n")
	set(operation, "description", block(strings.TrimLeft(about+"\n\n"+b.callers(operation, a), "\n")))
	set(operation, "security", a.security(permission))
	b.completeNonce(operation)
	if err := b.completeProblems(method, operation, a); err != nil {
		return err
	}
	for _, response := range members(member(operation, "responses")) {
		b.completeHeaders(operation, response)
		b.completeExamples(member(response, "content"))
	}
	b.completeExamples(member(operation, "requestBody", "content"))
	return nil
}

// access is what follows from who may call an operation.
type access struct {
	text       string // %s is the permission
	person     bool   // a person may
	key        bool   // a key may
	permission bool   // there is one to have
	own        bool   // a person needs none for what is their own
}

var accesses = map[string]access{
	"public":             {text: "anybody"},
	"any":                {text: "a signed-in person or an API key", person: true, key: true},
	"person":             {text: "a signed-in person, about their own account; no API key", person: true},
	"permission":         {text: "a signed-in person or an API key, with `%s`", person: true, key: true, permission: true},
	"permission in part": {text: "a signed-in person or an API key, with `%s` for all or for some of it; the answer holds no more", person: true, key: true, permission: true},
	"own or permission": {text: "a signed-in person for what is their own; a person or an API key with `%s` for what is another's",
		person: true, key: true, permission: true, own: true},
}

// security lists the schemes; beside each stands the permission (OpenAPI 3.1
// §4.8.30 lets it name roles there).
func (a access) security(permission string) *yaml.Node {
	schemes := list()
	for _, scheme := range []struct {
		name       string
		may, needs bool
	}{{"accessToken", a.person, a.permission && !a.own}, {"apiKey", a.key, a.permission}} {
		if !scheme.may {
			continue
		}
		roles := inline(list())
		if scheme.needs {
			roles.Content = append(roles.Content, str(permission))
		}
		schemes.Content = append(schemes.Content, mapping(scheme.name, roles))
	}
	if len(schemes.Content) == 0 {
		inline(schemes)
	}
	return schemes
}

// callers says in words who may call an operation and what it counts against.
func (b *builder) callers(operation *yaml.Node, a access) string {
	who := a.text
	if a.permission {
		who = fmt.Sprintf(who, value(operation, "x-permission"))
	}
	lines := []string{"- **Who:** " + who + "."}
	switch limit := value(operation, "x-limit"); {
	case limit == "none":
		lines = append(lines, "- **Limit:** none.")
	case limit == "api_authenticated" && a.key:
		lines = append(lines, "- **Limit:** `api_authenticated`, for a key `api_key`.")
	default:
		lines = append(lines, "- **Limit:** `"+limit+"`.")
	}
	if action := value(operation, "x-nonce"); action != "" {
		line := "- **Confirm:** with a nonce for `" + action + "`"
		if when := value(operation, "x-nonce-when"); when != "" {
			line += " when " + when
		}
		lines = append(lines, line+".")
	}
	if a.person && value(operation, "x-during-enrollment") != "" {
		lines = append(lines, "- Open also to who must enrol a second factor first.")
	}
	return strings.Join(lines, "\n")
}

// completeNonce adds the header of an operation that wants a confirmation.
func (b *builder) completeNonce(operation *yaml.Node) {
	action := value(operation, "x-nonce")
	if action == "" {
		return
	}
	when, required := value(operation, "x-nonce-when"), "true"
	about := "A nonce for the action `" + action + "`, from `POST /api/v1/auth/nonce`."
	if when != "" {
		required, about = "false", "Needed when "+when+": a"+strings.TrimPrefix(about, "A")
	}
	parameters := member(operation, "parameters")
	if parameters == nil {
		parameters = list()
		set(operation, "parameters", parameters)
	}
	parameters.Content = append(parameters.Content, mapping("name", str("X-Patronus-Nonce"), "in", str("header"),
		"required", scalar("!!bool", required), "description", str(about), "schema", inline(mapping("type", str("string")))))
}

// common are the codes that an operation can answer whatever it does.
func common(method string, operation *yaml.Node, a access) []string {
	codes := []string{"bad_request", "internal", "unavailable"}
	add := func(when bool, names ...string) {
		if when {
			codes = append(codes, names...)
		}
	}
	limited := value(operation, "x-limit") != "none"
	add(a.person || a.key, "unauthenticated", "token_expired", "token_revoked", "forbidden")
	add(a.permission || a.person && !a.key, "insufficient_scope")
	add(a.person && value(operation, "x-during-enrollment") == "", "mfa_enrollment_required")
	add(limited, "ip_blocked", "rate_limited")
	add(method != "get", "payload_too_large", "unsupported_media_type")
	add(value(operation, "x-nonce") != "", "nonce_invalid", "nonce_required")
	return codes
}

// completeProblems adds the refusals, those of a status as one response. What
// says nothing of its own is shared with other operations.
func (b *builder) completeProblems(method string, operation *yaml.Node, a access) error {
	codes := common(method, operation, a)
	own := map[string]string{}
	for name, means := range members(member(operation, "x-problems")) {
		own[name] = means.Value
		codes = append(codes, name)
		if !slices.ContainsFunc(b.codes, func(c Code) bool { return c.Name == name }) {
			return fmt.Errorf("there is no code %q", name)
		}
	}
	remove(operation, "x-problems")
	responses := member(operation, "responses")
	if responses == nil {
		return errors.New("there are no responses")
	}
	var groups [][]Code
	for _, c := range b.codes { // which are in the order of their statuses
		if !slices.Contains(codes, c.Name) {
			continue
		}
		if last := len(groups) - 1; last >= 0 && groups[last][0].Status == c.Status {
			groups[last] = append(groups[last], c)
		} else {
			groups = append(groups, []Code{c})
		}
	}
	for _, group := range groups {
		var names []string
		shared := true
		for i, c := range group {
			names = append(names, c.Name)
			if means := own[c.Name]; means != "" {
				group[i].Means, shared = means, false
			}
		}
		if !shared {
			set(responses, group[0].Status, b.problem(group))
			continue
		}
		name := strings.Join(names, ".")
		if member(b.responses, name) == nil {
			response := b.problem(group)
			b.completeHeaders(nil, response)
			set(b.responses, name, response)
		}
		set(responses, group[0].Status, ref("responses/"+name))
	}
	return nil
}

// problem is the response of one status.
func (b *builder) problem(codes []Code) *yaml.Node {
	var about []string
	names := inline(list())
	for _, c := range codes {
		about = append(about, "- `"+c.Name+"`: "+c.Means)
		names.Content = append(names.Content, str(c.Name))
	}
	status := scalar("!!int", codes[0].Status)
	schema := mapping("allOf", list(ref("schemas/Problem"), mapping("properties",
		mapping("status", inline(mapping("const", status)), "code", inline(mapping("enum", names))))))
	example := inline(mapping("type", str("about:blank"), "title", str(codes[0].Title), "status", status, "detail", str(strings.ReplaceAll(codes[0].Means, "`", "")),
		"code", str(codes[0].Name), "request_id", str("3f0c9d5e8a7b4c6d9e0f1a2b3c4d5e6f")))
	switch codes[0].Status {
	case "429", "503":
		example.Content = append(example.Content, str("retry_after"), scalar("!!int", "30"))
	case "422":
		example.Content = append(example.Content, str("errors"), list(mapping("field", str("name"), "detail", str("Give it a name."))))
	}
	return mapping("description", block(strings.Join(about, "\n")),
		"content", mapping("application/problem+json", mapping("schema", schema, "example", example)))
}
