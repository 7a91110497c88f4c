package geo

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// city makes a database in which 1.0.0.0/24 is in a country, and some other
// networks are odd.
func city(t testing.TB, kind, country string) []byte {
	t.Helper()
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: kind, RecordSize: 24, BuildEpoch: 1})
	if err != nil {
		t.Fatal(err)
	}
	in := func(code string) mmdbtype.Map { return mmdbtype.Map{"iso_code": mmdbtype.String(code)} }
	at := func(latitude, longitude float64, radius uint16) mmdbtype.Map {
		return mmdbtype.Map{"latitude": mmdbtype.Float64(latitude), "longitude": mmdbtype.Float64(longitude), "accuracy_radius": mmdbtype.Uint16(radius)}
	}
	for network, record := range map[string]mmdbtype.Map{
		"1.0.0.0/24":     {"country": in(country), "location": at(52.52, 13.405, 20)},
		"1.0.1.0/24":     {"country": in("FR")},
		"1.0.2.0/24":     {"location": at(-33.87, 151.21, 200)},
		"1.0.3.0/24":     {"country": in("US"), "location": at(37.751, -97.822, 1000)},
		"1.0.4.0/24":     {"country": in("xx"), "location": at(91, 0, 1)},
		"1.0.5.0/24":     {"country": mmdbtype.String("DE")},
		"1.0.6.0/24":     {"country": in("DE"), "location": mmdbtype.Map{"latitude": mmdbtype.Float64(1)}},
		"2a00:1450::/32": {"country": in("IE"), "location": at(0, 0, 5)},
	} {
		_, prefix, err := net.ParseCIDR(network)
		if err != nil {
			t.Fatal(err)
		}
		if err := tree.Insert(prefix, record); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if _, err := tree.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// put writes a file of its own time of change.
func put(t testing.TB, path string, content []byte, changed time.Time) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, changed, changed); err != nil {
		t.Fatal(err)
	}
}

var day = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

func TestLookup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "city.mmdb")
	put(t, path, city(t, "GeoLite2-City", "DE"), day)
	d, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]Place{
		"1.0.0.7":            {"DE", 52.52, 13.405, true},
		"::ffff:1.0.0.7":     {"DE", 52.52, 13.405, true},
		"1.0.1.7":            {Country: "FR"},
		"1.0.2.7":            {"", -33.87, 151.21, true},
		"1.0.3.7":            {Country: "US"}, // the middle of the country
		"1.0.4.7":            {},              // neither a country nor on the globe
		"1.0.5.7":            {},              // another shape
		"1.0.6.7":            {Country: "DE"},
		"2a00:1450::1":       {"IE", 0, 0, true},
		"2a00:1450::1%eth0":  {"IE", 0, 0, true},
		"9.9.9.9":            {},
		"127.0.0.1":          {},
		"::1":                {},
		"2600:1f18:aaaa::42": {},
	} {
		if got, ok := d.Lookup(netip.MustParseAddr(ip)); got != want || ok != (want != Place{}) {
			t.Errorf("%s: %+v %v, want %+v", ip, got, ok, want)
		}
	}
	if got, ok := d.Lookup(netip.Addr{}); ok {
		t.Errorf("no address: %+v", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	whole := city(t, "GeoLite2-City", "DE")
	for name, c := range map[string]struct {
		content []byte
		hint    string
	}{
		"empty":          {nil, "unpacked"},
		"text":           {[]byte("<html>Please log in</html>"), "unpacked"},
		"cut short":      {whole[:len(whole)/2], "a part of one"},
		"another kind":   {city(t, "GeoLite2-ASN", "DE"), `"GeoLite2-ASN", which has no countries`},
		"only its end":   {whole[bytes.LastIndex(whole, []byte("\xab\xcd\xefMaxMind.com")):], "a part of one"},
		"an end of zero": {append(bytes.Clone(whole[:len(whole)-200]), "\xab\xcd\xefMaxMind.com\x00\x00"...), "a part of one"},
	} {
		path := filepath.Join(folder, "x.mmdb")
		put(t, path, c.content, day)
		if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), c.hint) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, path := range []string{filepath.Join(folder, "none.mmdb"), folder} {
		if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), "cannot be read") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestANewFileIsRead walks through an update that first goes wrong.
func TestANewFileIsRead(t *testing.T) {
	var mu sync.Mutex
	var warnings bytes.Buffer
	path := filepath.Join(t.TempDir(), "city.mmdb")
	put(t, path, city(t, "GeoLite2-City", "DE"), day)
	d, err := Open(path, slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return warnings.Write(p)
	}), nil)))
	if err != nil {
		t.Fatal(err)
	}
	look := func(step, want string, warned int) {
		t.Helper()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 5 {
					// Who comes while another reads gets the answer of before.
					if got, _ := d.Lookup(netip.MustParseAddr("1.0.0.7")); got.Country != "DE" && got.Country != want {
						t.Errorf("%s: %q", step, got.Country)
					}
				}
			})
		}
		group.Wait()
		if got, _ := d.Lookup(netip.MustParseAddr("1.0.0.7")); got.Country != want {
			t.Errorf("%s: %q, want %q", step, got.Country, want)
		}
		if n := strings.Count(warnings.String(), "level=WARN"); n != warned {
			t.Errorf("%s: %d warnings:\n%s", step, n, &warnings)
		}
	}
	look("at first", "DE", 0)
	next := city(t, "GeoLite2-City", "AT")
	put(t, path, next[:len(next)/2], day.Add(time.Hour))
	look("half of the next", "DE", 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look("none", "DE", 2)
	put(t, path, next, day.Add(time.Hour))
	look("the next", "AT", 2)
	put(t, path, nil, day.Add(3*time.Hour))
	look("empty", "AT", 3)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// FuzzLookup: whatever stands in the file, a look-up ends with a place on the
// globe or with none.
func FuzzLookup(f *testing.F) {
	whole := city(f, "GeoLite2-City", "DE")
	f.Add(whole, []byte{1, 0, 0, 7})
	f.Add(whole[:len(whole)/2], []byte{1, 0, 0, 7})
	f.Fuzz(func(t *testing.T, content, address []byte) {
		reader, err := parse("x.mmdb", content)
		if err != nil {
			return
		}
		ip, _ := netip.AddrFromSlice(address)
		p, ok := find(reader, ip)
		if ok != (p != Place{}) || p.Country != "" && !isCountry(p.Country) || !(p.Latitude >= -90 && p.Latitude <= 90 && p.Longitude >= -180 && p.Longitude <= 180) {
			t.Errorf("%s: %+v %v", ip, p, ok)
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	path := filepath.Join(b.TempDir(), "city.mmdb")
	put(b, path, city(b, "GeoLite2-City", "DE"), day)
	d, err := Open(path, nil)
	if err != nil {
		b.Fatal(err)
	}
	ip := netip.MustParseAddr("1.0.0.7")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := d.Lookup(ip); !ok {
			b.Fatal("it is not found")
		}
	}
}
