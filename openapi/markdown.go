package openapi

import (
	"regexp"
	"strings"
)

// Kind is what a Block is.
type Kind string

// The blocks that the texts of the document consist of: a small part of
// CommonMark, and tables.
const (
	Paragraph Kind = "paragraph"
	Heading   Kind = "heading" // of the second level, the only one
	List      Kind = "list"    // with points
	Table     Kind = "table"   // its first row is the head
	Command   Kind = "command" // or an example: kept as it is
)

// Block is a part of a text.
type Block struct {
	Kind Kind
	Text Line     // of a paragraph or a heading
	Rows [][]Line // of a table; an item of a list is a row of one
	Code string
}

// Line is a text of one or more spans.
type Line []Span

// Plain is the text alone.
func (l Line) Plain() string {
	var plain strings.Builder
	for _, s := range l {
		plain.WriteString(s.Text)
	}
	return plain.String()
}

// Span is a piece of a line.
type Span struct {
	Text         string
	Code, Strong bool
}

var (
	spans     = regexp.MustCompile("`[^`]+`|\\*\\*[^*]+\\*\\*")
	separator = regexp.MustCompile(`^\|( *-+ *\|)+$`)
)

// lineOf reads code in backticks, and bold.
func lineOf(text string) Line {
	var line Line
	at := 0
	for _, match := range spans.FindAllStringIndex(text, -1) {
		if match[0] > at {
			line = append(line, Span{Text: text[at:match[0]]})
		}
		found := text[match[0]:match[1]]
		if found[0] == '`' {
			line = append(line, Span{Text: strings.Trim(found, "`"), Code: true})
		} else {
			line = append(line, Span{Text: strings.Trim(found, "*"), Strong: true})
		}
		at = match[1]
	}
	if at < len(text) {
		line = append(line, Span{Text: text[at:]})
	}
	return line
}

// blocksOf reads a text in Markdown, as far as Kind has it. What it does not know
// stays as it is written.
func blocksOf(text string) []Block {
	var blocks []Block
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		last := len(blocks) - 1
		follows := i > 0 && lines[i-1] != "" && last >= 0 // the line before belongs to the same block
		switch {
		case line == "":
		case strings.HasPrefix(line, "```"):
			end := i + 1
			for end < len(lines) && lines[end] != "```" {
				end++
			}
			blocks = append(blocks, Block{Kind: Command, Code: strings.Join(lines[min(i+1, end):end], "\n")})
			i = end
		case strings.HasPrefix(line, "## "):
			blocks = append(blocks, Block{Kind: Heading, Text: lineOf(line[3:])})
		case strings.HasPrefix(line, "- "):
			if !follows || blocks[last].Kind != List {
				blocks = append(blocks, Block{Kind: List})
				last++
			}
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") { // goes on
				i++
				line += " " + strings.TrimSpace(lines[i])
			}
			blocks[last].Rows = append(blocks[last].Rows, []Line{lineOf(line[2:])})
		case strings.HasPrefix(line, "|"):
			if !follows || blocks[last].Kind != Table {
				blocks = append(blocks, Block{Kind: Table})
				last++
			}
			if !separator.MatchString(line) {
				var row []Line
				for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
					row = append(row, lineOf(strings.TrimSpace(cell)))
				}
				blocks[last].Rows = append(blocks[last].Rows, row)
			}
		default:
			for i+1 < len(lines) && lines[i+1] != "" && !strings.HasPrefix(lines[i+1], "- ") && !strings.HasPrefix(lines[i+1], "|") && !strings.HasPrefix(lines[i+1], "```") {
				i++
				line += " " + lines[i]
			}
			blocks = append(blocks, Block{Kind: Paragraph, Text: lineOf(line)})
		}
	}
	return blocks
}
