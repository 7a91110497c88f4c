package policy

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/secerr"
)

// Stored is a policy with its version, which grows by one with each change.
type Stored struct {
	Policy  Policy
	Version int64
}

// Load reads the policy. A database that has none yet has the default, as
// version 0.
func Load(r db.Reader) (Stored, error) {
	var document string
	stored := Stored{Policy: Default()}
	err := r.QueryRow("SELECT version, document FROM policy WHERE id = 1").Scan(&stored.Version, &document)
	if errors.Is(err, sql.ErrNoRows) {
		return stored, nil
	}
	if err != nil {
		return Stored{}, fmt.Errorf("policy: load: %w", err)
	}
	// The document lies over the defaults, so that a setting that a newer
	// program knows has its default until somebody changes it.
	if err := json.Unmarshal([]byte(document), &stored.Policy); err != nil {
		return Stored{}, fmt.Errorf("policy: the stored document does not parse: %w", err)
	}
	return stored, nil
}

// Save stores the policy as the version that follows the one it was derived
// from. A change that came between is secerr.Conflict.
func Save(tx *db.Tx, s Stored) error {
	document, err := json.Marshal(s.Policy)
	if err != nil {
		return fmt.Errorf("policy: encode: %w", err)
	}
	result, err := tx.Exec(`INSERT INTO policy (id, version, document, updated_at_us) VALUES (1, $1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, document = excluded.document,
			updated_at_us = excluded.updated_at_us
		WHERE policy.version = excluded.version - 1`,
		s.Version, string(document), db.Micros(tx.Now()))
	if err != nil {
		return fmt.Errorf("policy: save: %w", err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return secerr.Wrap(secerr.Conflict, "Somebody else changed the policy. Read it again and repeat your change.", err)
	}
	return nil
}

// Merge applies an RFC 7396 merge patch. A member set to null goes back to
// its default; an unknown member or a wrong type is secerr.BadRequest, a value
// outside its range secerr.ValidationFailed.
func Merge(current Policy, patch []byte, roles []string) (Policy, error) {
	// The strict decoder looks first: the merge itself would take repeated
	// names.
	if value := jsontext.Value(patch); !value.IsValid() || value.Kind() != '{' {
		return Policy{}, secerr.New(secerr.BadRequest, "The body is not a JSON object with each name once.")
	}
	// It also meets the members that a null would remove, known or not.
	if err := json.Unmarshal(patch, new(Policy), json.RejectUnknownMembers(true)); err != nil {
		return Policy{}, refused(err)
	}
	document, err := json.Marshal(current)
	if err != nil {
		return Policy{}, fmt.Errorf("policy: encode: %w", err)
	}
	merged, err := jsonpatch.MergePatch(document, patch)
	if err != nil {
		return Policy{}, secerr.Wrap(secerr.BadRequest, "The body is not a merge patch (RFC 7396).", err)
	}
	next := Default()
	if err := json.Unmarshal(merged, &next, json.RejectUnknownMembers(true)); err != nil {
		return Policy{}, refused(err)
	}
	if next.MFA.RequiredRoles == nil {
		next.MFA.RequiredRoles = Default().MFA.RequiredRoles
	}
	if err := next.Validate(roles); err != nil {
		return Policy{}, err
	}
	return next, nil
}

// refused names the member that a decoding error is about.
func refused(err error) error {
	where := ""
	if e, ok := errors.AsType[*json.SemanticError](err); ok && e.JSONPointer != "" {
		where = " (" + string(e.JSONPointer) + ")"
	}
	return secerr.Wrap(secerr.BadRequest, "The policy has no such setting, or a value has the wrong type"+where+".", err)
}

// Change is one setting that differs.
type Change struct {
	Setting string `json:"setting"`
	Old     any    `json:"old"`
	New     any    `json:"new"`
}

// Diff lists the settings that differ, by their path in the document.
func Diff(before, after Policy) []Change {
	var changes []Change
	old, renewed := before.settings(), after.settings()
	for i := range old {
		if old[i].value != renewed[i].value {
			changes = append(changes, Change{old[i].name, old[i].value, renewed[i].value})
		}
	}
	if before.Passwords.RequireClasses != after.Passwords.RequireClasses {
		changes = append(changes, Change{"passwords.require_classes", before.Passwords.RequireClasses, after.Passwords.RequireClasses})
	}
	if !slices.Equal(before.MFA.RequiredRoles, after.MFA.RequiredRoles) {
		changes = append(changes, Change{"mfa.required_roles", before.MFA.RequiredRoles, after.MFA.RequiredRoles})
	}
	return changes
}
