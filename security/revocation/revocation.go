// Package revocation keeps what was revoked before it ran out: on disk before
// anybody is told, and in memory for the look-up of each request.
package revocation

import (
	"sync"
	"time"

	"github.com/gofrs/uuid/v5"
)

// Kind says what is revoked.
type Kind string

// One access token by its jti, all that hangs on a session, on a user, or
// everything there is.
const (
	Token    Kind = "token"
	Session  Kind = "session"
	User     Kind = "user"
	Everyone Kind = "everyone"
)

// Revocation is one entry. Of User and Everyone it revokes what was issued in
// an earlier generation: a number and not a time, since the times in tokens are
// whole seconds, and one may be revoked and another issued within one.
type Revocation struct {
	Generation    int64 // set when it is stored
	Kind          Kind
	Subject       string // the id of what is revoked; empty for Everyone
	ExceptSession string // the one session that lives on; of User and Everyone only
	Reason        string
	ExpiresAt     time.Time // nothing that it revokes is good any more
}

// Holder is what an access token says of itself.
type Holder struct {
	TokenID    string
	SessionID  string
	UserID     string
	Generation int64
}

// id is a UUID in 16 bytes: a third of its text, and nothing for the garbage
// collector to look at.
type id = uuid.UUID

// rule revokes what is older than a generation.
type rule struct {
	generation int64
	except     id
	expires    uint32
}

func (r rule) revokes(h Holder, session id) bool {
	return h.Generation < r.generation && (r.except == id{} || r.except != session)
}

// Set is the revocations in memory. An entry is 20 bytes in a map (16 of the id,
// 4 of the second in which it expires): 26 to 47 with what the map takes, as
// full as it happens to be. It is safe for concurrent use.
type Set struct {
	mu       sync.RWMutex
	ids      map[id]uint32 // of tokens and sessions, which never share one
	users    map[id]rule
	everyone rule
}

// NewSet returns an empty Set.
func NewSet() *Set { return &Set{ids: make(map[id]uint32), users: make(map[id]rule)} }

// Add takes revocations in, in the order in which they were made. A subject that
// is no UUID names nothing that was ever issued here.
func (s *Set) Add(list ...Revocation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range list {
		subject, except, expires := parse(r.Subject), parse(r.ExceptSession), second(r.ExpiresAt)
		if subject == (id{}) && r.Kind != Everyone {
			continue
		}
		switch r.Kind {
		case Token, Session:
			s.ids[subject] = max(expires, s.ids[subject])
		case User:
			// The later rule stands for the earlier: the session that it spares
			// was alive when it was made, so no earlier one had revoked it.
			s.users[subject] = rule{r.Generation, except, expires}
		case Everyone:
			s.everyone = rule{r.Generation, except, expires}
		}
	}
}

// Revoked reports whether a token is dead: four looks at most, however many
// entries there are.
func (s *Set) Revoked(h Holder) bool {
	token, session, user := parse(h.TokenID), parse(h.SessionID), parse(h.UserID)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, dead := s.ids[session]; dead {
		return true
	}
	if _, dead := s.ids[token]; dead {
		return true
	}
	if r, ok := s.users[user]; ok && r.revokes(h, session) {
		return true
	}
	return s.everyone.revokes(h, session)
}

// Prune forgets what has expired. A map keeps the room of its entries, so one
// that has become much too large is built anew.
func (s *Set) Prune(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.ids)
	for entry, expires := range s.ids {
		if expired(expires, now) {
			delete(s.ids, entry)
		}
	}
	if len(s.ids) < before/4 {
		kept := make(map[id]uint32, len(s.ids))
		for entry, expires := range s.ids {
			kept[entry] = expires
		}
		s.ids = kept
	}
	for entry, r := range s.users {
		if expired(r.expires, now) {
			delete(s.users, entry)
		}
	}
	if expired(s.everyone.expires, now) {
		s.everyone = rule{}
	}
}

// Len is the number of entries.
func (s *Set) Len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := len(s.ids) + len(s.users)
	if s.everyone != (rule{}) {
		n++
	}
	return n
}

// second rounds up to whole seconds since 1970, which a uint32 holds until
// 2106.
func second(t time.Time) uint32 { return uint32(t.Add(time.Second - 1).Unix()) }

func expired(at uint32, now time.Time) bool { return now.Unix() >= int64(at) }

// parse is the zero UUID for what is none.
func parse(s string) id { return uuid.FromStringOrNil(s) }
