package anomaly

import (
	"math"
	"net/netip"
	"slices"
	"time"
)

// An impossible journey is farther than what GeoIP errs by, and faster than an
// airliner with its ways to and from the airport.
const (
	minTravelKM  = 500
	maxTravelKMH = 1000
)

// History is how far back the places of an account count.
const History = 180 * 24 * time.Hour

// keyLearns is how long a new API key may turn up anywhere: while whoever made
// it tries it out and moves it to where it will stay.
const keyLearns = 24 * time.Hour

// SignIn is one that succeeded, and where it came from as far as is known.
type SignIn struct {
	At             time.Time
	Device         string // what tells devices apart; empty when it is not known
	Country        string // ISO 3166-1 alpha-2, or empty
	HasCoordinates bool
	Latitude       float64 // degrees
	Longitude      float64
}

// Travel judges two sign-ins of one account, in any order. It needs the
// coordinates of both. Without them there is no rule: networks and countries
// change within a minute for everyone who leaves their Wi-Fi or turns a VPN on.
// For the same reason one device never travels too fast: its cookie shows that it
// is the same, wherever its packets come out.
func Travel(a, b SignIn) (Finding, bool) {
	if !a.HasCoordinates || !b.HasCoordinates || a.Device != "" && a.Device == b.Device {
		return Finding{}, false
	}
	if b.At.Before(a.At) {
		a, b = b, a
	}
	took, km := b.At.Sub(a.At), distance(a, b)
	// As a product, since two sign-ins may be of the same instant. What is no
	// number is no distance.
	if !(km > minTravelKM && km > maxTravelKMH*took.Hours()) {
		return Finding{}, false
	}
	return Finding{Rule: ImpossibleTravel, Details: map[string]any{
		"distance_km": int64(km), "secs": seconds(took), "from_country": a.Country, "to_country": b.Country}}, true
}

// earthKM is the mean radius (IUGG).
const earthKM = 6371.0088

// distance is along the surface, by the haversine formula.
func distance(a, b SignIn) float64 {
	radians := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	square := func(x float64) float64 { return x * x }
	h := square(math.Sin(radians(b.Latitude-a.Latitude)/2)) +
		math.Cos(radians(a.Latitude))*math.Cos(radians(b.Latitude))*square(math.Sin(radians(b.Longitude-a.Longitude)/2))
	return 2 * earthKM * math.Asin(math.Sqrt(min(h, 1)))
}

// Country judges a sign-in by the earlier ones of the account. It is quiet
// without a country, and for an account of which no country is known within
// History: a first sign-in is from somewhere.
func Country(next SignIn, earlier []SignIn) (Finding, bool) {
	if next.Country == "" {
		return Finding{}, false
	}
	known := false
	for _, e := range earlier {
		if e.Country == "" || !e.At.After(next.At.Add(-History)) {
			continue
		}
		if e.Country == next.Country {
			return Finding{}, false
		}
		known = true
	}
	if !known {
		return Finding{}, false
	}
	return Finding{Rule: NewCountry, Details: map[string]any{"country": next.Country}}, true
}

// Reuse is the finding of a refresh token that came a second time: the token or
// the session was copied. There is nothing to weigh.
func Reuse(sessionID string) Finding {
	return Finding{Rule: RefreshReuse, Details: map[string]any{"session_id": sessionID}}
}

// KeyNetworkOf is the network that the use of a key is remembered by: the /24 or
// /48 that one site has.
func KeyNetworkOf(ip netip.Addr) netip.Prefix { return around(ip, 24, 48) }

// Key judges the use of an API key by the networks (KeyNetworkOf) that it was
// used from before. It is quiet on the key's first day, and for one that was
// never used: it has to be used from somewhere first.
func Key(keyID string, created time.Time, ip netip.Addr, before []netip.Prefix, now time.Time) (Finding, bool) {
	network := KeyNetworkOf(ip)
	if !network.IsValid() || len(before) == 0 || now.Before(created.Add(keyLearns)) || slices.Contains(before, network) {
		return Finding{}, false
	}
	return Finding{Rule: KeyNetwork, Network: network, Details: map[string]any{"api_key_id": keyID, "network": network.String()}}, true
}
