package anomaly

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)

// usual is the policy of a new installation.
var usual = Thresholds{SprayAccounts: 20, Window: 10 * time.Minute, AddressFailures: 50, Block: 15 * time.Minute}

// times makes n facts.
func times(n int, of func(i int) Failure) []Failure {
	facts := make([]Failure, n)
	for i := range facts {
		facts[i] = of(i)
	}
	return facts
}

func account(n int) string { return fmt.Sprintf("user%d@example.org", n) }

// rules is a short form of findings: the rule and whom it is about.
func rules(found []Finding) []string {
	list := []string{}
	for _, f := range found {
		about := f.Account
		if f.Network.IsValid() {
			about = f.Network.String()
		}
		list = append(list, f.Rule+" "+about)
	}
	return list
}

func TestFailures(t *testing.T) {
	one := netip.MustParseAddr("192.0.2.7")
	at := func(ip string, name string, ago time.Duration) Failure {
		return Failure{netip.MustParseAddr(ip), name, now.Add(-ago)}
	}
	for name, c := range map[string]struct {
		facts []Failure
		want  []string
	}{
		"none":        {nil, nil},
		"19 accounts": {times(19, func(i int) Failure { return Failure{one, account(i), now} }), nil},
		"20 accounts": {times(20, func(i int) Failure { return Failure{one, account(i), now} }), []string{"spray 192.0.2.7/32"}},
		"20 accounts, the first a window ago": {times(20, func(i int) Failure {
			return Failure{one, account(i), now.Add(-time.Duration(20-i) * usual.Window / 20)}
		}), nil},
		"20 accounts, the first within by a microsecond": {times(20, func(i int) Failure {
			return Failure{one, account(i), now.Add(-usual.Window + time.Microsecond)}
		}), []string{"spray 192.0.2.7/32"}},
		"20 failures on 19 accounts": {times(20, func(i int) Failure { return Failure{one, account(i % 19), now} }), nil},
		"from the future":            {times(90, func(int) Failure { return Failure{one, account(1), now.Add(time.Microsecond)} }), nil},
		"49 failures":                {times(49, func(int) Failure { return Failure{one, account(1), now} }), nil},
		"50 failures":                {times(50, func(int) Failure { return Failure{one, account(1), now} }), []string{"address_failures 192.0.2.7/32"}},
		"50 without an account":      {times(50, func(int) Failure { return Failure{one, "", now} }), []string{"address_failures 192.0.2.7/32"}},
		"both": {times(50, func(i int) Failure { return Failure{one, account(i), now} }),
			[]string{"spray 192.0.2.7/32", "address_failures 192.0.2.7/32"}},
		"20 accounts from one /64": {times(20, func(i int) Failure { return at(fmt.Sprintf("2001:db8:1:2::%x", i+1), account(i), 0) }),
			[]string{"spray 2001:db8:1:2::/64"}},
		"20 accounts from 20 of them": {times(20, func(i int) Failure { return at(fmt.Sprintf("2001:db8:1:%x::1", i), account(i), 0) }), nil},
		"IPv4 in both forms": {append(times(10, func(i int) Failure { return at("192.0.2.7", account(i), 0) }),
			times(10, func(i int) Failure { return at("::ffff:192.0.2.7", account(10+i), 0) })...), []string{"spray 192.0.2.7/32"}},
		"with zones":                 {times(50, func(i int) Failure { return at(fmt.Sprintf("fe80::1%%eth%d", i), "", 0) }), []string{"address_failures fe80::/64"}},
		"9 addresses on one account": {times(9, func(i int) Failure { return at(fmt.Sprintf("192.0.2.%d", i), account(1), 0) }), nil},
		"10 addresses on one account": {times(10, func(i int) Failure { return at(fmt.Sprintf("192.0.2.%d", i), account(1), 0) }),
			[]string{"distributed user1@example.org"}},
		"10 addresses of one /64":     {times(10, func(i int) Failure { return at(fmt.Sprintf("2001:db8::%x", i), account(1), 0) }), nil},
		"10 addresses and no account": {times(10, func(i int) Failure { return at(fmt.Sprintf("192.0.2.%d", i), "", 0) }), nil},
		"no address":                  {times(90, func(i int) Failure { return Failure{netip.Addr{}, account(i), now} }), nil},
	} {
		found := Failures(c.facts, now, usual)
		if got := rules(found); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		for _, f := range found {
			blocks := f.Rule != Distributed
			if (f.Block == usual.Block) != blocks || (f.Block == 0) == blocks {
				t.Errorf("%s: %s blocks for %s", name, f.Rule, f.Block)
			}
			if _, err := json.Marshal(f.Details); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// The coordinates are those of city centres.
func TestTravel(t *testing.T) {
	city := func(country string, latitude, longitude float64, after time.Duration, device string) SignIn {
		return SignIn{At: now.Add(after), Device: device, Country: country, HasCoordinates: true, Latitude: latitude, Longitude: longitude}
	}
	berlin := func(after time.Duration, device string) SignIn { return city("DE", 52.52, 13.405, after, device) }
	for name, c := range map[string]struct {
		a, b SignIn
		want bool
	}{
		"Berlin and Sydney in an hour":     {berlin(0, "a"), city("AU", -33.87, 151.21, time.Hour, "b"), true},
		"the same in the other order":      {city("AU", -33.87, 151.21, time.Hour, "b"), berlin(0, "a"), true},
		"at the same instant":              {berlin(0, "a"), city("AU", -33.87, 151.21, 0, "b"), true},
		"devices not known":                {berlin(0, ""), city("AU", -33.87, 151.21, time.Hour, ""), true},
		"on one device":                    {berlin(0, "a"), city("AU", -33.87, 151.21, time.Hour, "a"), false},
		"by airliner (16,090 km in 17 h)":  {berlin(0, "a"), city("AU", -33.87, 151.21, 17*time.Hour, "b"), false},
		"a little faster":                  {berlin(0, "a"), city("AU", -33.87, 151.21, 16*time.Hour, "b"), true},
		"Berlin and Munich at once":        {berlin(0, "a"), city("DE", 48.137, 11.575, time.Second, "b"), true},
		"Berlin and Hamburg at once":       {berlin(0, "a"), city("DE", 53.551, 9.994, 0, "b"), false},
		"over the date line":               {city("FJ", -18.1, 179.9, 0, "a"), city("FJ", -18.1, -179.9, 0, "b"), false},
		"the opposite side":                {city("", 0, 0, 0, "a"), city("", 0, 180, 19*time.Hour, "b"), true},
		"the poles":                        {city("", 90, 0, 0, "a"), city("", -90, 77, 20*time.Hour, "b"), true},
		"no coordinates here":              {SignIn{At: now, Country: "DE"}, city("AU", -33.87, 151.21, 0, "b"), false},
		"no coordinates there":             {berlin(0, "a"), SignIn{At: now, Country: "AU"}, false},
		"two countries and no coordinates": {SignIn{At: now, Country: "DE"}, SignIn{At: now, Country: "AU"}, false},
	} {
		f, got := Travel(c.a, c.b)
		if got != c.want || got && (f.Rule != ImpossibleTravel || f.Block != 0) {
			t.Errorf("%s: %v %+v", name, got, f)
		}
		if _, err := json.Marshal(f.Details); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	f, _ := Travel(berlin(0, "a"), city("AU", -33.87, 151.21, time.Hour, "b"))
	if km := f.Details["distance_km"].(int64); km < 16_050 || km > 16_130 || f.Details["secs"] != int64(3600) || f.Details["from_country"] != "DE" || f.Details["to_country"] != "AU" {
		t.Errorf("%v", f.Details)
	}
}

func TestCountry(t *testing.T) {
	from := func(country string, ago time.Duration) SignIn { return SignIn{At: now.Add(-ago), Country: country} }
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		next    SignIn
		earlier []SignIn
		want    bool
	}{
		"the first of all":               {from("DE", 0), nil, false},
		"from the same":                  {from("DE", 0), []SignIn{from("DE", day)}, false},
		"from another":                   {from("FR", 0), []SignIn{from("DE", day)}, true},
		"from one of several":            {from("FR", 0), []SignIn{from("DE", day), from("FR", 99*day), from("US", 100*day)}, false},
		"last seen there 180 days ago":   {from("FR", 0), []SignIn{from("DE", day), from("FR", History)}, true},
		"a microsecond less":             {from("FR", 0), []SignIn{from("DE", day), from("FR", History-time.Microsecond)}, false},
		"back after a long time":         {from("FR", 0), []SignIn{from("DE", History)}, false},
		"from nowhere":                   {from("", 0), []SignIn{from("DE", day)}, false},
		"before there was GeoIP":         {from("DE", 0), []SignIn{from("", day)}, false},
		"mostly before there was GeoIP":  {from("DE", 0), []SignIn{from("", day), from("FR", 2*day)}, true},
		"two at once, listed with later": {from("DE", 0), []SignIn{from("DE", 0)}, false},
	} {
		if f, got := Country(c.next, c.earlier); got != c.want || got && (f.Rule != NewCountry || f.Block != 0 || f.Details["country"] != c.next.Country) {
			t.Errorf("%s: %v %+v", name, got, f)
		}
	}
}

func TestKey(t *testing.T) {
	home := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8:1::/48")}
	for name, c := range map[string]struct {
		ip     string
		age    time.Duration
		before []netip.Prefix
		want   string
	}{
		"from home":                {"192.0.2.99", time.Hour * 48, home, ""},
		"from home, mapped":        {"::ffff:192.0.2.99", time.Hour * 48, home, ""},
		"from home by IPv6":        {"2001:db8:1:ffff::1", time.Hour * 48, home, ""},
		"from elsewhere":           {"192.0.3.1", time.Hour * 48, home, "192.0.3.0/24"},
		"from elsewhere by IPv6":   {"2001:db8:2::1", time.Hour * 48, home, "2001:db8:2::/48"},
		"within the first day":     {"192.0.3.1", 24*time.Hour - time.Microsecond, home, ""},
		"after the first day":      {"192.0.3.1", 24 * time.Hour, home, "192.0.3.0/24"},
		"the first use, days late": {"192.0.3.1", time.Hour * 48, nil, ""},
	} {
		f, got := Key("k1", now.Add(-c.age), netip.MustParseAddr(c.ip), c.before, now)
		if got != (c.want != "") || got && (f.Rule != KeyNetwork || f.Network.String() != c.want || f.Block != 0) {
			t.Errorf("%s: %v %+v", name, got, f)
		}
	}
	if _, got := Key("k1", time.Time{}, netip.Addr{}, home, now); got {
		t.Error("no address is a new one")
	}
	if f := Reuse("s1"); f.Rule != RefreshReuse || f.Details["session_id"] != "s1" || f.Block != 0 {
		t.Errorf("%+v", f)
	}
}
