package security

import (
	"context"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/user"
)

// expiryBatch bounds the mails of one pass.
const expiryBatch = 500

// warnOfExpiry puts a mail in the outbox for each key that expires soon, once.
// Of whoever has many, one a pass; those beyond what an address gets of a kind
// stay for a later one. Without a mailer nobody counts as told.
func (s *Service) warnOfExpiry(ctx context.Context) error {
	if s.mailer == nil {
		return nil
	}
	if due, err := apikey.Untold(s.db.Read(ctx), s.now(), 1); err != nil || len(due) == 0 {
		return err
	}
	defer s.deliverSoon()
	return s.commit(ctx, func(tx *db.Tx) error {
		due, err := apikey.Untold(tx, tx.Now(), expiryBatch)
		if err != nil {
			return err
		}
		for _, key := range due {
			u, err := user.ByID(tx, key.UserID)
			if err != nil {
				return err
			}
			added, err := outbox.Add(tx, outbox.KeyExpires, u.Email, map[string]string{"api_key_id": key.ID}, key.ExpiresAt.Sub(tx.Now()))
			if err != nil {
				return err
			}
			if !added {
				continue
			}
			if _, err := apikey.Told(tx, key.ID); err != nil {
				return err
			}
		}
		return nil
	})
}

// expiryLines are the text about a key that expires. secerr.NotFound means that
// it is not there or does not work any more, so there is nothing to tell.
func (s *Service) expiryLines(tx *db.Tx, u user.User, id string) (string, error) {
	key, err := apikey.ByID(tx, id)
	if err != nil {
		return "", err
	}
	if key.UserID != u.ID || !key.ExpiresSoon(tx.Now()) {
		return "", secerr.New(secerr.NotFound, "There is nothing to tell of this key.")
	}
	return "An API key of your account at " + s.publicURL.Hostname() + " expires soon and then stops working.\n\nName: " + plain(key.Name) +
		"\nKey: " + key.KeyPrefix + "...\nExpires: " + key.ExpiresAt.UTC().Format("2 January 2006, 15:04 UTC") +
		"\n\nIf it is still needed, create another and put it where this one is used:\n\n" + s.publicURL.JoinPath("api-keys").String(), nil
}
