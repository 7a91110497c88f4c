package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/stepup"
)

// MaxOverlapSecs is how long an old secret may work beside the new one: a week
// to change it wherever it is used, in seconds.
const MaxOverlapSecs = 7 * 24 * 60 * 60

// Rotation is what a person asks of a key: a new secret in the place of its own.
type Rotation struct {
	KeyID       string
	OverlapSecs int64       // how long the old secret works on; 0: not at all
	Nonce       secret.Text // only for the scope *:*, as for making such a key
}

// RotateKey gives a key of the caller's a new secret and returns it: the only
// time that it is known. Its id, scopes and expiry stay. An old secret works for
// the overlap, and those from before it no longer; in every server, as with a
// revocation. It returns secerr.ValidationFailed for an overlap that cannot be,
// secerr.NotFound for a key that is not there or is another's, secerr.Conflict
// for one that does not work any more or has too many old secrets at work, and
// secerr.NonceRequired or secerr.NonceInvalid where *:* lacks its step-up.
func (s *Service) RotateKey(ctx context.Context, c Caller, r Rotation) (apikey.Key, secret.Text, error) {
	if r.OverlapSecs < 0 || r.OverlapSecs > MaxOverlapSecs {
		return apikey.Key{}, secret.Text{}, secerr.Invalid("overlap_secs", "Use a whole number of seconds from 0 to 604800, which is 7 days.")
	}
	if err := s.checkOwn(ctx, c, r.KeyID); err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	var key apikey.Key
	var token secret.Text
	err := s.change(ctx, c, func(tx *db.Tx) error {
		before, err := apikey.ByID(tx, r.KeyID)
		if err != nil {
			return err
		}
		if CoverEverything(before.Scopes) {
			if err := stepup.Spend(tx, c.holder(), stepup.AllScopesKey, r.Nonce); err != nil {
				return err
			}
		}
		if key, token, err = apikey.Rotate(tx, s.rand, r.KeyID, time.Duration(r.OverlapSecs)*time.Second); err != nil {
			return err
		}
		if _, err := revocation.Advance(tx); err != nil {
			return err
		}
		details := keyDetails(key)
		details["overlap_secs"] = r.OverlapSecs
		return record(tx, c, audit.KeyRotate, details)
	})
	if err != nil {
		return apikey.Key{}, secret.Text{}, err
	}
	return key, token, nil
}

// checkOwn returns secerr.NotFound for a key that is not there or is another's:
// what it can do is for its owner to change, whatever else somebody may do.
func (s *Service) checkOwn(ctx context.Context, c Caller, id string) error {
	key, err := apikey.ByID(s.db.Read(ctx), id)
	if err != nil || key.UserID == c.User.ID {
		return err
	}
	return s.deny(ctx, c, secerr.New(secerr.NotFound, "There is no such API key."), audit.Details{"target_api_key_id": id})
}
