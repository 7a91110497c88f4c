package security

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/grant"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
	"patronus.internal/dashboard/security/user"
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
	Nonce         secret.Text // only for the scope *:*
}

// CreateKey makes an API key for the caller and returns its secret: the only
// time that it is known. It returns secerr.ValidationFailed for what a key
// cannot be, secerr.Forbidden for a scope above the caller's own permissions,
// and secerr.NonceRequired or secerr.NonceInvalid where *:* lacks its step-up.
func (s *Service) CreateKey(ctx context.Context, c Caller, r KeyRequest) (apikey.Key, secret.Text, error) {
	wanted, err := s.parseKey(c, r)
	if err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	for _, scope := range wanted.Scopes {
		if !c.Held().MayScope(rbac.Scope(scope)) {
			return apikey.Key{}, secret.Text{}, s.deny(ctx, c, secerr.New(secerr.Forbidden,
				"A key cannot do more than you may do yourself. Leave out "+scope+"."), audit.Details{"scope": scope})
		}
	}
	var key apikey.Key
	var token secret.Text
	err = s.change(ctx, c, func(tx *db.Tx) error {
		if coverEverything(wanted.Scopes) {
			if err := stepup.Spend(tx, c.holder(), stepup.AllScopesKey, r.Nonce); err != nil {
				return err
			}
		}
		key, token, err = apikey.Create(tx, s.rand, wanted)
		if err != nil {
			return err
		}
		return record(tx, c, audit.APIKeyCreate, keyDetails(key))
	})
	if err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	return key, token, nil
}

func keyDetails(k apikey.Key) audit.Details {
	d := audit.Details{"target_api_key_id": k.ID, "name": k.Name, "key_prefix": k.KeyPrefix, "scopes": k.Scopes, "target_user_id": k.UserID}
	if k.ExpiresAt != nil {
		d["expires_at"] = k.ExpiresAt.Format(time.RFC3339)
	}
	return d
}

// parseKey turns what was asked into what is stored, or names every field that
// is refused.
func (s *Service) parseKey(c Caller, r KeyRequest) (apikey.New, error) {
	wanted := apikey.New{UserID: c.User.ID}
	var fields []secerr.Field
	refuse := func(field, detail string) { fields = append(fields, secerr.Field{Field: field, Detail: detail}) }

	name, err := cleanName("name", r.Name)
	if err != nil {
		fields = append(fields, secerr.FieldsOf(err)...)
	}
	wanted.Name = name
	if len(r.Scopes) == 0 {
		refuse("scopes", "Choose at least one thing that the key may do.")
	}
	for _, raw := range r.Scopes {
		scope, err := rbac.ParseScope(raw)
		if err != nil {
			fields = append(fields, secerr.FieldsOf(err)...)
			break
		}
		if !slices.Contains(wanted.Scopes, string(scope)) {
			wanted.Scopes = append(wanted.Scopes, string(scope))
		}
	}
	switch days := r.ExpiresInDays; {
	case days == nil:
	case *days < 1 || *days > maxExpiryDays:
		refuse("expires_in_days", fmt.Sprintf("Use a whole number of days from 1 to %d, or leave it out for a key that does not expire.", maxExpiryDays))
	default:
		at := s.now().Add(time.Duration(*days) * 24 * time.Hour)
		wanted.ExpiresAt = &at
	}
	if len(r.Networks) > maxNetworks {
		refuse("networks", fmt.Sprintf("Name %d networks at most.", maxNetworks))
	}
	for _, raw := range r.Networks[:min(len(r.Networks), maxNetworks)] {
		network, err := netip.ParsePrefix(raw)
		if err != nil || network.Addr().Is4In6() || network.Bits() == 0 {
			refuse("networks", "Write each network as an address and a length, for example 192.0.2.0/24 or 2001:db8::/32; a length of 0 would be no bound.")
			break
		}
		wanted.Networks = append(wanted.Networks, network.Masked())
	}
	if coverEverything(wanted.Scopes) {
		if wanted.ExpiresAt == nil && r.ExpiresInDays == nil {
			refuse("expires_in_days", "A key for everything must expire.")
		}
		if len(r.Networks) == 0 {
			refuse("networks", "A key for everything must name the networks that it is used from.")
		}
	}
	if fields != nil {
		return apikey.New{}, secerr.InvalidFields(fields...)
	}
	return wanted, nil
}

