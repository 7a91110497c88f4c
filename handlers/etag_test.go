package handlers

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

// TestIfMatch: RFC 9110 §13.1.1, with the list of §5.6.1 and the tags of §8.8.3.
func TestIfMatch(t *testing.T) {
	const tag = `"now"`
	for _, c := range []struct {
		lines []string
		met   bool
		bad   bool
	}{
		{nil, true, false},
		{[]string{`"now"`}, true, false},
		{[]string{`*`}, true, false},
		{[]string{" \t* "}, true, false},
		{[]string{`"then"`}, false, false},
		{[]string{`W/"now"`}, false, false},
		{[]string{`W/"now", "now"`}, true, false},
		{[]string{`"then","now"`}, true, false},
		{[]string{`"then"`, `"now"`}, true, false},
		{[]string{`, "then" ,, "now",`}, true, false},
		{[]string{`"a,b"`}, false, false},
		{[]string{`"a, "now""`}, false, true},
		{[]string{`""`}, false, false},
		{[]string{"\"\xff\""}, false, false},
		{[]string{``}, false, true},
		{[]string{` , `}, false, true},
		{[]string{`now`}, false, true},
		{[]string{`"now`}, false, true},
		{[]string{`now"`}, false, true},
		{[]string{`w/"now"`}, false, true},
		{[]string{`W/ "now"`}, false, true},
		{[]string{`"now" "then"`}, false, true},
		{[]string{`"now""then"`}, false, true},
		{[]string{`*, "now"`}, false, true},
		{[]string{`"now", *`}, false, true},
		{[]string{`*`, `*`}, false, true},
		{[]string{`"a b"`}, false, true},
	} {
		r := httptest.NewRequest(http.MethodPatch, "/", nil)
		for _, line := range c.lines {
			r.Header.Add("If-Match", line)
		}
		condition, err := readIfMatch(echo.New().NewContext(r, httptest.NewRecorder()))
		if secerr.Is(err, secerr.BadRequest) != c.bad || err == nil && condition.met(tag) != c.met {
			t.Errorf("%q: %+v, %v", c.lines, condition, err)
		}
	}
}

func TestETagTellsValuesApart(t *testing.T) {
	type shown struct {
		A string
		B map[string]int
	}
	values := [][]any{{1, shown{}}, {2, shown{}}, {1, shown{A: "x"}}, {1, shown{B: map[string]int{"a": 1, "b": 2}}}, {shown{}}}
	var tags []string
	for _, value := range values {
		tag, err := etagOf(value...)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := etagOf(value...); again != tag || slices.Contains(tags, tag) {
			t.Errorf("the tag of %v is %s, then %s", value, tag, again)
		}
		if condition, ok := parseIfMatch(tag); !ok || !condition.met(tag) || condition.met(`"x"`) {
			t.Errorf("%s does not match itself alone", tag)
		}
		tags = append(tags, tag)
	}
}

func FuzzParseIfMatch(f *testing.F) {
	for _, seed := range []string{`*`, `"a"`, `W/"a", "b"`, `,,"a" ,`, `"a`, `"\"`, "\"\x00\"", `"a""b"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		condition, ok := parseIfMatch(list)
		if !ok {
			return
		}
		for _, tag := range condition.tags {
			if !strings.Contains(list, tag) || strings.Count(tag, `"`) != 2 || len(tag) < 2 {
				t.Fatalf("%q gives %q", list, tag)
			}
			if again, ok := parseIfMatch(tag); !ok || !again.met(tag) {
				t.Fatalf("%q of %q is no tag by itself", tag, list)
			}
		}
	})
}
