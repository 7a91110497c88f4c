package security

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"patronus.internal/dashboard/security/apikey"
	"patronus.internal/dashboard/security/db"
	"patronus.internal/dashboard/security/ipblock"
	"patronus.internal/dashboard/security/notice"
	"patronus.internal/dashboard/security/policy"
	"patronus.internal/dashboard/security/rbac"
	"patronus.internal/dashboard/security/revocation"
	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/session"
	"patronus.internal/dashboard/security/user"
)

// FreshFor is how old may be what this process knows of the changes of others:
// commands of the host, and servers over the same database. Its own count from
// the moment in which they are on disk. Whoever changes something from outside
// waits this long before they say that it is done. One look costs some ten
// microseconds, so under load it is a fiftieth of one in a hundred requests.
const FreshFor = 5 * time.Millisecond

// memory is what the service keeps of the database, so that a request that
// changes nothing need not read it.
type memory struct {
	revoked *revocation.Set
	blocks  *ipblock.Table

	sessions shelf[string, session.Session]            // full ones, by id
	cookies  shelf[[sha256.Size]byte, session.Session] // full ones of browsers, by the hash of the cookie
	keys     shelf[[sha256.Size]byte, apikey.Key]      // by the hash of the secret
	users    shelf[string, user.User]                  // by id, without the hash of the password
	grants   shelf[string, []rbac.Grant]               // by the id of the user

	notice atomic.Int64 // the version of the notice of now, 0 for none

	stale   atomic.Bool // something was changed here since the last look
	checked atomic.Pointer[time.Time]

	looking    sync.Mutex // one looks, the others wait for what is found
	generation int64      // guarded by looking
}

// empty forgets all that can be read again.
func (m *memory) empty() {
	m.sessions.empty()
	m.cookies.empty()
	m.keys.empty()
	m.users.empty()
	m.grants.empty()
}

// current reports whether the last look is recent enough. A clock that stands
// still tells nothing, so in its tests every request looks.
func (m *memory) current(now time.Time) bool {
	if m.stale.Load() { // before checked, which a look that runs has cleared
		return false
	}
	checked := m.checked.Load()
	if checked == nil {
		return false
	}
	age := now.Sub(*checked)
	return age != 0 && age < FreshFor && age > -FreshFor
}

// fresh makes sure that the memory holds whatever was on disk FreshFor ago, and
// every change of this process that was answered. When it cannot know, it
// returns an error, and nobody is let in.
func (s *Service) fresh(ctx context.Context) error {
	now := s.now()
	if s.memory.current(now) {
		return nil
	}
	s.memory.looking.Lock()
	defer s.memory.looking.Unlock()
	if s.memory.current(now) {
		return nil
	}
	// Nobody relies on the last look while this one runs; and a change that
	// comes during it counts for the next.
	s.memory.checked.Store(nil)
	s.memory.stale.Store(false)
	if err := s.look(ctx, now); err != nil {
		s.memory.stale.Store(true)
		return err
	}
	s.memory.checked.Store(&now)
	return nil
}

// look reads again what has changed. The caller holds memory.looking.
func (s *Service) look(ctx context.Context, now time.Time) error {
	r := s.db.Read(ctx)
	generation, err := revocation.Generation(r)
	if err != nil || generation == s.memory.generation {
		return err
	}
	known := s.memory.generation
	if generation < known { // an older copy was put in place of the file
		known = 0
	}
	revoked, err := revocation.Since(r, known, now)
	if err != nil {
		return err
	}
	stored, err := loadPolicy(r)
	if err != nil && s.anyPolicy {
		stored, err = policy.Stored{Policy: policy.Default()}, nil
	}
	if err != nil {
		return err
	}
	noticeVersion, err := notice.CurrentVersion(r)
	if err != nil {
		return err
	}
	blocks, err := ipblock.InForce(r, now)
	if err != nil {
		return err
	}
	// Longer than any command takes from its commit to the look that follows it;
	// a limit that is forgotten twice harms nobody.
	unlocked, err := user.UnlockedSince(r, now.Add(-time.Minute))
	if err != nil {
		return err
	}
	for _, email := range unlocked {
		s.limits.login.ResetUser(email)
	}
	s.reloadKeys(ctx)
	s.memory.blocks.Replace(blocks)
	s.memory.notice.Store(noticeVersion)
	if was := s.policy.Swap(&stored); was == nil || was.Policy.RateLimits != stored.Policy.RateLimits {
		s.limits.set(stored.Policy.RateLimits)
	}
	s.memory.revoked.Add(revoked...)
	s.memory.empty()
	s.memory.generation = generation
	return nil
}

// reloadKeys reads keys.json again if it has changed. When it cannot be read,
// the keys from before stay, and Maintain tries again.
func (s *Service) reloadKeys(ctx context.Context) {
	changed, err := s.keys.Reload()
	if err != nil {
		s.log.ErrorContext(ctx, "the keys could not be read again", "error", err)
	}
	if changed {
		s.tokens.Forget()
	}
}

// errPolicyUnusable is about a stored policy that the program cannot run with.
var errPolicyUnusable = errors.New("the policy was altered outside of this program and is not one that it accepts")

func loadPolicy(r db.Reader) (policy.Stored, error) {
	stored, err := policy.Load(r)
	if err != nil {
		return policy.Stored{}, err
	}
	if err := stored.Policy.Validate(roleNames()); err != nil {
		// What is wrong is not wrapped: who asks for something else did nothing wrong.
		return policy.Stored{}, fmt.Errorf("%w: %v. Put a backup of the database in its place, or the default in the place of the policy: dashboard policy reset", errPolicyUnusable, err)
	}
	return stored, nil
}

// commit runs a change. Whatever it changed of what is in memory counts before
// it returns.
func (s *Service) commit(ctx context.Context, change func(*db.Tx) error) error {
	defer s.feed.wake()
	s.wrote.Store(true)
	defer s.memory.stale.Store(true) // also after an error: the change may be on disk all the same
	return s.db.Write(ctx, change)
}

// sessionNow, sessionOf and userNow are what session.ByID, session.BySecret and
// user.ByID would read. A user comes without the hash of the password.
func (s *Service) sessionNow(ctx context.Context, id string) (session.Session, error) {
	return s.memory.sessions.get(id, s.now(), func() (session.Session, error) { return full(session.ByID(s.db.Read(ctx), id)) })
}

func (s *Service) userNow(ctx context.Context, id string) (user.User, error) {
	return s.memory.users.get(id, s.now(), func() (user.User, error) {
		u, err := user.ByID(s.db.Read(ctx), id)
		return u.WithoutPassword(), err
	})
}

// grantsNow is what is granted to a user. Nobody may change the slice.
func (s *Service) grantsNow(ctx context.Context, userID string) ([]rbac.Grant, error) {
	return s.memory.grants.get(userID, s.now(), func() ([]rbac.Grant, error) { return grantsOf(s.db.Read(ctx), userID) })
}

// full refuses a session that waits for its second factor: it is no identity,
// and what becomes of it is nothing to keep.
func full(found session.Session, err error) (session.Session, error) {
	if err == nil && found.Stage != session.Full {
		return session.Session{}, secerr.New(secerr.NotFound, "The session waits for its second factor.")
	}
	return found, err
}
