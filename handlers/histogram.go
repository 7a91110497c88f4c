package handlers

import (
	"fmt"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/views"
)

// ranges are the times that the page offers.
var ranges = []struct{ since, name string }{{"24h", "24 hours"}, {"7d", "7 days"}, {"30d", "30 days"}, {"90d", "90 days"}}

// histogram is what is drawn above the list, nil where nothing is.
func (s *Server) histogram(c echo.Context, values url.Values, f audit.Filter) (*views.Histogram, error) {
	h, err := s.service.Histogram(c.Request().Context(), caller(c), f)
	if h == nil || err != nil {
		return nil, err
	}
	shown := &views.Histogram{Unit: unitOf(h.Step)}
	for _, b := range h.Bars {
		shown.Bars = append(shown.Bars, views.HistogramBar{From: b.From, To: b.To, URL: rangeURL(values, b.From.UTC().Format(time.RFC3339), b.To.UTC().Format(time.RFC3339)),
			Info: b.Figures[audit.Info], Warning: b.Figures[audit.Warning], Critical: b.Figures[audit.Critical]})
	}
	for _, r := range ranges {
		shown.Ranges = append(shown.Ranges, views.RangeLink{Name: r.name, URL: rangeURL(values, r.since, ""),
			Current: values.Get("since") == r.since && values.Get("until") == ""})
	}
	return shown, nil
}

func unitOf(step time.Duration) string {
	switch weeks := step / (7 * 24 * time.Hour); {
	case step == time.Hour:
		return "hour"
	case weeks == 0:
		return "day"
	case weeks == 1:
		return "week"
	default:
		return fmt.Sprintf("%d weeks", weeks)
	}
}

// rangeURL is the first page of the list with another time.
func rangeURL(values url.Values, since, until string) string {
	changed := url.Values{}
	for name := range values {
		if name != "cursor" && name != "until" {
			changed.Set(name, values.Get(name))
		}
	}
	if until != "" {
		changed.Set("until", until)
	}
	return pageURL("/audit", changed, "since", since)
}
