package openapi

import (
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

// Reading is the document as a page shows it to people. Every ID can be linked to,
// as #ID, and is there once.
type Reading struct {
	Title   string
	Guide   []Section
	Groups  []Group
	Objects []Object // the schemas that have members, or words to choose from
}

// Section is a chapter of the guide. The first has no title.
type Section struct {
	ID, Title string
	Blocks    []Block
}

// Group has the operations of one tag.
type Group struct {
	ID, Name, About string
	Operations      []Operation
}

// Operation is one call.
type Operation struct {
	ID, Method, Path, Summary string
	About                     []Block
	Curl                      string // how to make it in a shell; "" where curl cannot
	Parameters                []Property
	Bodies                    []Body
	Optional                  bool // it takes no body at all, too
	Answers                   []Answer
	Common                    []string // codes beside them, which mean what they mean everywhere
}

// Answer is a response.
type Answer struct {
	Status string
	About  []Block
	Bodies []Body // of a success
}

// Refused reports whether it is a problem.
func (a Answer) Refused() bool { return a.Status >= "400" }

// Body is what is sent or answered in one media type.
type Body struct {
	Media      string
	Type       Type
	Properties []Property // where the type has no name of its own
	Examples   []Example
}

// Example is one of a body. Title is "" for the only one.
type Example struct{ Title, Text string }

// Property is a member of an object, or a parameter.
type Property struct {
	Name     string
	In       string // of a parameter: path, query or header
	Required bool
	Type     Type
	About    Line
}

// Type says in words what a value is.
type Type struct {
	Text   string
	Object string // the ID of the object that it is or is made of; "" for none
	Choice []string
	Either []Type // in the place of all that
}

// Object is a schema that others refer to.
type Object struct {
	ID, Name   string
	About      Line
	Properties []Property
	Choice     []string
}

// Read takes the document apart. The result is shared and must not be changed.
func Read() Reading { return reading() }

var reading = sync.OnceValue(func() Reading { return (&reader{root: built()}).read() })

type reader struct{ root *yaml.Node }

func (r *reader) read() Reading {
	all := Reading{Title: value(r.root, "info", "title"), Guide: sections(blocksOf(value(r.root, "info", "description")))}
	for _, tag := range items(member(r.root, "tags")) {
		name := value(tag, "name")
		group := Group{ID: idOf("calls", name), Name: name, About: value(tag, "description")}
		for path, item := range members(member(r.root, "paths")) {
			for method, operation := range members(item) {
				if tags := items(member(operation, "tags")); len(tags) > 0 && tags[0].Value == name {
					group.Operations = append(group.Operations, r.operation(path, method, item, operation))
				}
			}
		}
		all.Groups = append(all.Groups, group)
	}
	for name, schema := range members(member(r.root, "components", "schemas")) {
		if r.named(name) {
			all.Objects = append(all.Objects, Object{ID: idOf("object", name), Name: name, About: lineOf(trimmed(schema)),
				Properties: r.properties(schema), Choice: choice(schema)})
		}
	}
	slices.SortFunc(all.Objects, func(a, b Object) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// sections cuts the guide at its headings.
func sections(blocks []Block) []Section {
	cut := []Section{{ID: "guide"}}
	for _, b := range blocks {
		if b.Kind == Heading {
			cut = append(cut, Section{ID: idOf("guide", b.Text.Plain()), Title: b.Text.Plain()})
			continue
		}
		last := &cut[len(cut)-1]
		last.Blocks = append(last.Blocks, b)
	}
	return cut
}

// idOf makes an ID of a kind of thing and its name.
func idOf(kind, name string) string {
	return kind + "-" + strings.ReplaceAll(strings.ToLower(name), " ", "-")
}

// named reports whether a schema has a place of its own on the page.
func (r *reader) named(name string) bool {
	schema := member(r.root, "components", "schemas", name)
	return member(schema, "properties") != nil || choice(schema) != nil
}

func (r *reader) operation(path, method string, item, from *yaml.Node) Operation {
	o := Operation{ID: value(from, "operationId"), Method: strings.ToUpper(method), Path: path, Summary: value(from, "summary"),
		About: blocksOf(value(from, "description"))}
	for _, parameter := range slices.Concat(items(member(item, "parameters")), items(member(from, "parameters"))) {
		parameter = resolve(r.root, parameter)
		schema := member(parameter, "schema")
		about := trimmed(parameter)
		if standard := value(schema, "default"); standard != "" {
			about += " `" + standard + "` where it is left out."
		}
		o.Parameters = append(o.Parameters, Property{Name: value(parameter, "name"), In: value(parameter, "in"),
			Required: value(parameter, "required") == "true", Type: r.typeOf(schema), About: lineOf(about)})
	}
	if body := member(from, "requestBody"); body != nil {
		o.Optional = value(body, "required") != "true"
		o.Bodies = r.bodies(member(body, "content"))
	}
	for status, response := range members(member(from, "responses")) {
		if value(response, "$ref") != "" { // says nothing of this operation
			schema := items(member(resolve(r.root, response), "content", "application/problem+json", "schema", "allOf"))
			o.Common = append(o.Common, choice(member(schema[1], "properties", "code"))...)
			continue
		}
		answer := Answer{Status: status, About: blocksOf(value(response, "description"))}
		if !answer.Refused() {
			answer.Bodies = r.bodies(member(response, "content"))
		}
		o.Answers = append(o.Answers, answer)
	}
	o.Curl = curl(o, from)
	return o
}

func (r *reader) bodies(content *yaml.Node) []Body {
	var bodies []Body
	for media, of := range members(content) {
		schema := member(of, "schema")
		body := Body{Media: media, Type: r.typeOf(schema)}
		if body.Type.Object == "" {
			body.Properties = r.properties(schema)
		}
		if example := member(of, "example"); example != nil {
			body.Examples = []Example{{Text: exampleText(example)}}
		}
		for _, example := range members(member(of, "examples")) {
			body.Examples = append(body.Examples, Example{value(example, "summary"), exampleText(member(example, "value"))})
		}
		bodies = append(bodies, body)
	}
	return bodies
}
