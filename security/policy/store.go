package policy

import (
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// ErrUnreadable is about a stored document that does not parse.
var ErrUnreadable = errors.New("policy: the stored document does not parse")

// Load reads the policy. A database that has none yet has the default, as
// version 0. It returns ErrUnreadable for one that somebody broke.
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
		return Stored{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return stored, nil
}

// Version is that of the stored policy, whatever the rest of it is; 0 when there is
// none.
func Version(r db.Reader) (int64, error) {
	var version int64
	if err := r.QueryRow("SELECT COALESCE(MAX(version), 0) FROM policy").Scan(&version); err != nil {
		return 0, fmt.Errorf("policy: version: %w", err)
	}
	return version, nil
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
// its default; an unknown member or a wrong type is secerr.BadRequest, what Check
// refuses secerr.ValidationFailed.
func Merge(current Policy, patch []byte, roles []string) (Policy, error) {
	next, err := Merged(current, patch)
	if err != nil {
		return Policy{}, err
	}
	return next, next.Check(current, roles)
}

// Merged is Merge without Check.
func Merged(current Policy, patch []byte) (Policy, error) {
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
	for _, s := range settings {
		if old, renewed := s.Of(before), s.Of(after); !same(old, renewed) {
			changes = append(changes, Change{s.Name, old, renewed})
		}
	}
	return changes
}

// Since are those of changes whose settings have another value now than they were
// given.
func Since(now Policy, changes []Change) []Change {
	var again []Change
	for _, c := range changes {
		if s, found := Find(c.Setting); found && !same(s.Of(now), c.New) {
			again = append(again, c)
		}
	}
	return again
}

// Restored is a policy with settings set back to what they were before changes. It
// returns secerr.Conflict where a change is of a setting that this program does
// not have, or not like that, and what Check refuses.
func Restored(current Policy, changes []Change, roles []string) (Policy, error) {
	next := current
	for _, c := range changes {
		s, found := Find(c.Setting)
		if !found || !s.set(&next, c.Old) {
			return Policy{}, secerr.New(secerr.Conflict, "The change is of an older version of this program, which had other settings. Change the policy by hand.")
		}
	}
	return next, next.Check(current, roles)
}

// ToDefault is the merge patch that sets settings and sections back to their
// defaults; without a name, everything. A name that is neither is
// secerr.ValidationFailed.
func ToDefault(names ...string) ([]byte, error) {
	patch := map[string]any{}
	if len(names) == 0 {
		for _, s := range sections {
			names = append(names, s.Name)
		}
	}
	for _, name := range names {
		known := slices.ContainsFunc(settings, func(s Setting) bool { return s.Name == name || strings.HasPrefix(s.Name, name+".") })
		if !known {
			return nil, secerr.Invalid(name, "There is no such setting and no such part of the policy.")
		}
		at, path := patch, strings.Split(name, ".")
		for _, member := range path[:len(path)-1] {
			inner, is := at[member].(map[string]any)
			if _, whole := at[member]; whole && !is {
				at = nil // the part around it goes back already
				break
			}
			if !is {
				inner = map[string]any{}
				at[member] = inner
			}
			at = inner
		}
		if at != nil {
			at[path[len(path)-1]] = nil
		}
	}
	return json.Marshal(patch)
}

// Patch is the merge patch of some values, by the names of their settings. null
// would be the default, and no roles are an empty list.
func Patch(values map[string]any) ([]byte, error) {
	patch := map[string]any{}
	for name, value := range values {
		at, path := patch, strings.Split(name, ".")
		for _, member := range path[:len(path)-1] {
			inner, is := at[member].(map[string]any)
			if !is {
				inner = map[string]any{}
				at[member] = inner
			}
			at = inner
		}
		at[path[len(path)-1]] = plain(value)
	}
	return json.Marshal(patch, json.Deterministic(true))
}
