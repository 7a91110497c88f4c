package db

import "strconv"

// Among adds "IN (…)" with a placeholder for each value behind a query that has
// its arguments so far. Without a value nothing matches.
func Among(query string, values []string, args []any) (string, []any) {
	if len(values) == 0 {
		return query + " IN (NULL)", args
	}
	query += " IN ("
	for i, value := range values {
		if i > 0 {
			query += ", "
		}
		args = append(args, value)
		query += "$" + strconv.Itoa(len(args))
	}
	return query + ")", args
}
