// Package anomaly has the rules for suspicious activity, as pure functions of
// recent facts, and a Tracker that keeps the facts about failed sign-ins at a
// bounded cost. It stores nothing and blocks nobody: a Finding says what there
// is to record, and what to block.
package anomaly

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// The rules, as they stand in the details of an event.
const (
	Spray            = "spray"             // one address, many accounts
	AddressFailures  = "address_failures"  // one address, many failures
	Distributed      = "distributed"       // one account, many addresses
	ImpossibleTravel = "impossible_travel" // two sign-ins too far apart
	NewCountry       = "new_country"       // a sign-in from where the account never was
	RefreshReuse     = "refresh_reuse"     // a refresh token that was used up
	KeyNetwork       = "key_network"       // an API key from where it never was
)

// DistributedNetworks is how many addresses may fail on one account in a window.
// It has no setting: people have a phone, a desk and a train, and not ten
// networks in ten minutes, and the lock of the account acts long before.
const DistributedNetworks = 10

// Finding is one rule that was broken.
type Finding struct {
	Rule    string
	Network netip.Prefix   // whom it is about, of the rules about an address
	Account string         // whom it is about, of Distributed, as the fact named it
	Details map[string]any // for the event: only what JSON can hold
	Block   time.Duration  // for how long to block Network; zero is not at all
}

// Thresholds are those of the policy (policy.Anomaly).
type Thresholds struct {
	SprayAccounts   int           // anomaly.spray_accounts
	Window          time.Duration // anomaly.spray_window_secs
	AddressFailures int           // anomaly.address_failures
	Block           time.Duration // anomaly.block_secs
}

// Failure is one failed attempt to sign in. Account is what was tried, in the
// form in which two spellings of one account are equal, whether it exists or
// not; it is empty when the attempt named none.
type Failure struct {
	Address netip.Addr
	Account string
	At      time.Time
}

// NetworkOf is the network that stands for one guest: an IPv4 address, or the
// /64 of an IPv6 one, in which who has it may choose addresses at will (RFC
// 6177, RFC 8981). Of no address it is the zero Prefix.
func NetworkOf(ip netip.Addr) netip.Prefix { return around(ip, 32, 64) }

// around is the network of a length about an address.
func around(ip netip.Addr, ipv4, ipv6 int) netip.Prefix {
	ip = ip.Unmap()
	bits := ipv6
	if ip.Is4() {
		bits = ipv4
	}
	network, err := ip.WithZone("").Prefix(bits)
	if err != nil { // no address
		return netip.Prefix{}
	}
	return network
}

// Failures judges the failures in the window that ends at now, its beginning not
// included. Findings come by network, then by account.
func Failures(facts []Failure, now time.Time, t Thresholds) []Finding {
	type tally struct {
		failures int
		accounts map[string]bool
	}
	addresses := make(map[netip.Prefix]*tally)
	accounts := make(map[string]map[netip.Prefix]bool)
	for _, f := range facts {
		network := NetworkOf(f.Address)
		if !network.IsValid() || f.At.After(now) || !f.At.After(now.Add(-t.Window)) {
			continue
		}
		if addresses[network] == nil {
			addresses[network] = &tally{accounts: make(map[string]bool)}
		}
		addresses[network].failures++
		if f.Account == "" {
			continue
		}
		addresses[network].accounts[f.Account] = true
		if accounts[f.Account] == nil {
			accounts[f.Account] = make(map[netip.Prefix]bool)
		}
		accounts[f.Account][network] = true
	}
	var found []Finding
	for _, network := range slices.SortedFunc(maps.Keys(addresses), netip.Prefix.Compare) {
		found = append(found, judgeAddress(network, len(addresses[network].accounts), addresses[network].failures, t)...)
	}
	for _, account := range slices.SortedFunc(maps.Keys(accounts), cmp.Compare[string]) {
		found = append(found, judgeAccount(account, len(accounts[account]), t)...)
	}
	return found
}

// judgeAddress is the rules about one network, by what it did in the window.
func judgeAddress(network netip.Prefix, accounts, failures int, t Thresholds) []Finding {
	var found []Finding
	finding := func(rule string) {
		found = append(found, Finding{Rule: rule, Network: network, Block: t.Block, Details: map[string]any{
			"network": network.String(), "accounts": accounts, "failures": failures, "window_secs": seconds(t.Window)}})
	}
	if accounts >= t.SprayAccounts {
		finding(Spray)
	}
	if failures >= t.AddressFailures {
		finding(AddressFailures)
	}
	return found
}

// judgeAccount is the rule about one account. It blocks nothing: each of the
// addresses did little, and the lock of the account stops them all.
func judgeAccount(account string, networks int, t Thresholds) []Finding {
	if networks < DistributedNetworks {
		return nil
	}
	return []Finding{{Rule: Distributed, Account: account, Details: map[string]any{
		"networks": networks, "window_secs": seconds(t.Window)}}}
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
