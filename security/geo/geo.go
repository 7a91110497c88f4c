// Package geo tells the country and the place of an address, from a GeoIP
// database that whoever runs the dashboard may give it.
package geo

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"
)

// maxBytes bounds what is read into memory. The largest of the usual databases
// have some 100 MB.
const maxBytes = 1 << 30

// vaguest is the radius in km from which on coordinates are the middle of a
// country rather than a place.
const vaguest = 200

// Place is where an address is, as far as the database knows.
type Place struct {
	Country        string // ISO 3166-1 alpha-2, or empty
	Latitude       float64
	Longitude      float64 // both in degrees
	HasCoordinates bool
}

// DB is a database, read again when its file changes. It is safe for concurrent
// use.
type DB struct {
	path    string
	log     *slog.Logger
	current atomic.Pointer[loaded]

	mu     sync.Mutex // one reads a new file, the others go on with the old
	warned state      // of the file that a warning was about
}

type loaded struct {
	reader *maxminddb.Reader
	state  state
}

// state tells one content of the file from another.
type state struct {
	changed time.Time
	size    int64
}

// Open reads a database of countries or cities in MaxMind's format. The error
// says what to give instead.
func Open(path string, log *slog.Logger) (*DB, error) {
	d := &DB{path: path, log: log}
	now, err := stat(path)
	if err != nil {
		return nil, err
	}
	next, err := load(path, now)
	if err != nil {
		return nil, err
	}
	d.current.Store(next)
	return d, nil
}

// Lookup returns the place of an address, and false when the database has
// neither its country nor its coordinates.
func (d *DB) Lookup(ip netip.Addr) (Place, bool) {
	d.reload()
	return find(d.current.Load().reader, ip)
}

func find(reader *maxminddb.Reader, ip netip.Addr) (Place, bool) {
	var record struct {
		Country struct {
			Code string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
		Location struct {
			Latitude  *float64 `maxminddb:"latitude"`
			Longitude *float64 `maxminddb:"longitude"`
			Radius    uint16   `maxminddb:"accuracy_radius"`
		} `maxminddb:"location"`
	}
	if !ip.IsValid() || reader.Lookup(ip.Unmap()).Decode(&record) != nil {
		return Place{}, false // a damaged record is as good as none
	}
	var p Place
	if isCountry(record.Country.Code) {
		p.Country = record.Country.Code
	}
	if at := record.Location; at.Latitude != nil && at.Longitude != nil && at.Radius <= vaguest &&
		math.Abs(*at.Latitude) <= 90 && math.Abs(*at.Longitude) <= 180 { // false of what is no number
		p.Latitude, p.Longitude, p.HasCoordinates = *at.Latitude, *at.Longitude, true
	}
	return p, p != Place{}
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

// reload reads the file when it is another than the one in use. One that cannot
// be used, as in the middle of a copy, leaves the last good one; that is said
// once for each state of the file.
func (d *DB) reload() {
	now, err := stat(d.path)
	if err == nil && now == d.current.Load().state || !d.mu.TryLock() {
		return
	}
	defer d.mu.Unlock()
	if err == nil {
		if now == d.current.Load().state || now == d.warned { // seen meanwhile
			return
		}
		var next *loaded
		if next, err = load(d.path, now); err == nil {
			d.current.Store(next)
			d.warned = state{}
			return
		}
	} else if d.warned == (state{size: -1}) {
		return
	} else {
		now = state{size: -1} // there is no file
	}
	d.warned = now
	d.log.Warn("the new GeoIP database cannot be used; the one from before still is", "error", err)
}

func stat(path string) (state, error) {
	info, err := os.Stat(path)
	if err != nil {
		return state{}, fmt.Errorf("the GeoIP database cannot be read: %w", err)
	}
	return state{info.ModTime(), info.Size()}, nil
}

// load reads the whole file. A mapped one would end the program when somebody
// cut it short.
func load(path string, now state) (*loaded, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the GeoIP database cannot be read: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("the GeoIP database cannot be read: %w", err)
	}
	if len(content) > maxBytes {
		return nil, fmt.Errorf("%s has more than 1 GiB: it is no GeoIP database", path)
	}
	reader, err := parse(path, content)
	if err != nil {
		return nil, err
	}
	return &loaded{reader, now}, nil
}

// parse refuses what is no database, and a database in which there is no country.
func parse(path string, content []byte) (*maxminddb.Reader, error) {
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, fmt.Errorf("%s is no GeoIP database, or a part of one; give the .mmdb file of GeoLite2 City, GeoLite2 Country or the like, unpacked: %w", path, err)
	}
	// A database of another kind opens, and would know no country of anybody.
	kind := reader.Metadata.DatabaseType
	if !strings.Contains(kind, "City") && !strings.Contains(kind, "Country") && !strings.Contains(kind, "Enterprise") {
		return nil, fmt.Errorf("%s is a database of the kind %q, which has no countries; give GeoLite2 City, GeoLite2 Country or the like", path, kind)
	}
	return reader, nil
}
