package security

import (
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/token"
)

// endSession ends a live session with all that hangs on it, and reports whether
// it did.
func endSession(tx *db.Tx, id, reason string) (bool, error) {
	ended, err := session.End(tx, id, reason)
	if err != nil || !ended {
		return false, err
	}
	return true, revocation.Add(tx, ofSession(tx, id, reason))
}

// endSessions ends every session of a user but one and returns their ids. An
// empty except spares none. Access tokens are dead by the generation, whichever
// session they are of.
func endSessions(tx *db.Tx, userID, except, reason string) ([]string, error) {
	ended, err := session.EndAll(tx, userID, except, reason)
	if err != nil {
		return nil, err
	}
	return ended, revocation.Add(tx, revocation.Revocation{Kind: revocation.User, Subject: userID, ExceptSession: except, Reason: reason,
		ExpiresAt: lastToken(tx)})
}

// endBeyond ends what a user has more of than the policy allows.
func endBeyond(tx *db.Tx, userID string, limit int64, reason string) ([]string, error) {
	ended, err := session.EndBeyond(tx, userID, limit, reason)
	if err != nil {
		return nil, err
	}
	revoked := make([]revocation.Revocation, len(ended))
	for i, id := range ended {
		revoked[i] = ofSession(tx, id, reason)
	}
	return ended, revocation.Add(tx, revoked...)
}

func ofSession(tx *db.Tx, id, reason string) revocation.Revocation {
	return revocation.Revocation{Kind: revocation.Session, Subject: id, Reason: reason, ExpiresAt: lastToken(tx)}
}

// lastToken is when every access token that was issued until now has expired.
func lastToken(tx *db.Tx) time.Time { return tx.Now().Add(token.MaxLifetime) }

// recordEnded writes a session_end event for each session of a user.
func recordEnded(tx *db.Tx, actor audit.Actor, userID string, ids []string, reason string) error {
	for _, id := range ids {
		if err := audit.Append(tx, audit.Event{Type: audit.SessionEnd, Success: true, Actor: actor, Details: endedDetails(id, userID, reason)}); err != nil {
			return err
		}
	}
	return nil
}

func endedDetails(id, userID, reason string) audit.Details {
	return audit.Details{"target_session_id": id, "target_user_id": userID, "reason": reason}
}
