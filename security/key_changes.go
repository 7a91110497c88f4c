package security

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
)

// KeyPatch is what is to change of a key; nil leaves it as it is.
type KeyPatch struct {
	Name      *string
	Scopes    *[]string // no more than the key has
	Networks  *[]string // empty: usable from anywhere
	RateLimit *LimitPatch
	Nonce     secret.Text // only for a key for everything, to be used from elsewhere
	// Expected says whether the key is as the caller has seen it; nil: whatever it
	// is.
	Expected func(apikey.Key) bool
}

// LimitPatch is what is to change of a limit of a key's own. Of a key that has none
// yet, MaxRequests and WindowSecs are needed.
type LimitPatch struct {
	None                           bool // without one
	MaxRequests, WindowSecs, Burst *int64
}

// of is the limit after the patch.
func (p LimitPatch) of(before *apikey.RateLimit) *apikey.RateLimit {
	if p.None {
		return nil
	}
	var after apikey.RateLimit
	if before != nil {
		after = *before
	}
	for _, part := range []struct {
		to   *int64
		from *int64
	}{{&after.MaxRequests, p.MaxRequests}, {&after.WindowSecs, p.WindowSecs}, {&after.Burst, p.Burst}} {
		if part.from != nil {
			*part.to = *part.from
		}
	}
	return &after
}

// of is the key after the patch, or secerr.ValidationFailed with every field that
// is refused.
func (p KeyPatch) of(key apikey.Key) (apikey.Key, error) {
	var fields []secerr.Field
	if p.Name != nil {
		name, err := cleanName("name", *p.Name)
		key.Name, fields = name, append(fields, secerr.FieldsOf(err)...)
	}
	if p.Scopes != nil {
		scopes, refused := parseScopes(*p.Scopes)
		if refused == nil && !rbac.Within(scopesOf(scopes), scopesOf(key.Scopes)) {
			refused = []secerr.Field{{Field: "scopes", Detail: "A key only ever gets fewer scopes. Make a new key for what this one may not do."}}
		}
		key.Scopes, fields = scopes, append(fields, refused...)
	}
	if p.Networks != nil {
		networks, refused := parseNetworks(*p.Networks, key.Scopes)
		key.Networks, fields = networks, append(fields, refused...)
	}
	if p.RateLimit != nil {
		key.RateLimit = p.RateLimit.of(key.RateLimit)
		fields = append(fields, checkLimit(key.RateLimit)...)
	}
	if len(fields) > 0 {
		return apikey.Key{}, secerr.InvalidFields(fields...)
	}
	return key, nil
}

// UpdateKey changes a key of the caller's and returns it as it is then, in force in
// every server. Its scopes only ever get fewer. It returns secerr.ValidationFailed
// for what a key cannot be, secerr.NotFound for a key that is not there or is
// another's, secerr.PreconditionFailed for one that is not as expected,
// secerr.Conflict for one that does not work any more, and secerr.NonceRequired or
// secerr.NonceInvalid where a key for everything is to be used from other networks
// and lacks its step-up, as for making it.
func (s *Service) UpdateKey(ctx context.Context, c Caller, id string, p KeyPatch) (apikey.Key, error) {
	if err := s.checkOwn(ctx, c, id); err != nil {
		return apikey.Key{}, err
	}
	var changed apikey.Key
	err := s.change(ctx, c, func(tx *db.Tx) error {
		before, err := apikey.ByID(tx, id)
		if err != nil {
			return err
		}
		if p.Expected != nil && !p.Expected(before) {
			return errKeyChanged()
		}
		after, err := p.of(before)
		if err != nil {
			return err
		}
		if CoverEverything(after.Scopes) && !withinNetworks(after.Networks, before.Networks) {
			if err := stepup.Spend(tx, c.holder(), stepup.AllScopesKey, p.Nonce); err != nil {
				return err
			}
		}
		changed, err = changeKey(tx, c, before, after, nil)
		return err
	})
	return changed, err
}

