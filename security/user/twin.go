package user

import (
	"fmt"
	"strings"

	"go.mau.fi/util/confusable"

	"patronus.internal/dashboard/security/db"
)

// skeleton is what two addresses have in common that look alike (UTS #39 §4): an
// "l" and a "1", an "rn" and an "m", a Latin "a" and a Cyrillic one. It is
// compared and never shown. The address is in its canonical form, so its domain
// is taken out of its ASCII form first, as people would see it.
func skeleton(email string) string {
	local, domain, _ := strings.Cut(email, "@")
	if shown, err := domains.ToUnicode(domain); err == nil {
		domain = shown
	}
	return strings.ToLower(confusable.Skeleton(local + "@" + domain))
}

// LackSkeleton reports whether some users are from before there were any.
func LackSkeleton(r db.Reader) (bool, error) {
	var some bool
	if err := r.QueryRow("SELECT EXISTS (SELECT 1 FROM users WHERE email_skeleton IS NULL)").Scan(&some); err != nil {
		return false, fmt.Errorf("user: find those without a skeleton: %w", err)
	}
	return some, nil
}

// FillSkeletons gives them theirs, oldest first. Of two who look alike already the
// younger stays without.
func FillSkeletons(tx *db.Tx) error {
	rows, err := tx.Query("SELECT id, email FROM users WHERE email_skeleton IS NULL ORDER BY id")
	if err != nil {
		return fmt.Errorf("user: list those without a skeleton: %w", err)
	}
	defer rows.Close()
	found := map[string]string{}
	var ids []string
	for rows.Next() {
		var id, email string
		if err := rows.Scan(&id, &email); err != nil {
			return fmt.Errorf("user: list those without a skeleton: %w", err)
		}
		ids = append(ids, id)
		found[id] = skeleton(email)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("user: list those without a skeleton: %w", err)
	}
	for _, id := range ids {
		_, err := tx.Exec("UPDATE users SET email_skeleton = $1 WHERE id = $2", found[id], id)
		if err != nil && !db.IsUnique(err) {
			return fmt.Errorf("user: fill a skeleton: %w", err)
		}
	}
	return nil
}
