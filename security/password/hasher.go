// Package password says what a new password must be and hashes passwords, so
// many at a time as the machine can bear.
package password

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/alexedwards/argon2id"

	"patronus.internal/dashboard/security/secerr"
	"patronus.internal/dashboard/security/secret"
)

// Params is the cost of one hash.
type Params struct {
	Memory      uint32 // KiB
	Iterations  uint32
	Parallelism uint8
}

// Default is the first choice of the OWASP Password Storage Cheat Sheet for
// Argon2id, 19 MiB and two passes: 16 ms of one core (BenchmarkHash). More memory
// would buy an attacker's card less than it would cost a small server that two
// dozen people sign in to at once.
var Default = Params{Memory: 19456, Iterations: 2, Parallelism: 1}

// Lengths of RFC 9106 §3.1 and §4: a salt of 128 bits, a tag of 256.
const (
	saltLength = 16
	keyLength  = 32
)

// maxMemory, in KiB, and maxIterations bound what a stored hash may ask for, so
// that a row that was tampered with cannot take the machine.
const (
	maxMemory     = 256 << 10
	maxIterations = 64
)

// defaultQueue is how many callers may wait for a slot: with one slot they wait
// about a second and a half, as long as a person does without wondering.
const defaultQueue = 64

// Options is what a Hasher is made with.
type Options struct {
	Params Params // default Default
	// Slots is how many hashes run at once, default one less than there are
	// cores and at least one: the core that is left keeps every other request
	// quick while many sign in.
	Slots int
	Queue int // callers that may wait, default 64
}

// Hasher hashes in a bounded number of slots. It is safe for concurrent use.
type Hasher struct {
	params  *argon2id.Params
	slots   chan struct{}
	waiting atomic.Int64
	maxWait int64
	hashes  atomic.Int64
	dummy   string
}

// NewHasher returns a Hasher.
func NewHasher(o Options) *Hasher {
	if o.Params == (Params{}) {
		o.Params = Default
	}
	if o.Slots == 0 {
		o.Slots = max(1, runtime.GOMAXPROCS(0)-1) // the cores that a container may use
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	return &Hasher{
		params: &argon2id.Params{Memory: o.Params.Memory, Iterations: o.Params.Iterations, Parallelism: o.Params.Parallelism,
			SaltLength: saltLength, KeyLength: keyLength},
		slots: make(chan struct{}, o.Slots), maxWait: int64(o.Queue), dummy: dummyHash(o.Params),
	}
}

// dummyHash is a hash of these parameters that no password has: a tag of zeros
// comes out with a chance of 2^-256. It is written, not computed, so that the
// first VerifyDummy takes no longer than the others.
func dummyHash(p Params) string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", p.Memory, p.Iterations, p.Parallelism,
		encode(make([]byte, saltLength)), encode(make([]byte, keyLength)))
}

// Hash returns the encoded hash of a normalized password, with a salt from
// crypto/rand. It returns secerr.Unavailable when too many wait already, or
// ctx.Err().
func (h *Hasher) Hash(ctx context.Context, password secret.Text) (string, error) {
	var encoded string
	err := h.slot(ctx, func() (err error) {
		encoded, err = argon2id.CreateHash(password.Reveal(), h.params)
		return err
	})
	return encoded, err
}

// Verify reports whether encoded is the hash of a normalized password, in time
// that does not tell how much of it is right. needsRehash tells that it was
// made with other parameters than those of now. It returns an error for what
// is no hash, secerr.Unavailable, or ctx.Err().
func (h *Hasher) Verify(ctx context.Context, password secret.Text, encoded string) (ok, needsRehash bool, err error) {
	params, _, _, err := argon2id.DecodeHash(encoded)
	if err != nil {
		return false, false, fmt.Errorf("password: a stored hash does not parse: %w", err)
	}
	if params.Memory > maxMemory || params.Iterations > maxIterations {
		return false, false, errors.New("password: a stored hash asks for more than any that was made here")
	}
	// The library panics at the first two, and one password in 256 has a tag
	// of one byte.
	if params.Iterations == 0 || params.Parallelism == 0 || params.SaltLength < saltLength || params.KeyLength < keyLength {
		return false, false, errors.New("password: a stored hash is weaker than any that was made here")
	}
	err = h.slot(ctx, func() (err error) {
		ok, err = argon2id.ComparePasswordAndHash(password.Reveal(), encoded)
		return err
	})
	return ok, ok && *params != *h.params, err
}

// VerifyDummy does the work of a Verify that fails. It stands in where there
// is no hash, so that nobody learns that from the time an answer takes.
func (h *Hasher) VerifyDummy(ctx context.Context, password secret.Text) error {
	_, _, err := h.Verify(ctx, password, h.dummy)
	return err
}

// Hashes is how many passwords were hashed or verified.
func (h *Hasher) Hashes() int64 { return h.hashes.Load() }

// slot runs work in a slot. Who would be one too many to wait is told at once
// when to come back.
func (h *Hasher) slot(ctx context.Context, work func() error) error {
	select {
	case h.slots <- struct{}{}:
	default:
		if n := h.waiting.Add(1); n > h.maxWait {
			h.waiting.Add(-1)
			return secerr.Busy("Many people are signing in right now. Try again in a moment.", h.retryAfter(), errors.New("password: the queue is full"))
		}
		select {
		case h.slots <- struct{}{}:
			h.waiting.Add(-1)
		case <-ctx.Done():
			h.waiting.Add(-1)
			return ctx.Err()
		}
	}
	defer func() { <-h.slots }()
	// A slot and the end of the request may come at once.
	if err := ctx.Err(); err != nil {
		return err
	}
	h.hashes.Add(1)
	return work()
}

// hashTime is what a hash takes on a slow machine. The queue is told to come
// back by it; a better guess would not be kept any better by those who wait.
const hashTime = 50 * time.Millisecond

// retryAfter is about when a full queue has gone, in whole seconds.
func (h *Hasher) retryAfter() time.Duration {
	rounds := float64(h.maxWait) / float64(cap(h.slots))
	return time.Duration(math.Ceil((time.Duration(rounds*float64(hashTime)) + 1).Seconds())) * time.Second
}
