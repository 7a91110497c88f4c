package audit

import (
	"context"
	"slices"
	"testing"
)

// TestNeighbours: those on both sides, newest first, and more of one side where the
// other has fewer.
func TestNeighbours(t *testing.T) {
	d := open(t)
	for i := range 20 {
		if err := write(t, d, Event{Type: Logout, Actor: Actor{IPAddress: []string{"192.0.2.1", "192.0.2.2"}[i%2], RequestID: "r"}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		f    Filter
		seq  int64
		want []int64
	}{
		{Filter{Limit: 5}, 10, []int64{13, 12, 11, 9, 8}},
		{Filter{Limit: 5}, 20, []int64{19, 18, 17, 16, 15}},
		{Filter{Limit: 5}, 1, []int64{6, 5, 4, 3, 2}},
		{Filter{Limit: 5}, 19, []int64{20, 18, 17, 16, 15}},
		{Filter{Limit: 5, IP: "192.0.2.1"}, 9, []int64{15, 13, 11, 7, 5}},
		{Filter{Limit: 5, IP: "192.0.2.1", Request: "r"}, 10, []int64{15, 13, 11, 9, 7}},
		{Filter{Limit: 5, IP: "192.0.2.1", Request: "another"}, 10, nil},
		{Filter{Limit: 50}, 10, []int64{20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 9, 8, 7, 6, 5, 4, 3, 2, 1}},
	} {
		events, err := Neighbours(d.Read(context.Background()), c.f, c.seq)
		var got []int64
		for _, e := range events {
			got = append(got, e.Seq)
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%+v of %d: %v, want %v (%v)", c.f, c.seq, got, c.want, err)
		}
	}
}
