package audit

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"patronus.internal/dashboard/security/db"
)

// PrunedTo is the number up to which retention may have removed events, as the
// newest event that records it says; 0 when it removed none.
func PrunedTo(r db.Reader) (int64, error) {
	var text string
	err := r.QueryRow("SELECT details FROM audit_events WHERE event_type = $1 ORDER BY seq DESC LIMIT 1", string(AuditPrune)).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("audit: what was pruned: %w", err)
	}
	var details struct {
		To int64 `json:"to"`
	}
	if err := json.Unmarshal([]byte(text), &details); err != nil {
		return 0, fmt.Errorf("audit: what was pruned: %w", err)
	}
	return details.To, nil
}

// extent is the first and the newest number, 0 when there are no events.
type extent struct{ first, newest int64 }

func extentOf(r db.Reader) (extent, error) {
	var e extent
	err := r.QueryRow(`SELECT COALESCE((SELECT MIN(seq) FROM audit_events), 0),
		COALESCE((SELECT MAX(seq) FROM audit_events), 0)`).Scan(&e.first, &e.newest)
	if err != nil {
		return extent{}, fmt.Errorf("audit: extent: %w", err)
	}
	return e, nil
}