func errKeyChanged() *secerr.Error {
	return secerr.New(secerr.PreconditionFailed, "The key has changed in the meantime. Look at it again and repeat your change.")
}

// NarrowKey takes from a key of the caller's each permission that did not let it in
// for UsesShown days, and returns it as it is then. It returns secerr.NotFound for
// a key that is not there or is another's, secerr.PreconditionFailed for one that is
// not as expected, and secerr.Conflict for one that does not work any more or that
// there is nothing to take from.
func (s *Service) NarrowKey(ctx context.Context, c Caller, id string, expected func(apikey.Key) bool) (apikey.Key, error) {
	if err := s.checkOwn(ctx, c, id); err != nil {
		return apikey.Key{}, err
	}
	var changed apikey.Key
	err := s.change(ctx, c, func(tx *db.Tx) error {
		before, err := apikey.ByID(tx, id)
		if err != nil {
			return err
		}
		if expected != nil && !expected(before) {
			return errKeyChanged()
		}
		uses, err := s.usesOf(tx, id)
		if err != nil {
			return err
		}
		kept, taken := narrowed(before, uses, tx.Now())
		if before.Usable(tx.Now()) && len(taken) == 0 {
			return secerr.New(secerr.Conflict, "There is nothing to take from this key: it used all that it may do, or nothing at all.")
		}
		after := before
		after.Scopes = kept
		changed, err = changeKey(tx, c, before, after, audit.Details{"narrowed": true})
		return err
	})
	return changed, err
}

// keyChanges tells what differs, as the log names it: what was is "old_" and the name
// of what is. Not in one list, since what is personal must be erased of it and the
// rest must stay.
func keyChanges(before, after apikey.Key) audit.Details {
	changes := audit.Details{}
	if before.Name != after.Name {
		changes["old_name"], changes["name"] = before.Name, after.Name
	}
	if !slices.Equal(before.Scopes, after.Scopes) {
		changes["old_scopes"], changes["scopes"] = before.Scopes, after.Scopes
	}
	if !slices.Equal(before.Networks, after.Networks) {
		changes["old_networks"], changes["networks"] = append([]netip.Prefix{}, before.Networks...), append([]netip.Prefix{}, after.Networks...)
	}
	if (before.RateLimit == nil) != (after.RateLimit == nil) || before.RateLimit != nil && *before.RateLimit != *after.RateLimit {
		changes["old_rate_limit"], changes["rate_limit"] = before.RateLimit, after.RateLimit
	}
	return changes
}

// changeKey stores what a key is to be and records what differs. Where nothing
// does, there is nothing to record.
func changeKey(tx *db.Tx, c Caller, before, after apikey.Key, more audit.Details) (apikey.Key, error) {
	changed, err := apikey.Change(tx, after)
	if err != nil {
		return apikey.Key{}, err
	}
	details := keyChanges(before, after)
	if len(details) == 0 {
		return changed, nil
	}
	if _, err := revocation.Advance(tx); err != nil {
		return apikey.Key{}, err
	}
	maps.Copy(details, more)
	details["target_api_key_id"], details["name"], details["key_prefix"], details["target_user_id"] = after.ID, after.Name, after.KeyPrefix, after.UserID
	return changed, record(tx, c, audit.APIKeyUpdate, details)
}

// withinNetworks reports whether a key that is bound to networks can be used from
// nowhere that others do not let it.
func withinNetworks(networks, others []netip.Prefix) bool {
	if len(others) == 0 {
		return true
	}
	return len(networks) > 0 && !slices.ContainsFunc(networks, func(n netip.Prefix) bool {
		return !slices.ContainsFunc(others, func(o netip.Prefix) bool { return o.Bits() <= n.Bits() && o.Contains(n.Addr()) })
	})
}

func scopesOf(texts []string) []rbac.Scope {
	scopes := make([]rbac.Scope, len(texts))
	for i, text := range texts {
		scopes[i] = rbac.Scope(text)
	}
	return scopes
}
