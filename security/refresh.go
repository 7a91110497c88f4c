package security

import (
	"context"

	"patronus.internal/dashboard/security/anomaly"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// Refresh exchanges a refresh token for a new one; Tokens of the outcome gives
// the access token beside it. A token is good once. One that was used before
// is in two hands, so its session ends for both, and the log has a critical
// event. It returns secerr.Unauthenticated for a token that is none,
// secerr.TokenExpired for one whose session has run out, and
// secerr.TokenRevoked for one whose session has ended or ends by this.
func (s *Service) Refresh(ctx context.Context, req Request, token secret.Text) (SignIn, error) {
	if err := s.fresh(ctx); err != nil {
		return SignIn{}, err
	}
	var in SignIn
	err := s.write(ctx, func(tx *db.Tx) (error, error) {
		rotated, child, err := session.Rotate(tx, s.rand, token)
		if secerr.Is(err, secerr.NotFound) {
			return s.refuseRefresh(tx, req, token)
		}
		if err != nil {
			return nil, err
		}
		u, err := user.ByID(tx, rotated.UserID)
		if err != nil {
			return nil, err
		}
		if !u.Enabled || u.MFAEnabled && !rotated.TwoFactors() {
			if _, err := endSession(tx, rotated.ID, "not_an_identity"); err != nil {
				return nil, err
			}
			return errRevoked(), audit.Append(tx, audit.Event{Type: audit.TokenRefresh, Severity: audit.Warning, Actor: sessionActor(req, u, rotated),
				Details: audit.Details{"reason": "not_an_identity"}})
		}
		if in, err = s.signedIn(tx, u, rotated, child); err != nil {
			return nil, err
		}
		return nil, audit.Append(tx, audit.Event{Type: audit.TokenRefresh, Success: true, Actor: sessionActor(req, u, rotated)})
	})
	if err != nil {
		return SignIn{}, err
	}
	return in, nil
}

// refuseRefresh finds out what is wrong with a refresh token.
func (s *Service) refuseRefresh(tx *db.Tx, req Request, token secret.Text) (refusal, err error) {
	current, err := session.BySecret(tx, session.API, token)
	switch {
	case err == nil && current.Stage != session.Full:
		return nil, secerr.New(secerr.Unauthenticated, "This is not a refresh token.")
	case err == nil && current.EndedAt != nil:
		return nil, errRevoked()
	case err == nil:
		return nil, secerr.New(secerr.TokenExpired, "The refresh token has expired. Sign in again.")
	case !secerr.Is(err, secerr.NotFound):
		return nil, err
	}
	reused, err := session.BySpentToken(tx, token)
	if err != nil {
		return nil, absent(err, secerr.New(secerr.Unauthenticated, "The refresh token is not valid. Sign in again."))
	}
	u, err := user.ByID(tx, reused.UserID)
	if err != nil {
		return nil, err
	}
	ended, err := endSession(tx, reused.ID, "refresh_token_reuse")
	if err != nil {
		return nil, err
	}
	if !ended { // it was told when it ended; one alarm is enough
		return errRevoked(), nil
	}
	if err := s.recordFinding(tx, sessionActor(req, u, reused), anomaly.Reuse(reused.ID)); err != nil {
		return nil, err
	}
	return errRevoked(), audit.Append(tx, audit.Event{Type: audit.TokenRefresh, Severity: audit.Critical, Actor: sessionActor(req, u, reused),
		Details: audit.Details{"reason": "refresh_token_reuse"}})
}

func sessionActor(req Request, u user.User, of session.Session) audit.Actor {
	actor := req.actor()
	actor.UserID, actor.Email, actor.SessionID = u.ID, u.Email, of.ID
	return actor
}
