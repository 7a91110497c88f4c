package audit

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// ranges is a set of numbers as stretches, in ascending order.
type ranges []stretch

type stretch struct{ from, to int64 }

// add takes a number above all that are there.
func (r *ranges) add(n int64) {
	if last := len(*r) - 1; last >= 0 && (*r)[last].to == n-1 {
		(*r)[last].to = n
		return
	}
	*r = append(*r, stretch{n, n})
}

func (r ranges) has(n int64) bool {
	i := sort.Search(len(r), func(i int) bool { return r[i].to >= n })
	return i < len(r) && r[i].from <= n
}

// String writes them as "5-9,12".
func (r ranges) String() string {
	var text strings.Builder
	for i, s := range r {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteString(strconv.FormatInt(s.from, 10))
		if s.to > s.from {
			text.WriteString("-" + strconv.FormatInt(s.to, 10))
		}
	}
	return text.String()
}

// parseRanges reads what String writes.
func parseRanges(text string) (ranges, error) {
	var r ranges
	if text == "" {
		return nil, nil
	}
	for _, part := range strings.Split(text, ",") {
		from, to, both := strings.Cut(part, "-")
		if !both {
			to = from
		}
		first, err := strconv.ParseInt(from, 10, 64)
		if err != nil {
			return nil, err
		}
		last, err := strconv.ParseInt(to, 10, 64)
		if err != nil {
			return nil, err
		}
		if first > last || len(r) > 0 && r[len(r)-1].to >= first {
			return nil, fmt.Errorf("audit: %q is no list of ranges", text)
		}
		r = append(r, stretch{first, last})
	}
	return r, nil
}

// erasureEvent is what an event of an erasure says: of which events the fields of
// who acted were erased, and of which the personal details.
type erasureEvent struct{ Acted, About ranges }

// parseErasure reads it from the details, nil when they say nothing of the kind.
func parseErasure(kind Type, details string) *erasureEvent {
	var said struct{ Acted, About string }
	if kind != AuditErase || json.Unmarshal([]byte(details), &said) != nil {
		return nil
	}
	acted, err := parseRanges(said.Acted)
	if err != nil {
		return nil
	}
	about, err := parseRanges(said.About)
	if err != nil {
		return nil
	}
	return &erasureEvent{Acted: acted, About: about}
}
