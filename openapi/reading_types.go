package openapi

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// choice are the words that a schema leaves.
func choice(schema *yaml.Node) []string {
	var words []string
	for _, word := range items(member(schema, "enum")) {
		words = append(words, word.Value)
	}
	return words
}

// typeOf says in words what a schema takes.
func (r *reader) typeOf(schema *yaml.Node) Type {
	if name, is := strings.CutPrefix(value(schema, "$ref"), "#/components/schemas/"); is && r.named(name) {
		return Type{Text: name, Object: idOf("object", name)}
	}
	schema = resolve(r.root, schema)
	if either := items(member(schema, "oneOf")); either != nil {
		var t Type
		for _, one := range either {
			t.Either = append(t.Either, r.typeOf(one))
		}
		return t
	}
	if fixed := member(schema, "const"); fixed != nil {
		return Type{Text: "always", Choice: []string{fixed.Value}}
	}
	if words := choice(schema); words != nil {
		return Type{Text: "one of", Choice: words}
	}
	kinds := []string{value(schema, "type")}
	if several := items(member(schema, "type")); several != nil {
		kinds = nil
		for _, kind := range several {
			kinds = append(kinds, kind.Value)
		}
	}
	t := Type{}
	for i, kind := range kinds {
		switch kind {
		case "array":
			of := r.typeOf(member(schema, "items"))
			t.Object, t.Choice = of.Object, of.Choice
			kinds[i] = "list of " + of.Text
		case "integer":
			kinds[i] = "whole number"
			if least, most := value(schema, "minimum"), value(schema, "maximum"); most != "" {
				kinds[i] += ", " + least + " to " + most
			}
		case "boolean":
			kinds[i] = "true or false"
		case "string":
			kinds[i] = "text"
			if known := map[string]string{"uuid": "UUID", "date-time": "time", "uri": "address"}[value(schema, "format")]; known != "" {
				kinds[i] = known
			} else if value(schema, "contentEncoding") == "base64" {
				kinds[i] = "base64"
			} else if most := value(schema, "maxLength"); most != "" {
				kinds[i] += ", at most " + most + " characters"
			}
		}
	}
	t.Text = strings.Join(kinds, " or ")
	return t
}

// properties lists the members of an object. Those of a nested one that has no
// name follow it, by their path.
func (r *reader) properties(schema *yaml.Node) []Property {
	schema = resolve(r.root, schema)
	var required []string
	for _, name := range items(member(schema, "required")) {
		required = append(required, name.Value)
	}
	var properties []Property
	for name, of := range members(member(schema, "properties")) {
		about := trimmed(of)
		if whole := resolve(r.root, of); about == "" && !r.isNamed(of) {
			if about = trimmed(whole); about == "" {
				about = trimmed(resolve(r.root, member(whole, "items")))
			}
		}
		if standard := value(of, "default"); standard != "" {
			about = strings.TrimSpace(about + " `" + standard + "` where it is left out.")
		}
		properties = append(properties, Property{Name: name, Required: slices.Contains(required, name), Type: r.typeOf(of), About: lineOf(about)})
		if r.isNamed(of) {
			continue
		}
		for _, inner := range r.properties(of) {
			inner.Name = name + "." + inner.Name
			properties = append(properties, inner)
		}
	}
	return properties
}

func (r *reader) isNamed(schema *yaml.Node) bool { return r.typeOf(schema).Object != "" }

// exampleText writes an example as it goes over the wire: JSON, but for texts.
func exampleText(n *yaml.Node) string {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		return strings.TrimRight(n.Value, "\n")
	}
	return jsonOf(n, "")
}

// lineWidth is how long a line of an example may grow before it is broken.
const lineWidth = 76

// jsonOf writes a value as JSON, in the order in which it stands there: on one line
// where that is short enough.
func jsonOf(n *yaml.Node, indent string) string {
	if n.Kind == yaml.ScalarNode {
		if n.ShortTag() != "!!str" {
			return n.Value
		}
		var text strings.Builder
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(n.Value); err != nil {
			panic(err) // a text can be encoded
		}
		return strings.TrimSuffix(text.String(), "\n")
	}
	begin, end := "{", "}"
	deeper := indent + "  "
	var parts []string
	if n.Kind == yaml.SequenceNode {
		begin, end = "[", "]"
		for _, item := range n.Content {
			parts = append(parts, jsonOf(item, deeper))
		}
	}
	for name, content := range members(n) {
		key, err := json.Marshal(name)
		if err != nil {
			panic(err) // likewise
		}
		parts = append(parts, string(key)+": "+jsonOf(content, deeper))
	}
	line := begin + strings.Join(parts, ", ") + end
	if len(indent)+len(line) <= lineWidth && !strings.Contains(line, "\n") {
		return line
	}
	return begin + "\n" + deeper + strings.Join(parts, ",\n"+deeper) + "\n" + indent + end
}

var inPath = regexp.MustCompile(`\{[a-z_]+\}`)

// curl is how to make a call in a shell.
func curl(o Operation, from *yaml.Node) string {
	if member(from, "responses", "101") != nil {
		return ""
	}
	command := "curl"
	if o.Method != "GET" && (o.Method != "POST" || len(o.Bodies) == 0) {
		command += " -X " + o.Method
	}
	path := inPath.ReplaceAllStringFunc(o.Path, func(name string) string { return "$" + strings.ToUpper(strings.Trim(name, "{}")) })
	lines := []string{command + ` "$URL` + path + `"`}
	switch value(from, "x-access") {
	case "public":
	case "person":
		lines = append(lines, `-H "Authorization: Bearer $ACCESS_TOKEN"`)
	default:
		lines = append(lines, `-H "Authorization: Bearer $KEY"`)
	}
	if value(from, "x-nonce") != "" && value(from, "x-nonce-when") == "" {
		lines = append(lines, `-H "X-Patronus-Nonce: $NONCE"`)
	}
	if len(o.Bodies) > 0 {
		lines = append(lines, "-H 'Content-Type: "+o.Bodies[0].Media+"'", "-d '"+o.Bodies[0].Examples[0].Text+"'")
	}
	return strings.Join(lines, " \\\n  ")
}
