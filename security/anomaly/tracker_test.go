package anomaly

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
)

func always(t Thresholds) func() Thresholds { return func() Thresholds { return t } }

// nth is an IPv4 address.
func nth(n int) netip.Addr {
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], uint32(n))
	return netip.AddrFrom4(raw)
}

// TestTrackerSpeaksOnceAWindow lets one address try accounts without end.
func TestTrackerSpeaksOnceAWindow(t *testing.T) {
	tracker := NewTracker(DefaultLimit, always(usual))
	said := map[string][]int{}
	for i := range 3 * 600 { // one a second, for three windows
		for _, f := range tracker.Failed(nth(1), account(i), now.Add(time.Duration(i)*time.Second)) {
			said[f.Rule] = append(said[f.Rule], i)
		}
	}
	for rule, want := range map[string][]int{Spray: {19, 619, 1219}, AddressFailures: {49, 649, 1249}} {
		if !slices.Equal(said[rule], want) {
			t.Errorf("%s at %v, want %v", rule, said[rule], want)
		}
	}
	said = map[string][]int{}
	for i := range 700 {
		for _, f := range tracker.Failed(nth(1000+i), "victim@example.org", now.Add(time.Hour+time.Duration(i)*time.Second)) {
			said[f.Rule] = append(said[f.Rule], i)
		}
	}
	if got := said[Distributed]; !slices.Equal(got, []int{9, 609}) || len(said) != 1 {
		t.Errorf("%v", said)
	}
}

// TestTrackerAgreesWithTheRules compares with the pure functions over all facts,
// for random guests that are near the thresholds. A rule is heard when the
// functions break it and it is not silent; the count of failures may lag by a
// sixteenth of the window.
func TestTrackerAgreesWithTheRules(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	small := Thresholds{SprayAccounts: 4, Window: 160 * time.Second, AddressFailures: 9, Block: time.Minute}
	for range 20 {
		tracker := NewTracker(DefaultLimit, always(small))
		silent := map[string]time.Time{}
		var facts []Failure
		at := now
		heard := 0
		for range 400 {
			at = at.Add(time.Duration(random.Int64N(int64(20 * time.Second))))
			f := Failure{nth(random.IntN(25)), account(random.IntN(8)), at}
			if random.IntN(3) == 0 {
				f.Address = nth(7)
			}
			facts = append(facts, f)
			got := rules(tracker.Failed(f.Address, f.Account, at))
			concerns := func(rule string) bool {
				return rule == Distributed+" "+f.Account || rule == Spray+" "+NetworkOf(f.Address).String() ||
					rule == AddressFailures+" "+NetworkOf(f.Address).String()
			}
			broken := rules(Failures(facts, at, small))
			shorter := small
			shorter.Window -= small.Window / slots
			certain := rules(Failures(facts, at, shorter))
			for _, rule := range got {
				if !slices.Contains(broken, rule) || !concerns(rule) || at.Before(silent[rule]) {
					t.Fatalf("it says %s of %v, silent until %s", rule, broken, silent[rule])
				}
			}
			for _, rule := range broken {
				exact := rule != AddressFailures+" "+NetworkOf(f.Address).String()
				if concerns(rule) && !at.Before(silent[rule]) && (exact || slices.Contains(certain, rule)) && !slices.Contains(got, rule) {
					t.Fatalf("it says %v and not %s", got, rule)
				}
			}
			for _, rule := range got {
				heard++
				silent[rule] = at.Add(small.Window)
			}
		}
		if heard == 0 {
			t.Error("nothing was ever said")
		}
	}
}

