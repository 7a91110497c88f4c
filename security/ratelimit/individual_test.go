package ratelimit

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

func TestIndividualLimits(t *testing.T) {
	w := newWatch()
	in := NewIndividual(Options{Now: w.now})
	two, five := Limit{MaxRequests: 2, Window: time.Minute}, Limit{MaxRequests: 4, Burst: 1, Window: time.Minute}
	for i := range 5 {
		if d := in.Bucket("a", two).check(); d.Allowed != (i < 2) || d.Limit != 2 {
			t.Errorf("request %d of two: %+v", i, d)
		}
		if d := in.Bucket("b", five).check(); !d.Allowed || d.Remaining != int64(4-i) {
			t.Errorf("request %d of five: %+v", i, d)
		}
	}
	if d, known := in.Peek("a"); !known || d.Remaining != 0 || d.Allowed {
		t.Errorf("used up: %t, %+v", known, d)
	}
	if _, known := in.Peek("c"); known {
		t.Error("nobody asked for this one")
	}
}

// TestIndividualLimitChanges: a debt keeps its meaning in time, so that to change
// a limit and change it back forgives nothing.
func TestIndividualLimitChanges(t *testing.T) {
	w := newWatch()
	in := NewIndividual(Options{Now: w.now})
	limit := Limit{MaxRequests: 10, Window: time.Minute}
	for range 10 {
		in.Bucket("a", limit).check()
	}
	wide := Limit{MaxRequests: 600, Window: time.Minute}
	if d := in.Bucket("a", wide).peek(); d.Allowed || d.Limit != 600 {
		t.Errorf("a wider limit forgives: %+v", d)
	}
	if d := in.Bucket("a", limit).check(); d.Allowed {
		t.Errorf("and back: %+v", d)
	}
	w.advance(6 * time.Second)
	if d := in.Bucket("a", limit).check(); !d.Allowed || d.Remaining != 0 {
		t.Errorf("a tenth of the window later: %+v", d)
	}
}

func TestIndividualSweep(t *testing.T) {
	w := newWatch()
	in := NewIndividual(Options{Now: w.now})
	in.Bucket("minute", Limit{MaxRequests: 1, Window: time.Minute}).check()
	in.Bucket("hour", Limit{MaxRequests: 1, Window: time.Hour}).check()
	w.advance(time.Minute - 1)
	if in.Sweep(); len(in.owners) != 2 {
		t.Errorf("%d are left a nanosecond before one is idle", len(in.owners))
	}
	w.advance(1)
	in.Sweep()
	if _, known := in.Peek("hour"); !known || len(in.owners) != 1 {
		t.Errorf("%d are left, and who is in debt is among them: %t", len(in.owners), known)
	}
}

func TestIndividualIsBounded(t *testing.T) {
	w := newWatch()
	in := NewIndividual(Options{Now: w.now, MaxKeys: 100})
	for i := range 1000 {
		w.advance(1)
		in.Bucket(fmt.Sprint(i), perMinute).check()
	}
	if len(in.owners) != 100 {
		t.Errorf("%d keys", len(in.owners))
	}
}

// TestIndividualIsExactInParallel: with a common limit beside it.
func TestIndividualIsExactInParallel(t *testing.T) {
	w := newWatch()
	in := NewIndividual(Options{Now: w.now})
	common := New(Limit{MaxRequests: 1000, Window: time.Minute}, Options{Now: w.now})
	own := Limit{MaxRequests: 10, Window: time.Minute}
	var passed atomic.Int64
	parallel(func(int) {
		for range 20 {
			if allowed, _ := All(common.Key("x"), in.Bucket("x", own)); allowed {
				passed.Add(1)
			}
			in.Sweep()
		}
	})
	if passed.Load() != 10 || common.RemainingKey("x") != 990 {
		t.Errorf("%d passed, and %d are left of the common limit", passed.Load(), common.RemainingKey("x"))
	}
}
