package handlers

import (
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"strconv"
	"strings"

	"github.com/gofrs/uuid/v5"
	"github.com/labstack/echo/v4"

	"patronus.internal/dashboard/security/secerr"
)

const (
	defaultLimit = 50
	maxLimit     = 500
)

// A cursor starts with a byte for what it holds, so that one list's cursor is
// refused by a list of another kind.
const (
	cursorSequence = 1
	cursorID       = 2
)

var errCursor = secerr.Invalid("cursor", "This list gave out no such place. Take next_cursor of its last answer, or leave it out to begin again.")

// encodeCursor writes the place behind a sequence number as an opaque text. 0,
// the end of a list, is the empty text.
func encodeCursor(seq int64) string {
	if seq == 0 {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64([]byte{cursorSequence}, uint64(seq)))
}

// decodeCursor reads what encodeCursor wrote; no cursor is 0. Anything else is
// validation_failed for the field "cursor".
func decodeCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	raw, ok := fromBase64(cursor)
	if !ok || len(raw) != 9 || raw[0] != cursorSequence {
		return 0, errCursor
	}
	seq := int64(binary.BigEndian.Uint64(raw[1:]))
	if seq < 1 {
		return 0, errCursor
	}
	return seq, nil
}

// encodeIDCursor writes the place behind an id. The empty id, the end of a
// list, is the empty text.
func encodeIDCursor(id string) string {
	if id == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorID}, uuid.FromStringOrNil(id).Bytes()...))
}

// decodeIDCursor reads what encodeIDCursor wrote; no cursor is the empty id.
// Anything else is validation_failed for the field "cursor".
func decodeIDCursor(cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, ok := fromBase64(cursor)
	if !ok || len(raw) != 1+uuid.Size || raw[0] != cursorID {
		return "", errCursor
	}
	return uuid.FromBytesOrNil(raw[1:]).String(), nil
}

// fromBase64 decodes unpadded base64url in its one spelling. Package base64
// skips line breaks even when it is strict.
func fromBase64(s string) ([]byte, bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return raw, err == nil && !strings.ContainsAny(s, "\r\n")
}

// parseLimit reads how many items a list may give at once: 1 to 500, 50 when
// nothing is said. Anything else is validation_failed for the field "limit".
func parseLimit(value string) (int, error) {
	if value == "" {
		return defaultLimit, nil
	}
	limit, err := strconv.ParseUint(value, 10, 16)
	if err != nil || limit < 1 || limit > maxLimit {
		return 0, secerr.Invalid("limit", "Use a whole number from 1 to 500.")
	}
	return int(limit), nil
}

// listParams reads what a list is asked for: the page, whose cursor decode reads,
// and the filters that it has. It names every parameter of the page that is refused.
func listParams[C any](c echo.Context, decode func(string) (C, error), filters ...string) (values url.Values, cursor C, limit int, err error) {
	if values, err = queryParams(c, append(filters, "limit", "cursor")...); err != nil {
		return nil, cursor, 0, err
	}
	limit, limitErr := parseLimit(values.Get("limit"))
	cursor, cursorErr := decode(values.Get("cursor"))
	if fields := append(secerr.FieldsOf(limitErr), secerr.FieldsOf(cursorErr)...); len(fields) > 0 {
		return nil, cursor, 0, secerr.InvalidFields(fields...)
	}
	return values, cursor, limit, nil
}
