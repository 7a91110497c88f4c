package security

import (
	"context"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/captcha"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/device"
	"patronus.internal/dashboard/security/ipblock"
	"patronus.internal/dashboard/security/lockout"
	"patronus.internal/dashboard/security/outbox"
	"patronus.internal/dashboard/security/revocation"
)

// Maintain does what is due now and then, once a minute, until ctx ends. A
// failure is logged and tried again the next time.
func (s *Service) Maintain(ctx context.Context) {
	ticker := time.NewTicker(seenInterval)
	defer ticker.Stop()
	s.maintainLog(ctx) // what a process that was killed left undone
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.writeTally(ctx, s.now().Add(-seenInterval)); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "the use of API keys could not be recorded", "error", err)
			}
			if err := s.writeUses(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "what API keys used could not be kept", "error", err)
			}
			s.memory.revoked.Prune(s.now())
			s.limits.sweep()
			s.reloadKeys(ctx)
			s.maintainLog(ctx)
			if err := s.warnOfExpiry(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "mails about keys that expire could not be put in the outbox", "error", err)
			}
			if err := s.sweepKeys(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "API keys that are over could not be removed", "error", err)
			}
			if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.ErrorContext(ctx, "expired rows could not be removed", "error", err)
			}
		}
	}
}

// maintainLog erases what is to be erased from the log, and keeps its heads.
func (s *Service) maintainLog(ctx context.Context) {
	if err := s.erasePending(ctx); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "personal data could not be erased; it is tried again", "error", err)
	}
	if err := s.retain(ctx); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "old events could not be removed", "error", err)
	}
	if err := s.keepCheckpoint(ctx, false); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "a checkpoint of the audit log could not be kept", "error", err)
	}
	if err := s.copyHead(ctx); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "the head of the audit log could not be put beside the database", "error", err)
	}
}

// keptAfterEnd is how long the row of a session, link or key is kept after it has
// run out, for those who look back.
const keptAfterEnd = 30 * 24 * time.Hour

// sweep removes what has expired, some rows at a time so that no writer waits
// long behind it.
func (s *Service) sweep(ctx context.Context) error {
	return s.commit(ctx, func(tx *db.Tx) error {
		for _, expired := range []func(*db.Tx, int) error{revocation.DeleteExpired, device.DeleteExpired, outbox.DeleteDone, lockout.DeleteExpired, captcha.DeleteExpired, ipblock.DeleteExpired, apikey.DeleteEnded} {
			if err := expired(tx, 500); err != nil {
				return err
			}
		}
		now, long := db.Micros(tx.Now()), db.Micros(tx.Now().Add(-keptAfterEnd))
		for _, statement := range []struct {
			query string
			args  []any
		}{
			{"DELETE FROM nonces WHERE nonce_hash IN (SELECT nonce_hash FROM nonces WHERE expires_at_us <= $1 LIMIT 500)", []any{now}},
			{"DELETE FROM password_links WHERE token_hash IN (SELECT token_hash FROM password_links WHERE expires_at_us <= $1 LIMIT 500)", []any{long}},
			{"DELETE FROM enrolment_links WHERE token_hash IN (SELECT token_hash FROM enrolment_links WHERE expires_at_us <= $1 LIMIT 500)", []any{long}},
			{`DELETE FROM spent_refresh_tokens WHERE session_id IN (SELECT id FROM sessions
				WHERE expires_at_us <= $1 ORDER BY expires_at_us, id LIMIT 500)`, []any{long}},
			{`DELETE FROM sessions WHERE id IN (SELECT id FROM sessions
				WHERE expires_at_us <= $1 ORDER BY expires_at_us, id LIMIT 500)`, []any{long}},
			// Grants for what is gone: nobody reaches anything by them, and they count.
			{`DELETE FROM grants WHERE id IN (SELECT id FROM grants WHERE resource_id <> ''
				AND (permission LIKE 'users:%' OR permission LIKE 'api_keys:%' OR permission LIKE 'sessions:%' OR permission LIKE 'ip_blocks:%')
				AND NOT EXISTS (SELECT 1 FROM users WHERE id = resource_id) AND NOT EXISTS (SELECT 1 FROM api_keys WHERE id = resource_id)
				AND NOT EXISTS (SELECT 1 FROM sessions WHERE id = resource_id) AND NOT EXISTS (SELECT 1 FROM ip_blocks WHERE id = resource_id)
				ORDER BY id LIMIT 500)`, nil},
		} {
			if _, err := tx.Exec(statement.query, statement.args...); err != nil {
				return err
			}
		}
		return nil
	})
}
