package security

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
)

// PolicyChange is a change of the policy, as the log has it.
type PolicyChange struct {
	ID      int64 // of its event
	Time    time.Time
	UserID  string // empty for a command of the host
	Email   string // likewise, and when it was erased
	KeyID   string // of the API key that made it; empty for a person
	Host    bool   // a command of the host made it
	Erased  bool   // who made it was erased from the log
	Version int64  // that it made
	Changes []policy.Change
	Undoes  int64 // the event of the change that it took back; 0: none
}

// PolicyHistory lists the changes of the policy, newest first, limit at most, those
// before an event (0: the newest), and the event to go on before (0 at the end). It
// tells what the log tells, as far as that is kept, and who made them to those who may
// read the log.
func (s *Service) PolicyHistory(ctx context.Context, c Caller, before int64, limit int) ([]PolicyChange, int64, error) {
	r := s.db.Read(ctx)
	changes := make([]PolicyChange, 0, limit)
	for {
		// As many again as were none: a notice has events of this type, too.
		events, next, err := audit.List(r, audit.Filter{Type: audit.PolicyChange, Before: before, Limit: limit - len(changes)})
		if err != nil {
			return nil, 0, err
		}
		for _, event := range events {
			one, err := policyChangeOf(event)
			if secerr.Is(err, secerr.NotFound) {
				continue
			}
			if err != nil {
				return nil, 0, err
			}
			if c.Reach(rbac.AuditRead) != rbac.All { // whose the names are to read
				one.UserID, one.Email, one.KeyID = "", "", ""
			}
			changes = append(changes, one)
		}
		if before = next; next == 0 || len(changes) == limit {
			return changes, next, nil
		}
	}
}

// PolicyChangesSince lists the changes that followed a version, newest first, limit
// at most.
func (s *Service) PolicyChangesSince(ctx context.Context, c Caller, version int64, limit int) ([]PolicyChange, error) {
	changes, _, err := s.PolicyHistory(ctx, c, 0, limit)
	for i, one := range changes {
		if one.Version <= version {
			return changes[:i], err
		}
	}
	return changes, err
}

// policyChangeAt reads one, or returns secerr.NotFound for an event that is none.
func policyChangeAt(r db.Reader, id int64) (PolicyChange, error) {
	event, err := audit.Get(r, id)
	if err != nil {
		return PolicyChange{}, err
	}
	return policyChangeOf(event)
}

// policyChangeOf is the change that an event tells of, or secerr.NotFound where it
// tells of something else, as another notice.
func policyChangeOf(event audit.Record) (PolicyChange, error) {
	none := secerr.New(secerr.NotFound, "This event is no change of the policy.")
	if event.Type != audit.PolicyChange {
		return PolicyChange{}, none
	}
	var details struct {
		Version int64           `json:"version"`
		Changes []policy.Change `json:"changes"`
		Undoes  int64           `json:"undoes"`
		Actor   string          `json:"actor"`
		Notice  string          `json:"notice"`
	}
	if err := json.Unmarshal(event.Details, &details); err != nil {
		return PolicyChange{}, fmt.Errorf("the details of event %d are not those of a change of the policy: %w", event.Seq, err)
	}
	if details.Notice != "" {
		return PolicyChange{}, none
	}
	return PolicyChange{ID: event.Seq, Time: event.Time, UserID: event.Actor.UserID, Email: event.Actor.Email, KeyID: event.Actor.APIKeyID,
		Host: details.Actor == "cli", Erased: event.ErasedBy != 0 && event.Actor.Email == "", Version: details.Version, Changes: details.Changes, Undoes: details.Undoes}, nil
}
