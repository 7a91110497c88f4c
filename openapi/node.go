package openapi

import (
	"iter"
	"strings"

	"go.yaml.in/yaml/v4"
)

// member is a member of a mapping, or nil.
func member(of *yaml.Node, path ...string) *yaml.Node {
	for _, name := range path {
		var found *yaml.Node
		for key, content := range members(of) {
			if key == name {
				found = content
				break
			}
		}
		if of = found; of == nil {
			return nil
		}
	}
	return of
}

// value is the text of a member, "" where there is none.
func value(of *yaml.Node, path ...string) string {
	if found := member(of, path...); found != nil {
		return found.Value
	}
	return ""
}

// members goes through a mapping in its order; of anything else there are none.
func members(of *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		if of == nil || of.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(of.Content); i += 2 {
			if !yield(of.Content[i].Value, of.Content[i+1]) {
				return
			}
		}
	}
}

// items are those of a sequence.
func items(of *yaml.Node) []*yaml.Node {
	if of == nil || of.Kind != yaml.SequenceNode {
		return nil
	}
	return of.Content
}

// set replaces a member, or adds it at the end.
func set(in *yaml.Node, name string, content *yaml.Node) {
	for i := 0; i+1 < len(in.Content); i += 2 {
		if in.Content[i].Value == name {
			in.Content[i+1] = content
			return
		}
	}
	in.Content = append(in.Content, str(name), content)
	in.Style &^= yaml.FlowStyle
}

func remove(from *yaml.Node, name string) {
	for i := 0; i+1 < len(from.Content); i += 2 {
		if from.Content[i].Value == name {
			from.Content = append(from.Content[:i:i], from.Content[i+2:]...)
			return
		}
	}
}

func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i+1 < len(pairs); i += 2 {
		n.Content = append(n.Content, str(pairs[i].(string)), pairs[i+1].(*yaml.Node))
	}
	return n
}

func list(of ...*yaml.Node) *yaml.Node { return &yaml.Node{Kind: yaml.SequenceNode, Content: of} }

// inline writes a mapping or a list on one line.
func inline(n *yaml.Node) *yaml.Node {
	n.Style |= yaml.FlowStyle
	return n
}

func str(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

func scalar(tag, s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: s} }

// block is a text of several lines.
func block(s string) *yaml.Node {
	n := str(s)
	if strings.Contains(s, "\n") {
		n.Style = yaml.LiteralStyle
	}
	return n
}

func ref(to string) *yaml.Node { return inline(mapping("$ref", str("#/components/"+to))) }

// copyOf copies a tree.
func copyOf(n *yaml.Node) *yaml.Node {
	copied := *n
	copied.Content = nil
	for _, part := range n.Content {
		copied.Content = append(copied.Content, copyOf(part))
	}
	return &copied
}

// resolve follows a $ref to where it leads.
func resolve(root, n *yaml.Node) *yaml.Node {
	for n != nil && value(n, "$ref") != "" {
		n = member(root, strings.Split(strings.TrimPrefix(value(n, "$ref"), "#/"), "/")...)
	}
	return n
}
