package ipblock

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)

func block(network string, lasts time.Duration) Block {
	return Block{ID: network, Network: netip.MustParsePrefix(network), ExpiresAt: now.Add(lasts)}
}

func TestFind(t *testing.T) {
	const tick = time.Microsecond
	removed := block("203.0.113.0/24", time.Hour)
	removed.RemovedAt = &now
	table := NewTable()
	blocks := []Block{
		block("10.0.0.0/8", time.Hour), block("10.1.0.0/16", 0), block("10.1.2.0/24", tick), block("10.1.2.3/32", -tick),
		block("192.0.2.7/32", time.Hour), block("198.51.100.0/24", 0), removed,
		block("2001:db8:1:2::/64", time.Hour), block("2001:db8:1:2::7/128", -tick), block("2001:db8:2::/48", tick),
		block("172.16.0.0/12", time.Hour), block("172.16.0.0/12", time.Minute),
	}
	for _, c := range []struct {
		ip    string
		after time.Duration
		want  string
	}{
		{"10.9.9.9", 0, "10.0.0.0/8"},
		{"10.1.9.9", 0, "10.0.0.0/8"},    // its /16 has just expired
		{"10.1.2.9", 0, "10.1.2.0/24"},   // alive for one more microsecond
		{"10.1.2.9", tick, "10.0.0.0/8"}, // over two that have expired
		{"10.1.2.3", 0, "10.1.2.0/24"},   // over one
		{"10.1.2.3", tick, "10.0.0.0/8"}, // over three
		{"10.1.2.3", time.Hour - tick, "10.0.0.0/8"},
		{"10.1.2.3", time.Hour, ""},
		{"11.0.0.0", 0, ""},
		{"192.0.2.7", 0, "192.0.2.7/32"},
		{"192.0.2.8", 0, ""},
		{"::ffff:192.0.2.7", 0, "192.0.2.7/32"},
		{"::ffff:10.9.9.9", 0, "10.0.0.0/8"},
		{"198.51.100.1", 0, ""},
		{"203.0.113.1", 0, ""},
		{"172.31.255.255", 30 * time.Minute, "172.16.0.0/12"}, // of two, the longer
		{"2001:db8:1:2:ffff::1", 0, "2001:db8:1:2::/64"},
		{"2001:db8:1:2::7", 0, "2001:db8:1:2::/64"},
		{"2001:db8:1:2::7%eth0", 0, "2001:db8:1:2::/64"},
		{"2001:db8:1:3::7", 0, ""},
		{"2001:db8:2:ff::1", 0, "2001:db8:2::/48"},
		{"2001:db8:2:ff::1", tick, ""},
		{"::a01:203", 0, ""}, // 10.1.2.3 in the lowest bits is not that address
	} {
		for _, order := range []string{"as listed", "the other way round"} {
			table.Replace(blocks)
			got, ok := table.Find(netip.MustParseAddr(c.ip), now.Add(c.after))
			if ok != (c.want != "") || got.ID != c.want {
				t.Errorf("%s after %s, %s: %q, want %q", c.ip, c.after, order, got.ID, c.want)
			}
			for i, j := 0, len(blocks)-1; i < j; i, j = i+1, j-1 {
				blocks[i], blocks[j] = blocks[j], blocks[i]
			}
		}
	}
	if b, ok := table.Find(netip.Addr{}, now); ok {
		t.Errorf("no address at all: %+v", b)
	}
	table.Replace(nil)
	if b, ok := table.Find(netip.MustParseAddr("10.9.9.9"), now); ok {
		t.Errorf("the replaced one: %+v", b)
	}
}

// TestFindAgreesWithAScan compares with the obvious way, among networks that
// nest often and expire at random.
func TestFindAgreesWithAScan(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		if random.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{10, 0, byte(random.IntN(2)), byte(random.IntN(256))})
		}
		var raw [16]byte
		copy(raw[:], []byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, byte(random.IntN(2)), byte(random.IntN(2))})
		raw[15] = byte(random.IntN(4))
		return netip.AddrFrom16(raw)
	}
	table := NewTable()
	for range 200 {
		var blocks []Block
		seen := map[netip.Prefix]bool{}
		for range random.IntN(60) {
			ip := address()
			network := netip.PrefixFrom(ip, 8+random.IntN(ip.BitLen()-7)).Masked()
			if !seen[network] {
				seen[network] = true
				blocks = append(blocks, Block{ID: network.String(), Network: network, ExpiresAt: now.Add(time.Duration(random.IntN(3)-1) * time.Microsecond)})
			}
		}
		table.Replace(blocks)
		for range 50 {
			ip := address()
			var want Block
			for _, b := range blocks {
				if b.Network.Contains(ip) && b.InForce(now) && (want.ID == "" || b.Network.Bits() > want.Network.Bits()) {
					want = b
				}
			}
			if got, ok := table.Find(ip, now); got != want || ok != (want.ID != "") {
				t.Fatalf("%s among %d: %v, want %v", ip, len(blocks), got.Network, want.Network)
			}
		}
	}
}

// TestFindWhileReplacing: an address that is blocked before and after is never
// let through in between.
func TestFindWhileReplacing(t *testing.T) {
	table := NewTable()
	table.Replace(filled(100))
	ip := nth(42)
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, ok := table.Find(ip, now); !ok {
					t.Error("it was let through")
					return
				}
			}
		})
	}
	for i := range 200 {
		table.Replace(filled(100 + i%7))
	}
	close(done)
	group.Wait()
}

// nth is an address: every other one IPv6.
func nth(n int) netip.Addr {
	spread := uint32(n) * 2_654_435_761 // a bijection: Knuth's multiplicative hash
	if n%2 == 0 {
		var raw [4]byte
		binary.BigEndian.PutUint32(raw[:], spread)
		return netip.AddrFrom4(raw)
	}
	raw := [16]byte{0x20, 0x01, 0x0d, 0xb8}
	binary.BigEndian.PutUint32(raw[4:], spread)
	return netip.AddrFrom16(raw)
}

// filled is n blocks: of IPv4 addresses and of IPv6 /64 networks.
func filled(n int) []Block {
	blocks := make([]Block, n)
	for i := range blocks {
		ip := nth(i)
		blocks[i] = Block{Network: netip.PrefixFrom(ip, min(ip.BitLen(), 64)).Masked(), ExpiresAt: now.Add(time.Hour)}
	}
	return blocks
}

var sizes = []int{0, 1000, 100_000}

func BenchmarkFind(b *testing.B) {
	for _, n := range sizes {
		table := NewTable()
		table.Replace(filled(n))
		for _, c := range []struct {
			name string
			ip   netip.Addr
			want bool
		}{
			{"free IPv4", nth(2 * n), false}, {"free IPv6", nth(2*n + 1), false},
			{"blocked IPv4", nth(n / 2 &^ 1), n > 0}, {"blocked IPv6", nth(n/2 | 1), n > 0},
		} {
			b.Run(fmt.Sprintf("%d/%s", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, ok := table.Find(c.ip, now); ok != c.want {
						b.Fatal(ok)
					}
				}
			})
		}
	}
}

func BenchmarkFindParallel(b *testing.B) {
	table := NewTable()
	table.Replace(filled(100_000))
	ip := nth(300_000)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			table.Find(ip, now)
		}
	})
}

func BenchmarkReplace(b *testing.B) {
	for _, n := range sizes {
		blocks := filled(n)
		table := NewTable()
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				table.Replace(blocks)
			}
		})
	}
}
