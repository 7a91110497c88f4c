package views

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Histogram is how many events there were over time.
type Histogram struct {
	Unit   string // what a bar is: "hour", "day", "week"
	Bars   []HistogramBar
	Ranges []RangeLink // other times
}

// HistogramBar is a span of time, up to To and without it.
type HistogramBar struct {
	From, To                time.Time
	Info, Warning, Critical int64
	URL                     string // the list of that time
}

// RangeLink leads to another time.
type RangeLink struct {
	Name, URL string
	Current   bool
}

func (b HistogramBar) total() int64 { return b.Info + b.Warning + b.Critical }

// sum adds up all bars.
func (h Histogram) sum() HistogramBar {
	var sum HistogramBar
	for _, b := range h.Bars {
		sum.Info += b.Info
		sum.Warning += b.Warning
		sum.Critical += b.Critical
	}
	return sum
}

// most is the total of the highest bar.
func (h Histogram) most() int64 {
	var most int64
	for _, b := range h.Bars {
		most = max(most, b.total())
	}
	return most
}

// when is the time of a bar for people.
func (h Histogram) when(at time.Time) string {
	if h.Unit == "hour" {
		return at.UTC().Format("2 Jan 2006, 15:04 UTC")
	}
	return at.UTC().Format("2 Jan 2006")
}

// ends are the times under the drawing: one text where there is room for no more.
func (h Histogram) ends() []string {
	from, to := h.when(h.Bars[0].From), h.when(h.Bars[len(h.Bars)-1].To)
	if len(h.Bars) < 12 {
		return []string{from + " to " + to}
	}
	return []string{from, to}
}

// counts is the numbers of a bar for people, those that are not 0.
func (b HistogramBar) counts() string {
	var parts []string
	for _, s := range []struct {
		n    int64
		word string
	}{{b.Critical, "critical"}, {b.Warning, "warning"}, {b.Info, "info"}} {
		if s.n > 0 {
			parts = append(parts, thousands(s.n)+" "+s.word)
		}
	}
	return strings.Join(parts, ", ")
}

// The drawing, in units of its own: it is stretched to the width that there is, so
// nothing in it depends on that.
const (
	barSlot   = 10
	barWidth  = 8
	barHeight = 100
	// barSliver is the least height: one critical event among thousands is seen.
	barSliver = 4
)

func (h Histogram) viewBox() string {
	return fmt.Sprintf("0 0 %d %d", barSlot*len(h.Bars), barHeight+2*barSliver)
}

// width is that of the drawing in pixels where there is room.
func (h Histogram) width() string { return strconv.Itoa(48 * len(h.Bars)) }

// piece is one severity of a bar.
type piece struct{ class, fill, y, height string }

// pieces stacks the severities of a bar, the calmest at the bottom.
func (h Histogram) pieces(b HistogramBar) []piece {
	var pieces []piece
	bottom, most := float64(barHeight+2*barSliver), h.most()
	for _, s := range []struct {
		n           int64
		class, fill string
	}{{b.Info, "bar-info", ""}, {b.Warning, "bar-warning", "url(#stripes)"}, {b.Critical, "bar-critical", ""}} {
		if s.n == 0 {
			continue
		}
		height := max(barSliver, barHeight*float64(s.n)/float64(most))
		bottom -= height
		pieces = append(pieces, piece{s.class, s.fill, strconv.FormatFloat(bottom, 'f', 1, 64), strconv.FormatFloat(height, 'f', 1, 64)})
	}
	return pieces
}

func slotX(i, offset int) string { return strconv.Itoa(barSlot*i + offset) }

// thousands writes a number with a comma between each three digits.
func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