func TestTrackerFollowsThePolicy(t *testing.T) {
	policy := usual
	tracker := NewTracker(DefaultLimit, func() Thresholds { return policy })
	for i := range 10 {
		if found := tracker.Failed(nth(1), account(i), now); found != nil {
			t.Fatalf("%v", rules(found))
		}
	}
	policy.SprayAccounts, policy.Block = 5, time.Hour
	if found := tracker.Failed(nth(1), account(3), now); len(found) != 1 || found[0].Rule != Spray || found[0].Block != time.Hour {
		t.Errorf("after the threshold was lowered: %+v", found)
	}
	policy.Window = time.Minute
	if found := tracker.Failed(nth(1), account(3), now); found != nil {
		t.Errorf("the counts of another window are used: %v", rules(found))
	}
	if tracker.Failed(netip.Addr{}, account(1), now) != nil {
		t.Error("no address is suspicious")
	}
	tracker.Failed(nth(1), account(4), now.Add(-time.Hour)) // a clock may go back
}

// TestTrackerParallel: of many who see the threshold crossed, one is told.
func TestTrackerParallel(t *testing.T) {
	tracker := NewTracker(DefaultLimit, always(usual))
	var mu sync.Mutex
	said := map[string]int{}
	var group sync.WaitGroup
	for worker := range 16 {
		group.Go(func() {
			for i := range 200 {
				found := tracker.Failed(nth(1), account(worker*200+i), now)
				found = append(found, tracker.Failed(nth(10+worker*200+i), "victim@example.org", now)...)
				mu.Lock()
				for _, f := range found {
					said[f.Rule]++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(said) != 3 || said[Spray] != 1 || said[AddressFailures] != 1 || said[Distributed] != 1 {
		t.Errorf("%v", said)
	}
}

// TestTrackerIsBounded: a million addresses that each try an account of their own
// take no more room than some thousands, and do not wash away the one that sprays
// among them.
func TestTrackerIsBounded(t *testing.T) {
	const million = 1_000_000
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	before := heap()
	tracker := NewTracker(DefaultLimit, always(usual))
	sprayed, found := 0, false
	for i := range million {
		at := now.Add(time.Duration(i) * 100 * time.Microsecond) // all within a window
		tracker.Failed(nth(1_000_000+i), fmt.Sprint(i), at)
		if i%1000 == 0 && !found {
			for _, f := range tracker.Failed(nth(1), account(sprayed), at) {
				if f.Rule != Spray || sprayed != usual.SprayAccounts-1 {
					t.Errorf("%s after %d", f.Rule, sprayed)
				}
				found = true
			}
			sprayed++
		}
		if addresses, accounts := tracker.Len(); i%1000 == 0 && max(addresses, accounts) > DefaultLimit {
			t.Fatalf("%d addresses and %d accounts", addresses, accounts)
		}
	}
	if !found {
		t.Error("a slow spray went unseen among the others")
	}
	after := heap()
	t.Logf("%.1f MB", float64(after-before)/1e6)
	if taken := int64(after) - int64(before); taken > 16<<20 {
		t.Errorf("it takes %d bytes", taken)
	}
	runtime.KeepAlive(tracker)
}

// TestTrackerBoundsMembers: a high threshold does not make an address remember
// without end.
func TestTrackerBoundsMembers(t *testing.T) {
	high := usual
	high.SprayAccounts, high.AddressFailures = 100_000, 100_000
	tracker := NewTracker(100, always(high))
	for i := range 5000 {
		tracker.Failed(nth(i%3), account(i), now)
		for _, table := range []table{tracker.addresses, tracker.accounts} {
			counted := 0
			for _, e := range table.entries {
				counted += len(e.members)
			}
			if counted != table.members || counted > 100*membersPerEntry {
				t.Fatalf("%d members, %d in the books", counted, table.members)
			}
		}
	}
}

func BenchmarkFailed(b *testing.B) {
	for _, addresses := range []int{1, 1000, 1_000_000} {
		b.Run(fmt.Sprint(addresses), func(b *testing.B) {
			tracker := NewTracker(DefaultLimit, always(usual))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				tracker.Failed(nth(i%addresses), "victim@example.org", now.Add(time.Duration(i)*time.Millisecond))
				i++
			}
		})
	}
}
