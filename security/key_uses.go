package security

import (
	"context"
	"slices"
	"strings"
	"sync"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
)

// maxUses bounds what is remembered of the uses of keys, some 100 bytes each.
// When that many wait to be written, they are written at once.
const maxUses = 10_000

// scopeUses are the permissions that let keys in, each with the last day, so that
// one is written once a day and not with every request. Its zero value is ready;
// it is safe for concurrent use.
type scopeUses struct {
	mu   sync.Mutex
	days map[scopeUse]usedOn
}

type scopeUse struct {
	keyID      string
	permission rbac.Permission
}

type usedOn struct {
	day     apikey.Day
	written bool
}

// note remembers a use, and reports whether there is no room for the next before
// some are written.
func (u *scopeUses) note(k scopeUse, day apikey.Day) (full bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if known, ok := u.days[k]; ok && known.day >= day {
		return false
	}
	if u.days == nil {
		u.days = make(map[scopeUse]usedOn)
	}
	u.days[k] = usedOn{day: day}
	return len(u.days) >= maxUses
}

// waiting are the uses of a key that are not written, or of all keys when keyID is
// empty.
func (u *scopeUses) waiting(keyID string) map[scopeUse]apikey.Day {
	u.mu.Lock()
	defer u.mu.Unlock()
	found := make(map[scopeUse]apikey.Day)
	for k, on := range u.days {
		if !on.written && (keyID == "" || k.keyID == keyID) {
			found[k] = on.day
		}
	}
	return found
}

// done takes note that uses are on disk. What is of an earlier day than today, or
// takes room that is needed, is forgotten: at worst it is written once more.
func (u *scopeUses) done(written map[scopeUse]apikey.Day, today apikey.Day) {
	u.mu.Lock()
	defer u.mu.Unlock()
	crowded := len(u.days) >= maxUses
	for k, day := range written {
		if on := u.days[k]; on.day == day {
			u.days[k] = usedOn{day: day, written: true}
		}
	}
	for k, on := range u.days {
		if on.written && (crowded || on.day < today) {
			delete(u.days, k)
		}
	}
}

// noteScope remembers that a permission let a key in.
func (s *Service) noteScope(ctx context.Context, c Caller, permissions ...rbac.Permission) {
	if c.Key == nil {
		return
	}
	day, full := apikey.DayOf(s.now()), false
	for _, p := range permissions {
		full = s.uses.note(scopeUse{c.Key.ID, p}, day) || full
	}
	if full {
		if err := s.writeUses(ctx); err != nil {
			s.log.ErrorContext(ctx, "what API keys used could not be kept", "error", err)
		}
	}
}

// writeUses writes the uses that wait. What cannot be written waits on.
func (s *Service) writeUses(ctx context.Context) error {
	waiting := s.uses.waiting("")
	if len(waiting) > 0 {
		if err := s.commit(ctx, func(tx *db.Tx) error { return writeUses(tx, waiting) }); err != nil {
			return err
		}
	}
	s.uses.done(waiting, apikey.DayOf(s.now()))
	return nil
}

func writeUses(tx *db.Tx, uses map[scopeUse]apikey.Day) error {
	for k, day := range uses {
		if err := apikey.UsedPermission(tx, k.keyID, string(k.permission), day); err != nil {
			return err
		}
	}
	return nil
}

// usesOf lists the permissions that ever let a key in, those that are not written
// yet too, by their names. Of another server over the same file these are missing
// for a minute.
func (s *Service) usesOf(r db.Reader, keyID string) ([]apikey.Use, error) {
	uses, err := apikey.Uses(r, keyID)
	if err != nil {
		return nil, err
	}
	for k, day := range s.uses.waiting(keyID) {
		i := slices.IndexFunc(uses, func(u apikey.Use) bool { return u.Permission == string(k.permission) })
		if i < 0 {
			uses = append(uses, apikey.Use{Permission: string(k.permission), First: day, Last: day})
		} else {
			uses[i].Last = max(uses[i].Last, day)
		}
	}
	slices.SortFunc(uses, func(a, b apikey.Use) int { return strings.Compare(a.Permission, b.Permission) })
	return uses, nil
}
