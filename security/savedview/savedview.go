// Package savedview keeps the filters of the log that a person comes back to, under
// a name of their own.
package savedview

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

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
	return read(r, "SELECT id, name, query FROM saved_views WHERE user_id = $1 ORDER BY name", userID)
}

func read(r db.Reader, query string, args ...any) ([]View, error) {
	rows, err := r.Query(query, args...)
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

// DeleteAbout deletes the views of anybody for which about reports that their name or
// one of their filters is about somebody.
func DeleteAbout(tx *db.Tx, about func(text string) bool) error {
	views, err := read(tx, "SELECT id, name, query FROM saved_views")
	if err != nil {
		return err
	}
	for _, v := range views {
		filters, err := url.ParseQuery(v.Query)
		if err != nil { // this program encoded it, so somebody else wrote it since
			return fmt.Errorf("savedview: the filters of a view: %w", err)
		}
		texts := append(slices.Concat(slices.Collect(maps.Values(filters))...), v.Name)
		if !slices.ContainsFunc(texts, about) {
			continue
		}
		if _, err := tx.Exec("DELETE FROM saved_views WHERE id = $1", v.ID); err != nil {
			return fmt.Errorf("savedview: delete: %w", err)
		}
	}
	return nil
}
