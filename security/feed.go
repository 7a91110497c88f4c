package security

import (
	"context"
	"sync"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/secerr"
)

// feed wakes those who follow the log. Its zero value is ready; it is safe for
// concurrent use.
type feed struct {
	mu        sync.Mutex
	followers map[chan struct{}]struct{}
}

// maxFollowers bounds what live connections hold, some 50 KiB each.
const maxFollowers = 256

// follow returns what wakes a follower, or false when there are too many. A wake
// that finds the last one not yet seen is not repeated.
func (f *feed) follow() (wake chan struct{}, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.followers) >= maxFollowers {
		return nil, false
	}
	if f.followers == nil {
		f.followers = make(map[chan struct{}]struct{})
	}
	wake = make(chan struct{}, 1)
	f.followers[wake] = struct{}{}
	return wake, true
}

func (f *feed) leave(wake chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.followers, wake)
}

func (f *feed) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for follower := range f.followers {
		select {
		case follower <- struct{}{}:
		default:
		}
	}
}

const (
	// feedBatch is how many events are read at once.
	feedBatch = 100
	// feedEvery is how soon a follower sees what another process wrote, and
	// notices that its own time is over.
	feedEvery = time.Second
)

// Follow sends the events of the log behind after, oldest first, and then those
// that come, until ctx ends, send fails, or who follows may not any more: again
// says who they are now, and its error ends it. Without after (negative) it
// begins with what comes. Who reaches only their own events sees no others. It
// returns secerr.Unavailable when too many follow.
func (s *Service) Follow(ctx context.Context, again func(context.Context) (Caller, error), after int64, send func(audit.Record) error) error {
	wake, ok := s.feed.follow()
	if !ok {
		return secerr.Busy("Many people are following the log right now. Try again in a moment.", time.Minute, nil)
	}
	defer s.feed.leave(wake)
	if after < 0 {
		newest, err := audit.Newest(s.db.Read(ctx))
		if err != nil {
			return err
		}
		after = newest
	}
	ticker := time.NewTicker(feedEvery)
	defer ticker.Stop()
	for {
		who, err := again(ctx)
		if err != nil {
			return err
		}
		if who.Reach(rbac.AuditRead) == rbac.None {
			return secerr.New(secerr.Forbidden, "You may not read the log any more.")
		}
		s.noteScope(ctx, who, rbac.AuditRead) // it may stay for weeks
		f, _ := withinReach(who, audit.Filter{After: after, OldestFirst: true, Limit: feedBatch})
		events, more, err := audit.List(s.db.Read(ctx), f)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := send(e); err != nil {
				return err
			}
			after = e.Seq
		}
		if more > 0 {
			after = more // it may have looked through more than it found
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		case <-ticker.C:
		}
	}
}
