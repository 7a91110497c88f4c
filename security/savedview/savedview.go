// Package savedview keeps the filters of the log that a person comes back to, under
// a name of their own.
package savedview

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// MaxPerUser is how many a person may have: what still is a list of links.
const MaxPerUser = 20

// View is a set of filters.
type View struct {
	ID    string
	Name  string
	Query string // the parameters of the page, encoded
}

// Add keeps a view of a user. A name that they use already, and one view too many,
// are secerr.Conflict.
func Add(tx *db.Tx, userID, name, query string) (View, error) {
	id, err := tx.NewID()
	if err != nil {
		return View{}, err
	}
	result, err := tx.Exec(`INSERT INTO saved_views (id, user_id, name, query, created_at_us)
		SELECT $1, $2, $3, $4, $5 WHERE (SELECT COUNT(*) FROM saved_views WHERE user_id = $2) < $6
		ON CONFLICT (user_id, name) DO NOTHING`, id, userID, name, query, db.Micros(tx.Now()), MaxPerUser)
	if err != nil {
		return View{}, fmt.Errorf("savedview: add: %w", err)
	}
	added, err := result.RowsAffected()
	if err != nil {
		return View{}, fmt.Errorf("savedview: add: %w", err)
	}
	if added == 1 {
		return View{ID: id, Name: name, Query: query}, nil
	}
	// Which of the two it was only changes the words.
	views, err := List(tx, userID)
	switch {
	case err != nil:
		return View{}, err
	case len(views) >= MaxPerUser:
		return View{}, secerr.New(secerr.Conflict, "You have 20 views, the most there may be. Delete one first.")
	default:
		return View{}, secerr.New(secerr.Conflict, "You have a view of that name. Take another, or delete that one first.")
	}
}

// List returns the views of a user, by name.
func List(r db.Reader, userID string) ([]View, error) {
	rows, err := r.Query("SELECT id, name, query FROM saved_views WHERE user_id = $1 ORDER BY name", userID)
	if err != nil {
		return nil, fmt.Errorf("savedview: list: %w", err)
	}
	defer rows.Close()
	var views []View
	for rows.Next() {
		var v View
		if err := rows.Scan(&v.ID, &v.Name, &v.Query); err != nil {
			return nil, fmt.Errorf("savedview: list: %w", err)
		}
		views = append(views, v)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("savedview: list: %w", err)
	}
	return views, nil
}

// Delete removes a view of a user and returns its name. Another's and a missing one
// are secerr.NotFound.
func Delete(tx *db.Tx, userID, id string) (name string, err error) {
	err = tx.QueryRow("DELETE FROM saved_views WHERE id = $1 AND user_id = $2 RETURNING name", id, userID).Scan(&name)
	if errors.Is(err, sql.ErrNoRows) {
		return "", secerr.New(secerr.NotFound, "There is no such view.")
	}
	if err != nil {
		return "", fmt.Errorf("savedview: delete: %w", err)
	}
	return name, nil
}

// DeleteAbout deletes the views of anybody that are about an address, by name or by
// filter.
func DeleteAbout(tx *db.Tx, email string) error {
	pattern := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(email) + "%"
	encoded := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(strings.ToLower(url.QueryEscape(email))) + "%"
	_, err := tx.Exec(`DELETE FROM saved_views WHERE LOWER(name) LIKE $1 ESCAPE '\' OR LOWER(query) LIKE $2 ESCAPE '\'`, pattern, encoded)
	if err != nil {
		return fmt.Errorf("saved views: delete: %w", err)
	}
	return nil
}
