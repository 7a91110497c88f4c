package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"

	"patronus.internal/dashboard/security/merkle"
)

// leafVersion begins every leaf, so that no other thing that is hashed passes for
// an event, and a later form not for this one.
const leafVersion = "patronus-audit-event/1"

const (
	// saltLength is 128 bits: nobody guesses a salt, so nobody tries addresses
	// against a hash whose salt is gone.
	saltLength = 16
	hashLength = sha256.Size
)

// seal is what hides personal fields from the leaf: a salt of 16 bytes, or what is
// left of it once the fields are erased, the hash of each (all zero for one that
// was null). Nil where all of them are null.
type seal []byte

func (s seal) erased() bool { return len(s) > saltLength }

// row is an event with all that its leaf holds.
type row struct {
	seq, timeUS                    int64
	kind, severity                 string
	success                        bool
	userID, email, ip, agent       string
	sessionID, keyID, requestID    string
	details, personal              string // JSON objects; personal is "" when nothing is
	actorSeal, detailsSeal         seal
	actorErasedBy, detailsErasedBy int64 // 0 while they are there
}

// leaf is the hash under which the event stands in the tree.
//
// The data of the leaf are fields, each with its length in bytes before it, as 32
// bits, big-endian; a field that is null has the length 2³²−1 and no bytes. Fields,
// in this order: "patronus-audit-event/1", sequence number and time (microseconds
// since the epoch) in decimal, event_type, severity, success ("true" or "false"),
// user_id, session_id, api_key_id, request_id, the details that are not personal
// as stored, and the commitments to email, ip_address, user_agent and the personal
// details.
func (r *row) leaf() merkle.Hash {
	data := make([]byte, 0, 512)
	data = appendField(data, leafVersion)
	data = appendField(data, strconv.FormatInt(r.seq, 10))
	data = appendField(data, strconv.FormatInt(r.timeUS, 10))
	data = appendField(data, r.kind)
	data = appendField(data, r.severity)
	if r.success {
		data = appendField(data, "true")
	} else {
		data = appendField(data, "false")
	}
	for _, id := range [...]string{r.userID, r.sessionID, r.keyID, r.requestID} {
		data = appendNullable(data, id)
	}
	data = appendField(data, r.details)
	data = appendCommitments(data, r.actorSeal, actorFields, r.actorValues())
	data = appendCommitments(data, r.detailsSeal, detailsFields, r.detailsValues())
	return merkle.Leaf(data)
}

// The names under which personal fields are committed to.
var (
	actorFields   = []string{"email", "ip_address", "user_agent"}
	detailsFields = []string{"personal_details"}
)

func (r *row) actorValues() []string   { return []string{r.email, r.ip, r.agent} }
func (r *row) detailsValues() []string { return []string{r.personal} }

// appendCommitments writes a field for each value: what it is committed to with.
// One that is null is null here too, and so can be seen to be.
func appendCommitments(data []byte, s seal, names, values []string) []byte {
	for i, name := range names {
		hash := s.commitment(i, name, values[i])
		if hash == (merkle.Hash{}) {
			data = appendNull(data)
			continue
		}
		data = appendLength(data, hashLength)
		data = append(data, hash[:]...)
	}
	return data
}

// commitment is SHA-256(salt ‖ name ‖ 0 ‖ value), zero for a null value. Salts have
// one length and names no zero byte, so no two values look alike. Of a field that
// was erased it is what was kept, unless something stands in the field again: then
// it is what no leaf has.
func (s seal) commitment(i int, name, value string) merkle.Hash {
	if s.erased() {
		if value != "" || len(s) < (i+1)*hashLength {
			return merkle.Hash{0xff}
		}
		return merkle.Hash(s[i*hashLength : (i+1)*hashLength])
	}
	if value == "" {
		return merkle.Hash{}
	}
	var buffer [512]byte
	data := append(buffer[:0], s...)
	data = append(data, name...)
	data = append(data, 0)
	data = append(data, value...)
	return sha256.Sum256(data)
}

// leavings is the seal of fields once they are erased.
func (s seal) leavings(names, values []string) seal {
	if s == nil || s.erased() {
		return s
	}
	left := make(seal, 0, len(names)*hashLength)
	for i, name := range names {
		hash := s.commitment(i, name, values[i])
		left = append(left, hash[:]...)
	}
	return left
}

func appendLength(data []byte, n int) []byte {
	return binary.BigEndian.AppendUint32(data, uint32(n))
}

func appendField(data []byte, value string) []byte {
	return append(appendLength(data, len(value)), value...)
}

func appendNull(data []byte) []byte { return binary.BigEndian.AppendUint32(data, ^uint32(0)) }

// appendNullable takes "" for null, as the log does.
func appendNullable(data []byte, value string) []byte {
	if value == "" {
		return appendNull(data)
	}
	return appendField(data, value)
}

// sealed reports whether the seals have the form that this program gives them.
func (r *row) sealed() bool {
	return r.actorSeal.fits(r.actorValues(), r.actorErasedBy) && r.detailsSeal.fits(r.detailsValues(), r.detailsErasedBy)
}

func (s seal) fits(values []string, erasedBy int64) bool {
	empty := true
	for _, value := range values {
		empty = empty && value == ""
	}
	switch len(s) {
	case 0:
		return empty && erasedBy == 0
	case saltLength:
		return !empty && erasedBy == 0
	case len(values) * hashLength:
		return empty && erasedBy > 0
	}
	return false
}
