package openapi

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestReadingIsWhole: the page has every operation and every object, each under an
// ID of its own, and no reference leads nowhere.
func TestReadingIsWhole(t *testing.T) {
	all := Read()
	ids := map[string]bool{}
	claim := func(id string) {
		if ids[id] || !regexp.MustCompile(`^[A-Za-z0-9-]+$`).MatchString(id) {
			t.Errorf("the ID %q is there twice, or is none", id)
		}
		ids[id] = true
	}
	var linked []string
	link := func(properties []Property) {
		for _, p := range properties {
			linked = append(linked, p.Type.Object)
			if p.Type.Text == "" {
				t.Errorf("%s has no type", p.Name)
			}
		}
	}
	for _, s := range all.Guide {
		claim(s.ID)
	}
	operations := 0
	for _, g := range all.Groups {
		claim(g.ID)
		if len(g.Operations) == 0 {
			t.Errorf("the group %s is empty", g.Name)
		}
		for _, o := range g.Operations {
			operations++
			claim(o.ID)
			link(o.Parameters)
			for _, a := range o.Answers {
				for _, b := range a.Bodies {
					linked = append(linked, b.Type.Object)
					link(b.Properties)
				}
			}
		}
	}
	if want := strings.Count(string(Document()), "operationId:"); operations != want {
		t.Errorf("%d operations of %d", operations, want)
	}
	for _, o := range all.Objects {
		claim(o.ID)
		link(o.Properties)
	}
	for _, id := range linked {
		if id != "" && !ids[id] {
			t.Errorf("%q leads nowhere", id)
		}
	}
}

func TestOperationIsRead(t *testing.T) {
	for _, g := range Read().Groups {
		for _, o := range g.Operations {
			if o.ID != "updateUser" {
				continue
			}
			const want = `curl -X PATCH "$URL/api/v1/users/$ID" \
  -H "Authorization: Bearer $KEY" \
  -H 'Content-Type: application/json' \
  -d '{"role": "operator"}'`
			if o.Curl != want {
				t.Errorf("curl is\n%s\nand should be\n%s", o.Curl, want)
			}
			if len(o.Parameters) != 3 || o.Parameters[0].Name != "id" || !o.Parameters[0].Required || o.Parameters[1].Name != "If-Match" || o.Parameters[2].Name != "X-Patronus-Nonce" || o.Parameters[2].Required {
				t.Errorf("the parameters are %+v", o.Parameters)
			}
			if len(o.Bodies) != 2 || o.Bodies[0].Type.Object != "object-userpatch" || o.Optional {
				t.Errorf("the bodies are %+v", o.Bodies)
			}
			return
		}
	}
	t.Error("there is no updateUser")
}

func TestMarkdown(t *testing.T) {
	got := blocksOf("One `a|b`\nand **two**.\n- a\n  b\n- `*:*`\n\n## Head\n\n| x | y |\n| --- | --- |\n| 1 | `2` |\n\n```sh\ncurl \\\n\n  x\n```\nEnd")
	want := []Block{
		{Kind: Paragraph, Text: Line{{Text: "One "}, {Text: "a|b", Code: true}, {Text: " and "}, {Text: "two", Strong: true}, {Text: "."}}},
		{Kind: List, Rows: [][]Line{{{{Text: "a b"}}}, {{{Text: "*:*", Code: true}}}}},
		{Kind: Heading, Text: Line{{Text: "Head"}}},
		{Kind: Table, Rows: [][]Line{{{{Text: "x"}}, {{Text: "y"}}}, {{{Text: "1"}}, {{Text: "2", Code: true}}}}},
		{Kind: Command, Code: "curl \\\n\n  x"},
		{Kind: Paragraph, Text: Line{{Text: "End"}}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := blocksOf("```\nnever closed"); len(got) != 1 || got[0].Code != "never closed" {
		t.Errorf("%+v", got)
	}
	// What stands in the document is read to the end: no mark of Markdown is left.
	for _, s := range Read().Guide {
		for _, b := range s.Blocks {
			for _, span := range b.Text {
				if !span.Code && strings.ContainsAny(span.Text, "`|[*") {
					t.Errorf("this was not understood: %s", span.Text)
				}
			}
		}
	}
}
