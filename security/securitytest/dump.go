package securitytest

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// Dump is every row of a database by its table, a row as name=value of each
// column.
type Dump map[string][]string

// DumpOf reads the database of a data folder from outside, every table that there
// is, so that a new one is not forgotten. What is named in without is left out: a
// column as "sessions.last_seen_at_us", or a table.
func DumpOf(dataDir string, without ...string) (d Dump, err error) {
	db, err := outside(dataDir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tables, err := rowsOf(db, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'", nil)
	if err != nil {
		return nil, err
	}
	d = Dump{}
	for _, table := range tables {
		table = strings.TrimPrefix(table, "name=")
		if slices.Contains(without, table) {
			continue
		}
		skip := func(column string) bool { return slices.Contains(without, table+"."+column) }
		if d[table], err = rowsOf(db, "SELECT * FROM "+table, skip); err != nil {
			return nil, fmt.Errorf("table %s: %w", table, err)
		}
	}
	return d, nil
}

// LogTables are those of the log: events, and what is kept of them. They change with
// every event.
var LogTables = []string{"audit_events", "audit_tiles", "audit_head", "audit_checkpoints", "audit_counts", "audit_hours"}

// rowsOf are the rows of a query, sorted, without the columns to skip.
func rowsOf(db *sql.DB, query string, skip func(column string) bool) ([]string, error) {
	rows, err := db.Query(query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var found []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(sql.RawBytes)
		}
		if err := rows.Scan(values...); err != nil {
			return nil, err
		}
		var row []string
		for i, column := range columns {
			if skip == nil || !skip(column) {
				row = append(row, column+"="+string(*values[i].(*sql.RawBytes)))
			}
		}
		found = append(found, strings.Join(row, "|"))
	}
	slices.Sort(found)
	return found, rows.Err()
}

// Changes names what differs from an earlier dump, a line for each row that came
// or went.
func (d Dump) Changes(before Dump) []string {
	var changes []string
	for table, rows := range d {
		for _, row := range rows {
			if !slices.Contains(before[table], row) {
				changes = append(changes, fmt.Sprintf("%s +%q", table, row))
			}
		}
	}
	for table, rows := range before {
		for _, row := range rows {
			if !slices.Contains(d[table], row) {
				changes = append(changes, fmt.Sprintf("%s -%q", table, row))
			}
		}
	}
	slices.Sort(changes)
	return changes
}

// NoRoom is what the storage says of an event once RefuseEvents was called.
const NoRoom = "no room"

// RefuseEvents makes the log of a data folder refuse every event from now on, as
// a full disk would.
func RefuseEvents(dataDir string) (err error) {
	db, err := outside(dataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.Exec("CREATE TRIGGER no_log BEFORE INSERT ON audit_events BEGIN SELECT RAISE(ABORT, '" + NoRoom + "'); END")
	return err
}

// outside opens the database of a data folder beside whoever serves it.
func outside(dataDir string) (*sql.DB, error) {
	return sql.Open("sqlite3", "file:"+(&url.URL{Path: filepath.Join(dataDir, "patronus.db")}).EscapedPath()+"?_busy_timeout=5000")
}
