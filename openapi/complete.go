package openapi

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// completeHeaders adds those that every answer has. What is shared knows no
// operation, and may be of one without a limit.
func (b *builder) completeHeaders(operation, response *yaml.Node) {
	if value(response, "$ref") != "" {
		return // has them
	}
	headers := member(response, "headers")
	if headers == nil {
		headers = mapping()
		set(response, "headers", headers)
	}
	names := []string{"X-Request-Id"}
	if operation == nil || value(operation, "x-limit") != "none" {
		names = append(names, "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
	}
	if status := value(response, "content", "application/problem+json", "example", "status"); status == "429" || status == "503" {
		names = append(names, "Retry-After")
	}
	for _, name := range names {
		set(headers, name, ref("headers/"+name))
	}
}

// completeExamples gives each body the example of its schema.
func (b *builder) completeExamples(content *yaml.Node) {
	for _, body := range members(content) {
		if member(body, "example") != nil || member(body, "examples") != nil {
			continue
		}
		if example := b.exampleOf(member(body, "schema")); example != nil {
			set(body, "example", example)
		}
	}
}

// exampleOf is what a schema gives as one, or is put together from its parts; nil
// where there is none.
func (b *builder) exampleOf(schema *yaml.Node) *yaml.Node {
	if schema = resolve(b.root, schema); schema == nil {
		return nil
	}
	if given := items(member(schema, "examples")); len(given) > 0 {
		return copyOf(given[0])
	}
	if one := b.exampleOf(member(schema, "items")); one != nil {
		return list(one)
	}
	whole := mapping()
	for name, property := range members(member(schema, "properties")) {
		part := b.exampleOf(property)
		if part == nil {
			return nil
		}
		set(whole, name, part)
	}
	if len(whole.Content) == 0 {
		return nil
	}
	return whole
}

// patchOf is the schema of a merge patch: each member may be left out or, to go
// back to its default, be null.
func (b *builder) patchOf(patch *yaml.Node, of string) *yaml.Node {
	schema := b.optional(ref("schemas/" + of))
	set(schema, "description", member(patch, "description"))
	set(schema, "type", str("object")) // but not the whole
	return schema
}

func (b *builder) optional(schema *yaml.Node) *yaml.Node {
	schema = copyOf(resolve(b.root, schema))
	remove(schema, "required")
	remove(schema, "examples")
	if kind := member(schema, "type"); kind != nil && kind.Kind == yaml.ScalarNode {
		set(schema, "type", inline(list(str(kind.Value), str("null"))))
	}
	if choice := member(schema, "enum"); choice != nil {
		choice.Content = append(choice.Content, scalar("!!null", "null"))
	}
	for name, property := range members(member(schema, "properties")) {
		set(member(schema, "properties"), name, b.optional(property))
	}
	return schema
}

// trimmed is a description without the line break that a block of YAML ends with.
func trimmed(n *yaml.Node) string { return strings.TrimSpace(value(n, "description")) }
