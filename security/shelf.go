package security

import (
	"sync"
	"time"
)

const (
	// shelfSize bounds each shelf, some 500 bytes an entry. A full one is
	// emptied: the next use of each entry reads it again.
	shelfSize = 4096
	// shelfLife is how long an entry is believed at most. Every change that
	// this program makes empties the shelves at once; this bounds how long one
	// that somebody made with another goes unseen.
	shelfLife = time.Minute
)

// shelf keeps what was read from the database for the next request. It is safe
// for concurrent use.
type shelf[K comparable, V any] struct {
	mu      sync.RWMutex
	epoch   int64 // how often it was emptied
	entries map[K]shelved[V]
}

type shelved[V any] struct {
	value V
	since time.Time
}

// get returns the entry, or reads it and keeps it. An error is that of read,
// and is not kept.
func (s *shelf[K, V]) get(key K, now time.Time, read func() (V, error)) (V, error) {
	s.mu.RLock()
	found, ok := s.entries[key]
	epoch := s.epoch
	s.mu.RUnlock()
	if ok && now.Sub(found.since) < shelfLife {
		return found.value, nil
	}
	value, err := read()
	if err != nil {
		return value, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// What was read before the shelf was emptied may be from before the change
	// that emptied it.
	if s.epoch == epoch {
		s.put(key, shelved[V]{value, now})
	}
	return value, nil
}

// change changes an entry that is there.
func (s *shelf[K, V]) change(key K, change func(*V)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok := s.entries[key]; ok {
		change(&found.value)
		s.entries[key] = found
	}
}

func (s *shelf[K, V]) put(key K, entry shelved[V]) {
	if s.entries == nil || len(s.entries) >= shelfSize {
		s.entries = make(map[K]shelved[V])
	}
	s.entries[key] = entry
}

// empty forgets everything, also what is being read just now.
func (s *shelf[K, V]) empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	s.entries = nil
}
