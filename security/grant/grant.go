// Package grant stores the permissions that users have beyond their role, each
// for everything or for one resource.
package grant

import (
	"database/sql"
	"errors"
	"fmt"
	"time"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// MaxPerUser bounds what is read with a user at every sign-in and look-up. Who
// needs more needs another role.
const MaxPerUser = 100

// Grant is one permission of one user.
type Grant struct {
	ID         string
	UserID     string
	Permission string // resource:action
	ResourceID string // empty: everywhere
	GrantedBy  string // the id of a user, who may be gone
	CreatedAt  time.Time
}

const columns = `id, user_id, permission, resource_id, granted_by, created_at_us`

// Of lists all grants of a user, oldest first.
func Of(r db.Reader, userID string) ([]Grant, error) {
	grants, _, err := List(r, userID, "", MaxPerUser)
	return grants, err
}

// List returns grants of a user, oldest first, limit at most, and the id to pass
// as after for the ones that follow ("" at the end and for the first).
func List(r db.Reader, userID, after string, limit int) (grants []Grant, next string, err error) {
	grants, err = list(r.Query("SELECT "+columns+" FROM grants WHERE user_id = $1 AND id > $2 ORDER BY id LIMIT $3", userID, after, limit+1))
	if err == nil && len(grants) > limit {
		grants = grants[:limit]
		next = grants[limit-1].ID
	}
	return grants, next, err
}

func list(rows *sql.Rows, err error) ([]Grant, error) {
	if err != nil {
		return nil, fmt.Errorf("grant: list: %w", err)
	}
	defer rows.Close()
	var grants []Grant
	for rows.Next() {
		g, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("grant: list: %w", err)
		}
		grants = append(grants, g)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("grant: list: %w", err)
	}
	return grants, nil
}

// ByID returns a grant of a user, or secerr.NotFound.
func ByID(r db.Reader, userID, id string) (Grant, error) {
	g, err := scan(r.QueryRow("SELECT "+columns+" FROM grants WHERE id = $1 AND user_id = $2", id, userID))
	if errors.Is(err, sql.ErrNoRows) {
		return Grant{}, secerr.New(secerr.NotFound, "There is no such grant.")
	}
	if err != nil {
		return Grant{}, fmt.Errorf("grant: %w", err)
	}
	return g, nil
}

// Add stores a grant and gives it an id. One that the user has already, and one
// beyond MaxPerUser, is secerr.Conflict.
func Add(tx *db.Tx, g Grant) (Grant, error) {
	id, err := tx.NewID()
	if err != nil {
		return Grant{}, err
	}
	g.ID, g.CreatedAt = id, tx.Now()
	result, err := tx.Exec(`INSERT INTO grants (id, user_id, permission, resource_id, granted_by, created_at_us)
		SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT COUNT(*) FROM grants WHERE user_id = $2) < $7`,
		g.ID, g.UserID, g.Permission, g.ResourceID, g.GrantedBy, db.Micros(g.CreatedAt), MaxPerUser)
	if db.IsUnique(err) {
		return Grant{}, secerr.Wrap(secerr.Conflict, "This is granted to them already.", err)
	}
	if err != nil {
		return Grant{}, fmt.Errorf("grant: add: %w", err)
	}
	if added, err := result.RowsAffected(); err != nil || added != 1 {
		return Grant{}, secerr.Wrap(secerr.Conflict, fmt.Sprintf("They have %d grants, the most there may be. Revoke some first, or give them another role.", MaxPerUser), err)
	}
	return g, nil
}

// Remove ends a grant of a user and reports whether it did: of several callers
// at once one is told true.
func Remove(tx *db.Tx, userID, id string) (bool, error) {
	result, err := tx.Exec("DELETE FROM grants WHERE id = $1 AND user_id = $2", id, userID)
	if err != nil {
		return false, fmt.Errorf("grant: remove: %w", err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// Forget removes the grants for a resource that is gone.
func Forget(tx *db.Tx, resourceID string) error {
	if _, err := tx.Exec("DELETE FROM grants WHERE resource_id = $1 AND resource_id <> ''", resourceID); err != nil {
		return fmt.Errorf("grant: forget: %w", err)
	}
	return nil
}

func scan(row interface{ Scan(...any) error }) (Grant, error) {
	var g Grant
	var created int64
	if err := row.Scan(&g.ID, &g.UserID, &g.Permission, &g.ResourceID, &g.GrantedBy, &created); err != nil {
		return Grant{}, err
	}
	g.CreatedAt = db.FromMicros(created)
	return g, nil
}
