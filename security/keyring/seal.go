package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A sealed value is: version (1 byte), key id (8 bytes), nonce (12 bytes),
// ciphertext and tag.
const (
	sealVersion = 1
	idLength    = 8
	nonceLength = 12
	prefix      = 1 + idLength + nonceLength
)

// errSealed is one answer for everything that can be wrong with a sealed
// value, so that nobody learns from it what was (ASVS 5.0 11.2.5).
var errSealed = errors.New("keyring: the value cannot be decrypted: it was altered, moved, or sealed with a key that is not in keys.json")

// Seal encrypts a value for one place in the database with AES-256-GCM. The
// nonce is random: a key is good for 2^32 values (NIST SP 800-38D §8.3), and an
// installation seals one for each enrolled factor.
func (r *Ring) Seal(plaintext []byte, table, column, rowID string) ([]byte, error) {
	key := newest(r.contents().EncryptionKeys)
	aead, err := gcm(key.Secret)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, prefix, prefix+len(plaintext)+aead.Overhead())
	sealed[0] = sealVersion
	copy(sealed[1:], key.ID)
	nonce := sealed[1+idLength : prefix]
	if _, err := io.ReadFull(r.random, nonce); err != nil {
		return nil, fmt.Errorf("keyring: nonce: %w", err)
	}
	return aead.Seal(sealed, nonce, plaintext, place(table, column, rowID)), nil
}

// Open decrypts what Seal made for the same place. One error stands for
// whatever is wrong.
func (r *Ring) Open(sealed []byte, table, column, rowID string) ([]byte, error) {
	if len(sealed) < prefix || sealed[0] != sealVersion {
		return nil, errSealed
	}
	id := string(sealed[1 : 1+idLength])
	for _, key := range r.contents().EncryptionKeys {
		if key.ID != id {
			continue
		}
		aead, err := gcm(key.Secret)
		if err != nil {
			return nil, err
		}
		plaintext, err := aead.Open(nil, sealed[1+idLength:prefix], sealed[prefix:], place(table, column, rowID))
		if err != nil {
			return nil, errSealed
		}
		return plaintext, nil
	}
	return nil, errSealed
}

func newest(keys []encryptionKey) encryptionKey { return keys[len(keys)-1] }

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return cipher.NewGCM(block)
}

// place is the associated data: a value that was moved to another row does not
// open there. Each part is written with its length.
func place(parts ...string) []byte {
	var data []byte
	for _, part := range parts {
		data = binary.BigEndian.AppendUint64(data, uint64(len(part)))
		data = append(data, part...)
	}
	return data
}
