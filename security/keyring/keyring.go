// Package keyring keeps the keys of one installation in keys.json: those that
// sign tokens, encrypt what the database holds, and authenticate what travels
// through a browser. The file is readable by its owner alone; a copy of the
// database without it opens nothing.
package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// keyLength is 256 bits for every key: HS256 (RFC 7518 §3.2), AES-256 and
// HMAC-SHA256 take no less and gain nothing from more.
const keyLength = 32

type signingKey struct {
	KID       string     `json:"kid"`
	Algorithm string     `json:"alg"`
	Secret    []byte     `json:"secret"`
	CreatedAt time.Time  `json:"created_at"`
	RetiredAt *time.Time `json:"retired_at"`
}

type encryptionKey struct {
	ID        string    `json:"id"`
	Secret    []byte    `json:"secret"`
	CreatedAt time.Time `json:"created_at"`
}

// contents is the file.
type contents struct {
	Version        int             `json:"version"`
	SigningKeys    []signingKey    `json:"signing_keys"`
	EncryptionKeys []encryptionKey `json:"encryption_keys"`
	MACKey         []byte          `json:"mac_key"`
	// AuditKey signs the heads of the audit log: Ed25519, in the form of
	// golang.org/x/mod/sumdb/note, with the name of the log in it.
	AuditKey string `json:"audit_key,omitzero"`
	// AuditBegun says that the log of this installation has a signed head: one
	// without must not get another.
	AuditBegun bool `json:"audit_begun,omitzero"`
}

// Ring is the keys in memory. It never prints them and is safe for concurrent
// use.
type Ring struct {
	path   string
	random io.Reader
	now    func() time.Time
	keep   time.Duration
	// The audit key stays the same for the whole life of a log, so it is not
	// read again.
	signer      note.Signer
	verifierKey string
	// In an unexported field of another struct package fmt calls no method but
	// looks inside: there it finds an address.
	state *state
}

// state is what Reload replaces.
type state struct {
	mu       sync.RWMutex
	contents *contents
	file     fs.FileInfo // as it was when it was read
}

func (r *Ring) contents() *contents {
	r.state.mu.RLock()
	defer r.state.mu.RUnlock()
	return r.state.contents
}

// Signing is the key of new tokens: the newest that is not retired.
func (r *Ring) Signing() (kid string, key []byte) {
	k := r.contents().newestSigning()
	return k.KID, k.Secret
}

// SigningKey is the key of a token with this kid: one in use, or one that was
// retired so lately that tokens of its can be good still.
func (r *Ring) SigningKey(kid string) (key []byte, known bool) {
	for _, k := range r.contents().SigningKeys {
		if k.KID == kid && (k.RetiredAt == nil || r.now().Before(k.RetiredAt.Add(r.keep))) {
			return k.Secret, true
		}
	}
	return nil, false
}

// AuditSigner signs heads of the audit log, as C2SP tlog-checkpoint has it.
func (r *Ring) AuditSigner() note.Signer { return r.signer }

// AuditBegun reports whether MarkAuditBegun was ever called.
func (r *Ring) AuditBegun() bool { return r.contents().AuditBegun }

// AuditVerifierKey is the public half, in the form that verifiers take.
func (r *Ring) AuditVerifierKey() string { return r.verifierKey }

// newestSigning is nil when all keys are retired.
func (c contents) newestSigning() *signingKey {
	for i := len(c.SigningKeys) - 1; i >= 0; i-- {
		if c.SigningKeys[i].RetiredAt == nil {
			return &c.SigningKeys[i]
		}
	}
	return nil
}

// MAC authenticates data for one purpose (HMAC-SHA256, RFC 2104). Purpose and
// data are written with their lengths, so that no two lists of them look
// alike.
func (r *Ring) MAC(purpose string, data ...[]byte) []byte {
	mac := hmac.New(sha256.New, r.contents().MACKey)
	for _, part := range append([][]byte{[]byte(purpose)}, data...) {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(part)))
		mac.Write(length[:])
		mac.Write(part)
	}
	return mac.Sum(nil)
}

const hidden = "[keys hidden]"

// String implements fmt.Stringer and hides the keys, of a copy too.
func (r Ring) String() string { return hidden }

// Format implements fmt.Formatter and hides the keys from every verb: %d and
// %#v would look inside.
func (r Ring) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, hidden) }

// LogValue implements slog.LogValuer and hides the keys.
func (r Ring) LogValue() slog.Value { return slog.StringValue(hidden) }
