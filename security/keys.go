package security

import (
	"context"
	"time"

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
		if CoverEverything(wanted.Scopes) {
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
	if len(k.Networks) > 0 {
		d["networks"] = k.Networks
	}
	if k.RateLimit != nil {
		d["rate_limit"] = *k.RateLimit
	}
	return d
}

// ListUserKeys lists the keys of a user, newest first: the caller's own when userID is
// empty. Those of others need api_keys:read, and where it was granted for single
// keys, only these are listed. Without one of these the user is secerr.NotFound, as a
// missing one.
func (s *Service) ListUserKeys(ctx context.Context, c Caller, userID, before string, limit int) ([]apikey.Key, string, error) {
	if userID == "" {
		userID = c.User.ID
	}
	if userID != c.User.ID {
		if err := s.AuthorizeSome(ctx, c, rbac.APIKeysRead); err != nil {
			return nil, "", err
		}
		if c.Held().Allow(rbac.APIKeysRead, userID) {
			if _, err := user.ByID(s.db.Read(ctx), userID); err != nil {
				return nil, "", err
			}
		} else if some, _, err := s.SeenKeys(ctx, c, userID, "", 1); err != nil {
			return nil, "", err
		} else if len(some) == 0 {
			return nil, "", s.noSuchUser(ctx, c, rbac.APIKeysRead, userID)
		}
	}
	return s.SeenKeys(ctx, c, userID, before, limit)
}

// SeenKeys lists those keys of a user that the caller may read of, newest first. That
// there are none is no refusal.
func (s *Service) SeenKeys(ctx context.Context, c Caller, userID, before string, limit int) ([]apikey.Key, string, error) {
	f := apikey.Filter{UserID: userID, Before: before, Limit: limit}
	if userID != c.User.ID && !c.Held().Allow(rbac.APIKeysRead, userID) {
		f.Only = c.Held().Resources(rbac.APIKeysRead)
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
	if key.UserID != c.User.ID && !c.Held().Allow(p, key.ID, key.UserID) {
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
