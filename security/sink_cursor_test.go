package security

import (
	"testing"
	"time"
)

// TestCursor: what was sent over a connection counts as arrived when it stands a
// minute later, and not before; a broken one costs the rest.
func TestCursor(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := cursor{arrived: 10}
	check := func(what string, arrived, sent int64, stretches int) {
		t.Helper()
		if c.arrived != arrived || c.sent() != sent || len(c.underWay) != stretches || c.unsure() != (stretches > 0) {
			t.Errorf("%s: arrived %d, sent %d, %d stretches", what, c.arrived, c.sent(), len(c.underWay))
		}
	}
	check("at first", 10, 10, 0)
	c.handedOver(20, now, true)
	check("confirmed", 20, 20, 0)
	c.handedOver(30, now, false)
	c.handedOver(31, now.Add(999*time.Millisecond), false)
	c.handedOver(40, now.Add(time.Second), false)
	check("on its way", 20, 40, 2)
	if c.settle(now.Add(settleAfter)) {
		t.Error("31 was sent less than a minute ago")
	}
	if !c.settle(now.Add(settleAfter + time.Second)) {
		t.Error("31 was sent more than a minute ago")
	}
	check("a minute later", 31, 40, 1)
	if !c.rewind() {
		t.Error("40 is to be sent again")
	}
	check("broken", 31, 31, 0)
	if c.rewind() {
		t.Error("nothing is to be sent again")
	}
	for i := range 100_000 { // a minute of many batches
		at := now.Add(time.Duration(i) * 600 * time.Microsecond)
		c.handedOver(int64(100+i), at, false)
	}
	if n := len(c.underWay); n > 61 {
		t.Errorf("%d stretches", n)
	}
}

func TestRetryDelay(t *testing.T) {
	for _, c := range []struct {
		failures int
		random   float64
		want     time.Duration
	}{
		{1, 0, time.Second}, {1, 1, time.Second / 2}, {2, 0, 2 * time.Second}, {3, 0.5, 3 * time.Second}, {6, 0, 32 * time.Second},
		{7, 0, time.Minute}, {7, 1, 30 * time.Second}, {1000, 0, time.Minute}, {0, 0, time.Second},
	} {
		if got := retryDelay(c.failures, c.random); got != c.want {
			t.Errorf("after %d failures, %v: %v, want %v", c.failures, c.random, got, c.want)
		}
	}
}
