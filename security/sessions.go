package security

import (
	"context"
	"slices"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// Sessions lists the live sessions of a user, the newest first: the caller's
// own when userID is empty. Those of others need sessions:read, and where it was
// granted for single ones, only these are listed.
func (s *Service) Sessions(ctx context.Context, c Caller, userID string) ([]session.Session, error) {
	if userID == "" {
		userID = c.User.ID
	}
	if userID == c.User.ID {
		if err := s.AuthorizePerson(ctx, c); err != nil {
			return nil, err
		}
	} else {
		if err := s.AuthorizeSome(ctx, c, rbac.SessionsRead); err != nil {
			return nil, err
		}
	}
	live, err := session.Live(s.db.Read(ctx), userID, s.now(), s.Policy().Sessions.Idle())
	if err != nil || userID == c.User.ID {
		return live, err
	}
	if c.Held().Allow(rbac.SessionsRead, userID) {
		_, err := user.ByID(s.db.Read(ctx), userID)
		return live, err
	}
	seen := slices.DeleteFunc(live, func(found session.Session) bool { return !c.Held().Allow(rbac.SessionsRead, found.ID) })
	if len(seen) == 0 {
		return nil, s.noSuchUser(ctx, c, rbac.SessionsRead, userID)
	}
	return seen, nil
}

// EndSession ends a session: all that hangs on it is dead when it returns. One
// that has ended already is no error. Another's session needs sessions:write,
// or is secerr.NotFound; that of somebody above the caller is secerr.Forbidden.
func (s *Service) EndSession(ctx context.Context, c Caller, id string) error {
	found, err := session.ByID(s.db.Read(ctx), id)
	if err != nil {
		return err
	}
	if found.UserID == c.User.ID {
		if err := s.AuthorizePerson(ctx, c); err != nil {
			return err
		}
	} else if !c.Held().Allow(rbac.SessionsWrite, id, found.UserID) {
		return s.deny(ctx, c, secerr.New(secerr.NotFound, "There is no such session."),
			audit.Details{"permission": string(rbac.SessionsWrite), "target_session_id": id})
	}
	reason := "ended_by_user"
	if found.UserID != c.User.ID {
		reason = "ended_by_admin"
	}
	return s.change(ctx, c, func(tx *db.Tx) error {
		if _, err := subject(tx, c, found.UserID); err != nil {
			return err
		}
		ended, err := endSession(tx, id, reason)
		if err != nil || !ended {
			return err
		}
		return record(tx, c, audit.SessionEnd, audit.Details{"target_session_id": id, "target_user_id": found.UserID, "reason": reason})
	})
}

// EndOtherSessions ends every session of the caller but the one that asks.
func (s *Service) EndOtherSessions(ctx context.Context, c Caller) error {
	return s.change(ctx, c, func(tx *db.Tx) error {
		return endOthers(tx, c, "ended_by_user")
	})
}
