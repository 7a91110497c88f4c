package security

import (
	"errors"
	"testing"
	"time"
)

func TestShelf(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var s shelf[int, string]
	reads := 0
	read := func() (string, error) { reads++; return "value", nil }
	get := func() {
		t.Helper()
		if got, err := s.get(1, now, read); got != "value" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	get()
	get()
	if reads != 1 {
		t.Errorf("%d reads", reads)
	}
	now = now.Add(shelfLife)
	if get(); reads != 2 {
		t.Error("an old entry is believed")
	}
	s.change(1, func(v *string) { *v = "changed" })
	if got, _ := s.get(1, now, read); got != "changed" {
		t.Errorf("%q", got)
	}
	if s.empty(); len(s.entries) != 0 {
		t.Error("it is not empty")
	}
	if get(); reads != 3 {
		t.Error("an emptied shelf answers")
	}
	failure := errors.New("no answer")
	if _, err := s.get(2, now, func() (string, error) { return "", failure }); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
	if _, kept := s.entries[2]; kept {
		t.Error("a failure is kept")
	}
	for i := range shelfSize + 10 {
		if _, err := s.get(i, now, read); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.entries) > shelfSize {
		t.Errorf("%d entries", len(s.entries))
	}
}

// TestShelfDropsWhatWasReadBeforeAChange: the change came while the entry was
// being read, so the reader may have seen the state from before it.
func TestShelfDropsWhatWasReadBeforeAChange(t *testing.T) {
	var s shelf[int, string]
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if _, err := s.get(1, now, func() (string, error) { s.empty(); return "old", nil }); err != nil {
		t.Fatal(err)
	}
	if got, _ := s.get(1, now, func() (string, error) { return "new", nil }); got != "new" {
		t.Errorf("%q is believed", got)
	}
}
