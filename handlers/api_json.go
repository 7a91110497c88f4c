package handlers

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
)

// timestamp is a time as the API writes it: RFC 3339, UTC, milliseconds.
type timestamp time.Time

// MarshalJSON implements json.Marshaler.
func (t timestamp) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(t).UTC().Format(`"2006-01-02T15:04:05.000Z"`)), nil
}

// timestampOrNull is null for a time that never was.
func timestampOrNull(t *time.Time) *timestamp {
	if t == nil {
		return nil
	}
	written := timestamp(*t)
	return &written
}

// list is the answer of every list. NextCursor is null at the end.
type list[T any] struct {
	Items      []T     `json:"items"`
	NextCursor *string `json:"next_cursor"`
}

// answerList writes a page of a list; next is empty at the end.
func answerList[T, U any](c echo.Context, items []T, next string, show func(T) U) error {
	page := list[U]{Items: make([]U, 0, len(items))}
	for _, item := range items {
		page.Items = append(page.Items, show(item))
	}
	if next != "" {
		page.NextCursor = &next
	}
	return c.JSON(http.StatusOK, page)
}

// stringOrNull is null for what does not apply.
func stringOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// seconds rounds down to whole seconds, as the API tells durations.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
