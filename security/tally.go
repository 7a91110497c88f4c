package security

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"patronus.internal/dashboard/security/anomaly"
	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
)

// maxTallied bounds the memory of the tally. Beyond it everything is written by
// itself: slower, and nothing is lost.
const maxTallied = 10_000

// tally folds what happens over and over into one event a minute: the reads of
// a key, the refusals of an address. Its zero value is ready; it is safe for
// concurrent use.
type tally struct {
	mu      sync.Mutex
	entries map[tallyKey]*tallied
}

// tallyKey is what is alike: who did what, from where, and how it ended.
type tallyKey struct {
	kind             audit.Type
	who, from, route string
	reason           string
}

type tallied struct {
	event audit.Event // without its count
	since time.Time
	count int // of what no event tells yet
}

// add counts and returns how many are to be written now: the first of a minute
// together with those left over of the minute before, or none.
func (t *tally) add(k tallyKey, event audit.Event, now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.entries[k]; ok {
		known.count++
		if now.Sub(known.since) < seenInterval {
			return 0
		}
		due := known.count
		known.since, known.count = now, 0
		return due
	}
	if t.entries == nil {
		t.entries = make(map[tallyKey]*tallied)
	}
	if len(t.entries) < maxTallied || k.who == "" && k.from == "" {
		t.entries[k] = &tallied{event: event, since: now}
	}
	return 1
}

// full reports whether there is no room for a key that is not known yet.
func (t *tally) full(k tallyKey) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, known := t.entries[k]
	return !known && len(t.entries) >= maxTallied
}

// restore puts back what could not be written, for the next try.
func (t *tally) restore(k tallyKey, event audit.Event, count int, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if known, ok := t.entries[k]; ok {
		known.count += count
	} else if len(t.entries) < maxTallied {
		t.entries[k] = &tallied{event: event, since: now, count: count}
	}
}

// due forgets what began before a time and returns what was not written of it.
func (t *tally) due(before time.Time) map[tallyKey]tallied {
	t.mu.Lock()
	defer t.mu.Unlock()
	due := make(map[tallyKey]tallied)
	for k, known := range t.entries {
		if known.since.After(before) {
			continue
		}
		if known.count > 0 {
			due[k] = *known
		}
		delete(t.entries, k)
	}
	return due
}

// counted is the event with how often it happened.
func counted(event audit.Event, count int) audit.Event {
	details := audit.Details{"count": count}
	for name, value := range event.Details {
		details[name] = value
	}
	event.Details = details
	return event
}

// noteKeyUse keeps the last use of a key, and the event of a read, each at most once
// a minute, and reports whether it kept the last use now. When they cannot be
// written the key does not work: what cannot be recorded is not done. A key that is
// used from several places at once is written no more often for that: where from, the
// events of its reads tell, and a change from elsewhere is judged all the same.
func (s *Service) noteKeyUse(ctx context.Context, c Caller) (bool, error) {
	actor := c.actor()
	k, event := keyUse(actor, c.Request.Route)
	n := 0
	if !c.Request.Change { // a change writes an event of its own, see record
		n = s.tally.add(k, event, s.now())
	}
	stale := c.Key.LastUsedAt == nil || s.now().Sub(*c.Key.LastUsedAt) >= seenInterval
	moved := c.Key.LastUsedIP != actor.IPAddress
	if n == 0 && !stale && !(moved && c.Request.Change) {
		return false, nil
	}
	err := s.commit(ctx, func(tx *db.Tx) error {
		if n > 0 {
			if err := audit.Append(tx, counted(event, n)); err != nil {
				return err
			}
		}
		if moved {
			if err := s.suspectKey(tx, c); err != nil {
				return err
			}
		}
		if !stale {
			return nil
		}
		return apikey.Used(tx, c.Key.ID, actor.IPAddress)
	})
	if err != nil && n > 1 { // this use is refused; those before it were answered
		s.tally.restore(k, event, n-1, s.now())
	}
	return err == nil && stale, err
}

// keyUse is a use of a key for the tally.
func keyUse(actor audit.Actor, route string) (tallyKey, audit.Event) {
	return tallyKey{kind: audit.APIKeyUsage, who: actor.APIKeyID, from: actor.IPAddress, route: route},
		audit.Event{Type: audit.APIKeyUsage, Success: true, Actor: actor, Details: audit.Details{"route": route}}
}

// noteRefusal records a refusal that comes in floods: the first of a minute,
// and the rest with their count. Fails open because there is nothing to
// protect: when it cannot be written, the caller is refused all the same.
func (s *Service) noteRefusal(ctx context.Context, kind audit.Type, actor audit.Actor, route, reason string) {
	// By network, since whoever has one IPv6 address has 2^64 of them; by account
	// only where a limit has bounded how many may be tried.
	from := actor.IPAddress
	if ip, err := netip.ParseAddr(from); err == nil {
		from = anomaly.NetworkOf(ip).String()
	}
	k := tallyKey{kind: kind, who: actor.UserID + actor.APIKeyID + actor.Email, from: from, route: route, reason: reason}
	if s.tally.full(k) {
		// What comes from everywhere at once is told together.
		k, actor = tallyKey{kind: kind, reason: reason}, audit.Actor{RequestID: actor.RequestID}
	}
	event := audit.Event{Type: kind, Actor: actor, Details: audit.Details{"reason": reason, "route": route}}
	n := s.tally.add(k, event, s.now())
	if n == 0 {
		return
	}
	if err := s.commit(ctx, func(tx *db.Tx) error { return audit.Append(tx, counted(event, n)) }); err != nil {
		s.tally.restore(k, event, n, s.now())
		s.log.ErrorContext(ctx, "refusals could not be recorded", "error", err)
	}
}

// writeTally writes what was counted in minutes that began before a time. What
// cannot be written is kept for the next try.
func (s *Service) writeTally(ctx context.Context, before time.Time) error {
	due := s.tally.due(before)
	if len(due) == 0 {
		return nil
	}
	err := s.commit(ctx, func(tx *db.Tx) error {
		for _, t := range due {
			if err := audit.Append(tx, counted(t.event, t.count)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		for k, t := range due {
			s.tally.restore(k, t.event, t.count, t.since)
		}
	}
	return err
}
