package security

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"patronus.internal/dashboard/security/audit"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/rbac"
)

// Sink is a place outside that gets the log as well. One goroutine uses it.
type Sink interface {
	Kind() string   // "syslog", "webhook": one of each
	ID() string     // tells its receiver from others of the kind
	String() string // for a log, without secrets
	// Send hands messages over in order and returns how many, beginning with the
	// first, are there. The rest is handed over again.
	Send(ctx context.Context, messages []audit.Message) (int, error)
	// Confirms reports whether messages that Send returned have arrived. Otherwise
	// they are on their way, and lost if the connection breaks within a minute.
	Confirms() bool
	// Lost returns an error, once, after the connection has broken.
	Lost() error
	Close() error
}

const (
	// pushBatch is how many events are read at once, and so what a sink that does
	// not take them makes this program hold.
	pushBatch = 100
	// pushEvery is how soon a sink gets what another process wrote, and a broken
	// connection is noticed.
	pushEvery = time.Second
	// saveEvery is how often the cursor of a sink is stored: each time costs an
	// fdatasync, and what was sent behind it is sent again after a crash.
	saveEvery = time.Second
	// sinksEnd bounds how long the end of the program waits for the last cursor.
	sinksEnd = 3 * time.Second
	// lateAfter is from when on a person should know that a sink is behind.
	lateAfter = time.Minute
)

// pusher pushes the log to one sink.
type pusher struct {
	sink     Sink
	cursor   cursor
	failures int   // in a row; what is only on its way ends no row
	late     bool  // and said so
	saved    int64 // what is stored of the cursor
	head     int64 // the newest head of the log that was sent

	headsAfter time.Time // when to try again after one was refused
	savedAt    time.Time // zero before the first time

	mu   sync.Mutex // of what SinkLag reads meanwhile
	sent int64      // the newest event that was handed over
	err  error      // why the last try failed, or nil
}

