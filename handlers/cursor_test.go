package handlers

import (
	"encoding/base64"
	"math"
	"testing"

	"patronus.internal/dashboard/security/secerr"
)

func TestCursors(t *testing.T) {
	for _, seq := range []int64{0, 1, 50, 1 << 40, math.MaxInt64} {
		if got, err := decodeCursor(encodeCursor(seq)); err != nil || got != seq {
			t.Errorf("%d comes back as %d, %v", seq, got, err)
		}
	}
	for _, id := range []string{"", "0190a000-0000-7000-8000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"} {
		if got, err := decodeIDCursor(encodeIDCursor(id)); err != nil || got != id {
			t.Errorf("%s comes back as %s, %v", id, got, err)
		}
	}
	if encodeCursor(0) != "" || encodeIDCursor("") != "" {
		t.Error("the end of a list has a cursor")
	}
	otherKind := base64.RawURLEncoding.EncodeToString([]byte{9, 0, 0, 0, 0, 0, 0, 0, 7})
	otherIDKind := base64.RawURLEncoding.EncodeToString(append([]byte{9}, make([]byte, 16)...))
	sequence, id := encodeCursor(7), encodeIDCursor("0190a000-0000-7000-8000-000000000000")
	for _, bad := range []string{"x", "xyz", "7", " ", sequence + "A", sequence[1:], otherKind, sequence + "=", sequence + "\n", id, encodeCursor(-1), "AQAAAAAAAAAA"} {
		if got, err := decodeCursor(bad); !secerr.Is(err, secerr.ValidationFailed) {
			t.Errorf("%q is %d, %v", bad, got, err)
		}
	}
	for _, bad := range []string{"x", "0190a000-0000-7000-8000-000000000000", id + "AAAA", id[2:], otherIDKind, sequence} {
		if got, err := decodeIDCursor(bad); !secerr.Is(err, secerr.ValidationFailed) {
			t.Errorf("%q is %s, %v", bad, got, err)
		}
	}
}

func TestParseLimit(t *testing.T) {
	for value, want := range map[string]int{"": 50, "1": 1, "50": 50, "500": 500} {
		if got, err := parseLimit(value); err != nil || got != want {
			t.Errorf("%q: %d %v", value, got, err)
		}
	}
	for _, bad := range []string{"0", "501", "-1", "+5", "1.0", "1e2", "0x10", " 5", "five", "65536", "99999999999999999999"} {
		if got, err := parseLimit(bad); !secerr.Is(err, secerr.ValidationFailed) {
			t.Errorf("%q: %d %v", bad, got, err)
		}
	}
}

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "x", encodeCursor(1), encodeIDCursor("0190a000-0000-7000-8000-000000000000")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		if seq, err := decodeCursor(cursor); err == nil && encodeCursor(seq) != cursor {
			t.Errorf("%q is another spelling of %d", cursor, seq)
		}
		if id, err := decodeIDCursor(cursor); err == nil && encodeIDCursor(id) != cursor {
			t.Errorf("%q is another spelling of %s", cursor, id)
		}
	})
}