// ListUserKeys lists the keys of a user, newest first: the caller's own when userID is
// empty. Those of others need api_keys:read, and where it was granted for single
// keys, only these are listed.
func (s *Service) ListUserKeys(ctx context.Context, c Caller, userID, before string, limit int) ([]apikey.Key, string, error) {
	if userID == "" {
		userID = c.User.ID
	}
	f := apikey.Filter{UserID: userID, Before: before, Limit: limit}
	if userID != c.User.ID {
		if err := s.AuthorizeSome(ctx, c, rbac.APIKeysRead); err != nil {
			return nil, "", err
		}
		if !c.Held().On(rbac.APIKeysRead, userID) {
			f.Only = c.Held().Resources(rbac.APIKeysRead)
		}
		if _, err := user.ByID(s.db.Read(ctx), userID); err != nil {
			return nil, "", err
		}
		if f.Only != nil {
			// Without one that may be seen, their owner is not there either.
			some, _, err := apikey.List(s.db.Read(ctx), apikey.Filter{UserID: userID, Only: f.Only, Limit: 1})
			if err != nil || len(some) == 0 {
				return nil, "", absent(err, secerr.New(secerr.NotFound, "There is no such user."))
			}
		}
	}
	return apikey.List(s.db.Read(ctx), f)
}

// Key returns one key: the caller's own, or another's with api_keys:read.
// Otherwise it is secerr.NotFound, as a missing one.
func (s *Service) Key(ctx context.Context, c Caller, id string) (apikey.Key, error) {
	return s.reachableKey(ctx, c, id, rbac.APIKeysRead)
}

func (s *Service) reachableKey(ctx context.Context, c Caller, id string, p rbac.Permission) (apikey.Key, error) {
	key, err := apikey.ByID(s.db.Read(ctx), id)
	if err != nil {
		return apikey.Key{}, err
	}
	if key.UserID != c.User.ID && !c.Held().On(p, key.ID, key.UserID) {
		return apikey.Key{}, s.deny(ctx, c, secerr.New(secerr.NotFound, "There is no such API key."),
			audit.Details{"permission": string(p), "target_api_key_id": id})
	}
	return key, nil
}

// RevokeKey ends a key at once; it stays in the list. To revoke a revoked key
// changes nothing and is no error. Another's key needs api_keys:write, or is
// secerr.NotFound; that of somebody above the caller is secerr.Forbidden.
func (s *Service) RevokeKey(ctx context.Context, c Caller, id string) error {
	return s.endKey(ctx, c, id, false)
}

// DeleteKey ends a key at once and removes it from the list. It returns what
// RevokeKey does.
func (s *Service) DeleteKey(ctx context.Context, c Caller, id string) error {
	return s.endKey(ctx, c, id, true)
}

func (s *Service) endKey(ctx context.Context, c Caller, id string, purge bool) error {
	key, err := s.reachableKey(ctx, c, id, rbac.APIKeysWrite)
	if err != nil {
		return err
	}
	return s.change(ctx, c, func(tx *db.Tx) error {
		if _, err := subject(tx, c, key.UserID); err != nil {
			return err
		}
		end := apikey.Revoke
		if purge {
			end = forgetKey
		}
		ended, err := end(tx, id)
		if err != nil || !ended {
			return err
		}
		if _, err := revocation.Advance(tx); err != nil {
			return err
		}
		details := keyDetails(key)
		details["purged"] = purge
		return record(tx, c, audit.APIKeyRevoke, details)
	})
}

// forgetKey removes a key and what was granted for it, and reports whether it was
// there.
func forgetKey(tx *db.Tx, id string) (bool, error) {
	if err := grant.Forget(tx, id); err != nil {
		return false, err
	}
	return apikey.Delete(tx, id)
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

// coverEverything reports whether scopes are *:*, or change as much by other
// names.
func coverEverything(scopes []string) bool {
	parsed := make([]rbac.Scope, len(scopes))
	for i, s := range scopes {
		parsed[i] = rbac.Scope(s)
	}
	return rbac.CoverEveryChange(parsed)
}
