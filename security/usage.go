package security

import (
	"context"
	"sync"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
)

// maxUsages bounds the memory of the counter. Beyond it every use is written
// by itself: slower, and nothing is lost.
const maxUsages = 10_000

// usageCounter folds the uses of keys into one event a minute per key, address
// and route. Its zero value is ready; it is safe for concurrent use.
type usageCounter struct {
	mu   sync.Mutex
	uses map[usageKey]*usage
}

type usageKey struct{ key, ip, route string }

type usage struct {
	actor audit.Actor
	since time.Time
	count int // uses that no event tells of yet
}

// add counts a use and returns how many are to be written now: the first of
// a minute together with those left over of the minute before, or none.
func (u *usageCounter) add(k usageKey, actor audit.Actor, now time.Time) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	if known, ok := u.uses[k]; ok {
		known.count++
		if now.Sub(known.since) < seenInterval {
			return 0
		}
		due := known.count
		known.since, known.count = now, 0
		return due
	}
	if u.uses == nil {
		u.uses = make(map[usageKey]*usage)
	}
	if len(u.uses) < maxUsages {
		u.uses[k] = &usage{actor: actor, since: now}
	}
	return 1
}

// restore puts back what could not be written, for the next try.
func (u *usageCounter) restore(k usageKey, actor audit.Actor, count int, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if known, ok := u.uses[k]; ok {
		known.count += count
	} else if len(u.uses) < maxUsages {
		u.uses[k] = &usage{actor: actor, since: now, count: count}
	}
}

// due forgets what began before a time and returns what was not written of it.
func (u *usageCounter) due(before time.Time) map[usageKey]usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	due := make(map[usageKey]usage)
	for k, known := range u.uses {
		if known.since.After(before) {
			continue
		}
		if known.count > 0 {
			due[k] = *known
		}
		delete(u.uses, k)
	}
	return due
}

// noteKeyUse keeps the last use of a key, and the event of a read, at most
// once a minute, and reports whether it wrote now. When they cannot be written the key does not work: what cannot be
// recorded is not done.
func (s *Service) noteKeyUse(ctx context.Context, c Caller) (bool, error) {
	actor := c.actor()
	n := 0
	if !c.Request.Change { // a change writes an event of its own, see record
		n = s.usage.add(usageKey{c.Key.ID, actor.IPAddress, c.Request.Route}, actor, s.now())
	}
	stale := c.Key.LastUsedAt == nil || s.now().Sub(*c.Key.LastUsedAt) >= seenInterval || c.Key.LastUsedIP != actor.IPAddress
	if n == 0 && !stale {
		return false, nil
	}
	err := s.commit(ctx, func(tx *db.Tx) error {
		if n > 0 {
			if err := appendUsage(tx, actor, c.Request.Route, n); err != nil {
				return err
			}
		}
		return apikey.Used(tx, c.Key.ID, actor.IPAddress)
	})
	if err != nil && n > 1 { // this use is refused; those before it were answered
		s.usage.restore(usageKey{c.Key.ID, actor.IPAddress, c.Request.Route}, actor, n-1, s.now())
	}
	return err == nil, err
}

// writeUsage writes what was counted in minutes that began before a time. What
// cannot be written is kept for the next try.
func (s *Service) writeUsage(ctx context.Context, before time.Time) error {
	due := s.usage.due(before)
	if len(due) == 0 {
		return nil
	}
	err := s.commit(ctx, func(tx *db.Tx) error {
		for k, u := range due {
			if err := appendUsage(tx, u.actor, k.route, u.count); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for k, u := range due {
			s.usage.restore(k, u.actor, u.count, u.since)
		}
	}
	return err
}

func appendUsage(tx *db.Tx, actor audit.Actor, route string, count int) error {
	return audit.Append(tx, audit.Event{Type: audit.APIKeyUsage, Success: true, Actor: actor,
		Details: audit.Details{"route": route, "count": count}})
}