// AddSink lets Push send the log to sink too: from where it got to before a
// restart. The first time it begins with what happens from now on, or where the
// last one of its kind got to, so that a new address of the receiver loses
// nothing. It is called before Push.
func (s *Service) AddSink(ctx context.Context, sink Sink) error {
	var seq, head, size int64
	err := s.commit(ctx, func(tx *db.Tx) (err error) {
		if size, err = audit.SignedSize(tx, s.tree.Verifier()); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO sink_cursors (kind, target_hash, seq, checkpoint_size, updated_at_us)
			VALUES ($1, $2, COALESCE((SELECT seq FROM sink_cursors WHERE kind = $1 ORDER BY updated_at_us DESC, target_hash LIMIT 1),
				$3), $4, $5)
			ON CONFLICT (kind, target_hash) DO NOTHING`, sink.Kind(), sink.ID(), size, size, db.Micros(tx.Now()))
		if err != nil {
			return err
		}
		return tx.QueryRow("SELECT seq, checkpoint_size FROM sink_cursors WHERE kind = $1 AND target_hash = $2", sink.Kind(), sink.ID()).Scan(&seq, &head)
	})
	if err != nil {
		return err
	}
	if seq > size {
		s.log.WarnContext(ctx, "a sink of the log is said to have more events than there are; it gets what comes from now on", "sink", sink.String(), "said", seq, "events", size)
		seq = size
	}
	head = min(head, size)
	s.pushers = append(s.pushers, &pusher{sink: sink, cursor: cursor{arrived: seq}, saved: seq, sent: seq, head: head})
	return nil
}

// Push sends the log to the sinks until ctx ends, then closes them. Each event
// arrives at least once, whatever ends in between; one that arrives again has
// the same sequence number. A sink that cannot be reached is tried again with
// growing waits and keeps up nobody.
func (s *Service) Push(ctx context.Context) {
	var running sync.WaitGroup
	for _, p := range s.pushers {
		running.Go(func() { s.push(ctx, p) })
	}
	running.Wait()
}

func (s *Service) push(ctx context.Context, p *pusher) {
	// Without a place in the feed the ticker alone wakes it.
	wake, ok := s.feed.follow()
	if ok {
		defer s.feed.leave(wake)
	}
	ticker := time.NewTicker(pushEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		more, err := s.pushOnce(ctx, p)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.waitAfter(ctx, p.failures)
		case !more:
			select {
			case <-ctx.Done():
			case <-wake:
			case <-ticker.C:
			}
		}
	}
	// What has arrived is noted also when the program is ending.
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), sinksEnd)
	defer cancel()
	if err := errors.Join(s.saveCursor(noting, p), p.sink.Close()); err != nil {
		s.log.ErrorContext(noting, "a sink of the log did not end well", "sink", p.sink.String(), "error", err)
	}
}

// pushOnce hands over one batch and reports whether there is more. It says when
// a sink fails, falls behind and catches up, once each: an outage is a few lines
// in the program's own log, and no event, which would be sent in turn.
func (s *Service) pushOnce(ctx context.Context, p *pusher) (more bool, err error) {
	more, err = s.handOn(ctx, p)
	if err != nil && ctx.Err() != nil {
		return false, err
	}
	p.mu.Lock()
	p.err = err
	p.mu.Unlock()
	if err != nil {
		p.failures++
		if p.failures == 1 {
			s.log.WarnContext(ctx, "a sink of the log fails and is tried again", "sink", p.sink.String(), "error", err)
		}
	}
	if err != nil || more || p.late {
		s.tellLate(ctx, p)
	}
	return more, err
}

// handOn does the work of pushOnce.
func (s *Service) handOn(ctx context.Context, p *pusher) (more bool, err error) {
	// A connection that ends when nothing is under way, as some receivers end
	// quiet ones, is no failure.
	if err := p.sink.Lost(); err != nil && p.cursor.rewind() {
		p.setSent(p.cursor.sent())
		return false, err
	}
	if p.cursor.settle(s.now()) {
		p.failures = 0
	}
	// What stands behind the signed head is not this program's.
	size, err := audit.SignedSize(s.db.Read(ctx), s.tree.Verifier())
	if err != nil {
		return false, err
	}
	events, next, err := audit.List(s.db.Read(ctx), audit.Filter{After: p.cursor.sent(), Before: size + 1, OldestFirst: true, Limit: pushBatch})
	if err != nil {
		return false, err
	}
	messages := make([]audit.Message, 0, len(events))
	for _, e := range events {
		m, err := e.Message()
		if err != nil {
			return false, err
		}
		messages = append(messages, m)
	}
	if len(messages) > 0 {
		n, err := p.sink.Send(ctx, messages)
		if n > 0 {
			p.cursor.handedOver(messages[n-1].Seq, s.now(), p.sink.Confirms())
		}
		if err != nil {
			p.cursor.rewind()
		}
		p.setSent(p.cursor.sent())
		if err != nil {
			return false, err
		}
	}
	if !p.cursor.unsure() {
		p.failures = 0
	}
	if now := s.now(); now.Sub(p.savedAt) >= saveEvery && p.cursor.arrived > p.saved {
		if err := s.saveCursor(ctx, p); err != nil {
			return false, err
		}
		p.savedAt = now
	}
	// Last, and not at once again when they are refused: events do not wait for them.
	if now := s.now(); next == 0 && !now.Before(p.headsAfter) {
		if err := s.handOnHeads(ctx, p); err != nil {
			p.headsAfter = now.Add(lastRetry)
			return false, err
		}
	}
	return next > 0, nil
}

// handOnHeads sends the heads of the log that were kept since, of events that were
// sent. One that is lost on its way is made up for by the next.
func (s *Service) handOnHeads(ctx context.Context, p *pusher) error {
	kept, err := audit.KeptAfter(s.db.Read(ctx), p.head, p.cursor.sent(), pushBatch)
	if err != nil {
		return err
	}
	for _, k := range kept {
		m, err := k.Message()
		if err != nil {
			return err
		}
		if _, err := p.sink.Send(ctx, []audit.Message{m}); err != nil {
			p.cursor.rewind()
			p.setSent(p.cursor.sent())
			return err
		}
		p.head = k.Size
	}
	return nil
}

func (p *pusher) setSent(seq int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = seq
}

// saveCursor stores how far the log has arrived. It never goes back: another
// server over the same database may have got further.
func (s *Service) saveCursor(ctx context.Context, p *pusher) error {
	seq := p.cursor.arrived
	if seq == p.saved {
		return nil
	}
	// Not by commit: nothing that is in memory changes, and nobody is to wake.
	err := s.db.Write(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec("UPDATE sink_cursors SET seq = $1, checkpoint_size = $2, updated_at_us = $3 WHERE kind = $4 AND target_hash = $5 AND seq < $1",
			seq, p.head, db.Micros(tx.Now()), p.sink.Kind(), p.sink.ID())
		return err
	})
	if err == nil {
		p.saved = seq
	}
	return err
}

// waitAfter waits before the next try.
func (s *Service) waitAfter(ctx context.Context, failures int) {
	timer := time.NewTimer(retryDelay(failures, rand.Float64()))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// The waits after failures: doubled each time, and cut by up to a half at random
// so that many servers do not return to a receiver at the same moment.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

func retryDelay(failures int, random float64) time.Duration {
	delay := firstRetry << min(max(failures-1, 0), 10)
	return time.Duration(float64(min(delay, lastRetry)) * (1 - random/2))
}

// LateSinks are the sinks that are more than a minute behind, for those who look
// after the whole log.
func (s *Service) LateSinks(ctx context.Context, c Caller) ([]SinkLag, error) {
	if c.Reach(rbac.AuditRead) != rbac.All {
		return nil, nil
	}
	list, err := s.SinkLag(ctx)
	return slices.DeleteFunc(list, func(l SinkLag) bool { return l.Age <= lateAfter }), err
}

// SinkLag is how far a sink is behind the log.
type SinkLag struct {
	Kind   string
	Sink   string // its address, without secrets
	Events int64
	Age    time.Duration // of the oldest event that it does not have, or zero
	Err    error         // why the last try failed, or nil
}

// SinkLag returns how far each sink is behind.
func (s *Service) SinkLag(ctx context.Context) ([]SinkLag, error) {
	var list []SinkLag
	for _, p := range s.pushers {
		lag, err := s.lagOf(ctx, p)
		if err != nil {
			return nil, err
		}
		list = append(list, lag)
	}
	return list, nil
}

func (s *Service) lagOf(ctx context.Context, p *pusher) (SinkLag, error) {
	p.mu.Lock()
	sent, last := p.sent, p.err
	p.mu.Unlock()
	lag := SinkLag{Kind: p.sink.Kind(), Sink: p.sink.String(), Err: last}
	oldest, _, err := audit.List(s.db.Read(ctx), audit.Filter{After: sent, OldestFirst: true, Limit: 1})
	if err != nil || len(oldest) == 0 {
		return lag, err
	}
	newest, err := audit.Newest(s.db.Read(ctx))
	// Events have whole milliseconds.
	lag.Events, lag.Age = newest-sent, max(s.now().Truncate(time.Millisecond).Sub(oldest[0].Time), 0)
	return lag, err
}

// tellLate says once that a sink is more than a minute behind, and once that it
// has caught up.
func (s *Service) tellLate(ctx context.Context, p *pusher) {
	lag, err := s.lagOf(ctx, p)
	switch {
	case err != nil: // of the database, which others tell of
	case !p.late && lag.Age > lateAfter:
		p.late = true
		s.log.WarnContext(ctx, "a sink of the log is behind", "sink", lag.Sink, "events", lag.Events, "seconds", int(lag.Age.Seconds()), "error", lag.Err)
	case p.late && lag.Age <= lateAfter && p.failures == 0:
		p.late = false
		s.log.InfoContext(ctx, "a sink of the log has caught up", "sink", lag.Sink)
	}
}
