package keyring

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// defaultAuditName is that of a log whose address nobody said.
const defaultAuditName = "localhost/audit"

func newAuditKey(o Options) (string, error) {
	name := o.AuditName
	if name == "" {
		name = defaultAuditName
	}
	key, _, err := note.GenerateKey(o.Rand, name)
	if err != nil {
		return "", fmt.Errorf("draw the key of the audit log: %w", err)
	}
	if _, err := note.NewSigner(key); err != nil {
		return "", fmt.Errorf("%q cannot be the name of a log", name)
	}
	return key, nil
}

// parseAuditKey takes a key apart. Its errors do not quote it.
func parseAuditKey(key string) (note.Signer, string, error) {
	bad := errors.New("the key of the audit log is not one that signs notes")
	signer, err := note.NewSigner(key)
	if err != nil {
		return nil, "", bad
	}
	// PRIVATE+KEY+name+hash+base64(algorithm, seed)
	parts := strings.SplitN(key, "+", 5)
	if len(parts) != 5 {
		return nil, "", bad
	}
	raw, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(raw) != 1+ed25519.SeedSize {
		return nil, "", bad
	}
	public, ok := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	if !ok {
		return nil, "", bad
	}
	verifierKey, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return nil, "", bad
	}
	return signer, verifierKey, nil
}

// addAuditKey gives a file from before there was one its key. Of several programs
// that do so at once, one is first and the others find its key.
func addAuditKey(path string, o Options) error {
	return amend(path, func(c *contents) (changed bool, err error) {
		if c.AuditKey != "" {
			return false, nil
		}
		c.AuditKey, err = newAuditKey(o)
		return true, err
	})
}

// MarkAuditBegun notes that the log has a signed head.
func (r *Ring) MarkAuditBegun() error {
	err := amend(r.path, func(c *contents) (changed bool, err error) {
		changed = !c.AuditBegun
		c.AuditBegun = true
		return changed, nil
	})
	if err != nil {
		return fmt.Errorf("that the audit log has begun cannot be noted in %s: %w", r.path, err)
	}
	_, err = r.Reload()
	return err
}

// amend changes the file, one program at a time.
func amend(path string, change func(*contents) (changed bool, err error)) (err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	unlock, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	current, info, err := readKeys(path)
	if err != nil {
		return err
	}
	next := *current
	changed, err := change(&next)
	if err != nil || !changed {
		return err
	}
	written, err := writeBeside(path, next, info)
	if err != nil {
		return err
	}
	if err := os.Rename(written, path); err != nil {
		return errors.Join(err, os.Remove(written))
	}
	return syncFolder(filepath.Dir(path))
}

// AuditVerifierKey reads the public key of the audit log from a file of keys, and
// changes nothing.
func AuditVerifierKey(path string) (string, error) {
	parsed, _, err := readKeys(path)
	if err != nil {
		return "", err
	}
	if parsed.AuditKey == "" {
		return "", fmt.Errorf("the keys in %s are of a version whose log was not signed. Start the server once", path)
	}
	_, verifierKey, err := parseAuditKey(parsed.AuditKey)
	return verifierKey, err
}
