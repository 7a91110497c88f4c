// Package openapi describes the JSON API: as an OpenAPI 3.1 document for
// programs (Document) and as the parts of a page for people (Read).
//
// What is particular to an operation stands in paths_*.yaml, what bodies are made
// of in schemas_*.yaml, the codes of errors in problems.yaml, and what a stranger
// reads first in guide.md. What follows from who may call an operation and from
// its limit is the same everywhere, so it is not written by hand: security, the
// common errors, headers and examples are put in when the document is built, from
// the members x-access, x-permission, x-limit, x-nonce and x-problems of each
// operation. Tests of package handlers hold these against the table of routes,
// and the whole against what the server is asked and answers.
package openapi

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

//go:embed *.yaml guide.md
var sources embed.FS

// built is made by the first who asks, not by the start.
var built = sync.OnceValue(func() *yaml.Node {
	root, err := build(sources)
	if err != nil {
		panic(err) // the sources are embedded, and a test builds them
	}
	return root
})

var text = sync.OnceValue(func() []byte {
	document, err := yaml.Dump(built())
	if err != nil {
		panic(err) // likewise
	}
	return document
})

// Document is the OpenAPI document in YAML. It must not be changed.
func Document() []byte { return text() }

// build joins the sources and puts in what follows from them.
func build(from fs.FS) (*yaml.Node, error) {
	root, err := load(from, "document.yaml")
	if err != nil {
		return nil, err
	}
	table, err := load(from, "problems.yaml")
	if err != nil {
		return nil, err
	}
	components, err := load(from, "components.yaml")
	if err != nil {
		return nil, err
	}
	paths, err := join(from, "paths_*.yaml")
	if err != nil {
		return nil, err
	}
	schemas, err := join(from, "schemas_*.yaml")
	if err != nil {
		return nil, err
	}
	guide, err := fs.ReadFile(from, "guide.md")
	if err != nil {
		return nil, err
	}
	b := builder{root: root, schemas: schemas, responses: mapping(), codes: codesOf(table)}
	set(member(root, "info"), "description", block(strings.Replace(string(guide), "{{codes}}", b.codeTable(), 1)))
	set(root, "paths", paths)
	set(root, "components", components)
	set(components, "schemas", schemas)
	set(components, "responses", b.responses)
	b.nameCodes()
	for name, schema := range members(schemas) {
		if of := value(schema, "x-patch-of"); of != "" {
			set(schemas, name, b.patchOf(schema, of))
		}
	}
	for path, item := range members(paths) {
		for method, operation := range members(item) {
			if method == "parameters" {
				continue
			}
			if err := b.complete(method, operation); err != nil {
				return nil, fmt.Errorf("openapi: %s %s: %w", strings.ToUpper(method), path, err)
			}
		}
	}
	return root, nil
}

func load(from fs.FS, name string) (*yaml.Node, error) {
	content, err := fs.ReadFile(from, name)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Load(content, &document); err != nil {
		return nil, fmt.Errorf("openapi: %s: %w", name, err)
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, fmt.Errorf("openapi: %s is no mapping", name)
	}
	return document.Content[0], nil
}

// join puts the members of several files into one mapping, in the order of their
// names. A member that is there twice is an error.
func join(from fs.FS, pattern string) (*yaml.Node, error) {
	names, err := fs.Glob(from, pattern)
	if err != nil {
		return nil, err
	}
	joined := mapping()
	for _, name := range names {
		part, err := load(from, name)
		if err != nil {
			return nil, err
		}
		for key, content := range members(part) {
			if member(joined, key) != nil {
				return nil, fmt.Errorf("openapi: %s: %s is there already", name, key)
			}
			set(joined, key, content)
		}
	}
	return joined, nil
}
