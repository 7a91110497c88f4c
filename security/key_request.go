package security

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/ratelimit"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// Bounds of what a key may be made with.
const (
	maxName       = 100  // characters: a line in a list
	maxExpiryDays = 3650 // ten years; who wants longer says "never"
	maxNetworks   = 50
)

// KeyRequest is what a person asks a key to be.
type KeyRequest struct {
	Name          string
	Scopes        []string
	ExpiresInDays *int64 // nil: never
	Networks      []string
	RateLimit     *apikey.RateLimit // beside that of the policy; nil: none of its own
	Nonce         secret.Text       // only for the scope *:*
}

// parseKey turns what was asked into what is stored, or names every field that
// is refused.
func (s *Service) parseKey(c Caller, r KeyRequest) (apikey.New, error) {
	name, err := cleanName("name", r.Name)
	fields := secerr.FieldsOf(err)
	scopes, refused := parseScopes(r.Scopes)
	fields = append(fields, refused...)
	wanted := apikey.New{UserID: c.User.ID, Name: name, Scopes: scopes, RateLimit: r.RateLimit}
	switch days := r.ExpiresInDays; {
	case days == nil:
	case *days < 1 || *days > maxExpiryDays:
		fields = append(fields, secerr.Field{Field: "expires_in_days", Detail: fmt.Sprintf("Use a whole number of days from 1 to %d, or leave it out for a key that does not expire.", maxExpiryDays)})
	default:
		at := s.now().Add(time.Duration(*days) * 24 * time.Hour)
		wanted.ExpiresAt = &at
	}
	if CoverEverything(scopes) && r.ExpiresInDays == nil {
		fields = append(fields, secerr.Field{Field: "expires_in_days", Detail: "A key for everything must expire."})
	}
	networks, refused := parseNetworks(r.Networks, scopes)
	wanted.Networks, fields = networks, append(fields, refused...)
	if fields = append(fields, checkLimit(r.RateLimit)...); len(fields) > 0 {
		return apikey.New{}, secerr.InvalidFields(fields...)
	}
	return wanted, nil
}

// parseScopes returns each scope once, or why one is refused.
func parseScopes(raw []string) (scopes []string, refused []secerr.Field) {
	if len(raw) == 0 {
		return nil, []secerr.Field{{Field: "scopes", Detail: "Choose at least one thing that the key may do."}}
	}
	for _, text := range raw {
		scope, err := rbac.ParseScope(text)
		if err != nil {
			return scopes, secerr.FieldsOf(err)
		}
		if !slices.Contains(scopes, string(scope)) {
			scopes = append(scopes, string(scope))
		}
	}
	return scopes, nil
}

// parseNetworks returns the networks that a key with these scopes is bound to, or
// why they are refused.
func parseNetworks(raw, scopes []string) (networks []netip.Prefix, refused []secerr.Field) {
	because := func(detail string) []secerr.Field { return []secerr.Field{{Field: "networks", Detail: detail}} }
	if len(raw) == 0 && CoverEverything(scopes) {
		return nil, because("A key for everything must name the networks that it is used from.")
	}
	if len(raw) > maxNetworks {
		return nil, because(fmt.Sprintf("Name %d networks at most.", maxNetworks))
	}
	for _, text := range raw {
		network, err := netip.ParsePrefix(text)
		if err != nil || network.Addr().Is4In6() || network.Bits() == 0 {
			return nil, because("Write each network as an address and a length, for example 192.0.2.0/24 or 2001:db8::/32; a length of 0 would be no bound.")
		}
		networks = append(networks, network.Masked())
	}
	return networks, nil
}

// checkLimit holds a limit of a key's own against the ranges that those of the
// policy have.
func checkLimit(l *apikey.RateLimit) (refused []secerr.Field) {
	if l == nil {
		return nil
	}
	for _, part := range []struct {
		name             string
		value, low, high int64
	}{
		{"max_requests", l.MaxRequests, ratelimit.MinRequests, ratelimit.MaxRequests},
		{"window_secs", l.WindowSecs, int64(ratelimit.MinWindow / time.Second), int64(ratelimit.MaxWindow / time.Second)},
		{"burst", l.Burst, 0, ratelimit.MaxBurst},
	} {
		if part.value < part.low || part.value > part.high {
			refused = append(refused, secerr.Field{Field: "rate_limit." + part.name, Detail: fmt.Sprintf("Use a whole number from %d to %d.", part.low, part.high)})
		}
	}
	return refused
}

// cleanName trims a name that a person gave to something and refuses one that
// is empty, longer than a line of a list, or holds what cannot be seen.
func cleanName(field, name string) (string, error) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
		return "", secerr.Invalid(field, "Give it a name.")
	case utf8.RuneCountInString(name) > maxName:
		return "", secerr.Invalid(field, fmt.Sprintf("Use %d characters at most.", maxName))
	case !utf8.ValidString(name), strings.ContainsFunc(name, unseen):
		return "", secerr.Invalid(field, "Use only letters, digits and signs that can be seen.")
	}
	return name, nil
}

// unseen finds what a reader would not see, or would see in another place.
func unseen(r rune) bool {
	return !unicode.IsGraphic(r) || r == '\u2800' ||
		unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// CoverEverything reports whether scopes are *:*, or change as much by other
// names.
func CoverEverything(scopes []string) bool { return rbac.CoverEveryChange(scopesOf(scopes)) }
