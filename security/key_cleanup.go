package security

import (
	"context"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/revocation"
)

// keysPerSweep bounds the keys that one pass removes: each writes an event, and
// others wait meanwhile. A day has room for more than 100,000.
const keysPerSweep = 100

// sweepKeys removes keys that expired or were revoked keptAfterEnd ago, with an
// event for each, so that the log tells of a key from its making to its end.
// Nobody acted: the actor is null.
func (s *Service) sweepKeys(ctx context.Context) error {
	if over, err := apikey.Over(s.db.Read(ctx), s.now().Add(-keptAfterEnd), 1); err != nil || len(over) == 0 {
		return err
	}
	return s.commit(ctx, func(tx *db.Tx) error {
		over, err := apikey.Over(tx, tx.Now().Add(-keptAfterEnd), keysPerSweep)
		if err != nil {
			return err
		}
		for _, key := range over {
			if _, err := forgetKey(tx, key.ID); err != nil {
				return err
			}
			details := keyDetails(key)
			details["purged"], details["reason"] = true, "expired"
			if key.RevokedAt != nil {
				details["reason"] = "revoked"
			}
			if err := audit.Append(tx, audit.Event{Type: audit.APIKeyRevoke, Success: true, Details: details}); err != nil {
				return err
			}
		}
		// What was granted for them is gone from their holders' grants, too.
		_, err = revocation.Advance(tx)
		return err
	})
}
