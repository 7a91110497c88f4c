package ipblock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// shelf is a migrated database under a clock that moves when told to.
type shelf struct {
	*db.DB
	t   *testing.T
	now time.Time
}

func open(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{t: t, now: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)}
	store, err := db.Open(t.Context(), db.Options{Path: filepath.Join(t.TempDir(), "x.db"), Now: func() time.Time { return s.now }, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	s.DB = store
	return s
}

func (s *shelf) reader() db.Reader { return s.Read(s.t.Context()) }

func (s *shelf) add(b Block, lasts time.Duration) (added Block, err error) {
	err = s.Write(context.Background(), func(tx *db.Tx) (err error) {
		b.ExpiresAt = tx.Now().Add(lasts)
		added, err = Add(tx, b)
		return err
	})
	return added, err
}

func (s *shelf) mustAdd(b Block, lasts time.Duration) Block {
	s.t.Helper()
	added, err := s.add(b, lasts)
	if err != nil {
		s.t.Fatal(err)
	}
	return added
}

func (s *shelf) remove(id, by string) (removed Block, err error) {
	err = s.Write(context.Background(), func(tx *db.Tx) (err error) {
		removed, err = Remove(tx, id, by)
		return err
	})
	return removed, err
}

func (s *shelf) inForce() []Block {
	s.t.Helper()
	blocks, err := InForce(s.reader(), s.now)
	if err != nil {
		s.t.Fatal(err)
	}
	return blocks
}

func (s *shelf) rows() (n int) {
	s.t.Helper()
	if err := s.reader().QueryRow("SELECT COUNT(*) FROM ip_blocks").Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

var office = netip.MustParsePrefix("192.0.2.0/24")

// TestLaterExpiryWins walks one network through blocks of several lengths.
func TestLaterExpiryWins(t *testing.T) {
	s := open(t)
	first := s.mustAdd(Block{Network: office, Reason: "spray", Source: Automatic}, time.Hour)
	if first.ID == "" || first.Network != office || first.Reason != "spray" || first.Source != Automatic || first.CreatedBy != "" ||
		!first.CreatedAt.Equal(s.now) || !first.ExpiresAt.Equal(s.now.Add(time.Hour)) || first.RemovedAt != nil {
		t.Errorf("%+v", first)
	}
	s.now = s.now.Add(time.Minute)
	if same := s.mustAdd(Block{Network: office, Reason: "short", Source: Manual, CreatedBy: "u1"}, time.Minute); same != first {
		t.Errorf("a shorter block changed it to %+v", same)
	}
	longer := s.mustAdd(Block{Network: netip.MustParsePrefix("192.0.2.77/24"), Reason: "abuse", Source: Manual, CreatedBy: "u1"}, 2*time.Hour)
	want := first
	want.Reason, want.Source, want.CreatedBy, want.ExpiresAt = "abuse", Manual, "u1", s.now.Add(2*time.Hour)
	if longer != want || s.rows() != 1 {
		t.Errorf("%+v, want %+v; %d rows", longer, want, s.rows())
	}
	if mapped := s.mustAdd(Block{Network: netip.MustParsePrefix("::ffff:192.0.2.0/120"), Source: Manual}, time.Minute); mapped.ID != first.ID {
		t.Errorf("the same network written as IPv6 is another: %+v", mapped)
	}
	s.now = longer.ExpiresAt.Add(-time.Microsecond)
	if found := s.inForce(); len(found) != 1 || found[0] != longer {
		t.Errorf("it ended early: %+v", found)
	}
	s.now = longer.ExpiresAt
	if found := s.inForce(); len(found) != 0 {
		t.Errorf("it outlives its end: %+v", found)
	}
	next := s.mustAdd(Block{Network: office, Source: Manual}, time.Minute)
	if next.ID == first.ID || next.Reason != "" || s.rows() != 2 {
		t.Errorf("after its end the next one is %+v", next)
	}
	if old, err := ByID(s.reader(), first.ID); err != nil || old.RemovedAt == nil || !old.RemovedAt.Equal(longer.ExpiresAt) || old.Reason != "abuse" {
		t.Errorf("the one before it is %+v, %v", old, err)
	}
}

func TestAddRefuses(t *testing.T) {
	s := open(t)
	for name, c := range map[string]struct {
		block Block
		lasts time.Duration
		field string
	}{
		"no network":     {Block{}, time.Hour, "ip"},
		"everything":     {Block{Network: netip.MustParsePrefix("0.0.0.0/0")}, time.Hour, "ip"},
		"a microsecond":  {Block{Network: office}, MinDuration - time.Microsecond, "duration"},
		"already over":   {Block{Network: office}, -time.Hour, "duration"},
		"over a year":    {Block{Network: office}, MaxDuration + time.Microsecond, "duration"},
		"a long reason":  {Block{Network: office, Reason: strings.Repeat("x", MaxReason+1)}, time.Hour, "reason"},
		"mapped as IPv6": {Block{Network: netip.MustParsePrefix("::ffff:10.0.0.0/90")}, time.Hour, "ip"},
	} {
		c.block.Source = Manual
		_, err := s.add(c.block, c.lasts)
		if e, ok := errors.AsType[*secerr.Error](err); !ok || e.Code != secerr.ValidationFailed || e.Fields[0].Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.add(Block{Network: office, Source: "chance"}, time.Hour); err == nil {
		t.Error("a source that does not exist is stored")
	}
	s.mustAdd(Block{Network: office, Source: Manual, Reason: strings.Repeat("x", MaxReason)}, MaxDuration)
	s.mustAdd(Block{Network: netip.MustParsePrefix("2001:db8::/64"), Source: Automatic}, MinDuration)
	if s.rows() != 2 {
		t.Errorf("%d rows", s.rows())
	}
}

func TestRemove(t *testing.T) {
	s := open(t)
	b := s.mustAdd(Block{Network: office, Source: Manual}, time.Hour)
	s.now = s.now.Add(time.Minute)
	removed, err := s.remove(b.ID, "u1")
	if err != nil || removed.ID != b.ID || removed.RemovedAt == nil || !removed.RemovedAt.Equal(s.now) || removed.InForce(s.now) {
		t.Errorf("%+v, %v", removed, err)
	}
	if len(s.inForce()) != 0 {
		t.Error("it still counts")
	}
	for _, id := range []string{b.ID, "nonsense", ""} {
		if _, err := s.remove(id, "u1"); !secerr.Is(err, secerr.NotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	again := s.mustAdd(Block{Network: office, Source: Manual}, time.Hour)
	if again.ID == b.ID {
		t.Error("a removed block came back")
	}
	s.now = again.ExpiresAt
	if _, err := s.remove(again.ID, ""); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("one that has expired: %v", err)
	}
	if _, err := ByID(s.reader(), "nonsense"); !secerr.Is(err, secerr.NotFound) {
		t.Errorf("no such block: %v", err)
	}
}

func TestPagesMissNothing(t *testing.T) {
	s := open(t)
	var want []string
	for i := range 11 {
		b := s.mustAdd(Block{Network: Single(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})), Source: Manual}, time.Hour)
		s.now = s.now.Add(time.Millisecond)
		want = append([]string{b.ID}, want...)
	}
	for _, size := range []int{1, 3, 10, 11, 12} {
		var got []string
		for before := ""; ; {
			blocks, next, err := Page(s.reader(), s.now, nil, before, size)
			if err != nil || len(blocks) > size {
				t.Fatalf("%d blocks, %v", len(blocks), err)
			}
			for _, b := range blocks {
				got = append(got, b.ID)
			}
			if before = next; next == "" {
				break
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("in pages of %d: %v, want %v", size, got, want)
		}
	}
	all := s.inForce()
	if len(all) != len(want) || all[0].ID != want[0] {
		t.Errorf("all: %+v", all)
	}
}

func TestDeleteExpired(t *testing.T) {
	s := open(t)
	removed, err := s.remove(s.mustAdd(Block{Network: office, Source: Manual}, MaxDuration).ID, "u1")
	if err != nil {
		t.Fatal(err)
	}
	ended := s.mustAdd(Block{Network: office, Source: Manual}, time.Hour)
	alive := s.mustAdd(Block{Network: netip.MustParsePrefix("2001:db8::/64"), Source: Manual}, MaxDuration)
	for _, c := range []struct {
		at   time.Time
		left int
	}{
		// The row that ended an hour later stays an hour longer.
		{removed.RemovedAt.Add(kept - time.Microsecond), 3}, {removed.RemovedAt.Add(kept), 2},
		{ended.ExpiresAt.Add(kept - time.Microsecond), 2}, {ended.ExpiresAt.Add(kept), 1},
	} {
		s.now = c.at
		if err := s.Write(t.Context(), func(tx *db.Tx) error { return DeleteExpired(tx, 10) }); err != nil || s.rows() != c.left {
			t.Errorf("%s: %d are left, want %d; %v", c.at, s.rows(), c.left, err)
		}
	}
	if found := s.inForce(); len(found) != 1 || found[0].ID != alive.ID {
		t.Errorf("%+v", found)
	}
}

// TestParallelAddsMakeOneBlock: whoever comes first, one row stands, and it
// lasts as long as the longest of them.
func TestParallelAddsMakeOneBlock(t *testing.T) {
	s := open(t)
	const callers = 20
	var group sync.WaitGroup
	ids := make([]string, callers)
	for i := range callers {
		group.Go(func() {
			b, err := s.add(Block{Network: office, Source: Automatic, Reason: fmt.Sprint(i)}, time.Duration(i+1)*time.Minute)
			if err != nil {
				t.Error(err)
			}
			ids[i] = b.ID
		})
	}
	group.Wait()
	found := s.inForce()
	if len(found) != 1 || s.rows() != 1 || !found[0].ExpiresAt.Equal(s.now.Add(callers*time.Minute)) || found[0].Reason != fmt.Sprint(callers-1) {
		t.Fatalf("%d rows, %+v", s.rows(), found)
	}
	for _, id := range ids {
		if id != found[0].ID {
			t.Errorf("a caller was told of %q", id)
		}
	}
}
