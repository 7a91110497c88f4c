package keyring

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Rotate puts a new signing key in front of the others and returns its kid.
// Tokens of the key from before stay good until they expire; a key that was
// retired longer than keep ago has none left and is dropped. record is called
// with the kid when the new file is written but not yet in place, and with an
// error of its own nothing is changed. Of several programs that rotate at once,
// each adds its key.
func Rotate(path string, o Options, keep time.Duration, record func(kid string) error) (kid string, err error) {
	unlock, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	current, info, err := readKeys(path)
	if err != nil {
		return "", err
	}
	random := make([]byte, idLength/2+keyLength)
	if _, err := io.ReadFull(o.Rand, random); err != nil {
		return "", fmt.Errorf("draw a key: %w", err)
	}
	kid = hex.EncodeToString(random[:idLength/2])
	now := o.Now().UTC().Truncate(time.Second)
	next := *current
	next.SigningKeys = nil
	for _, k := range current.SigningKeys {
		if k.RetiredAt == nil {
			k.RetiredAt = &now
		}
		if now.Before(k.RetiredAt.Add(keep)) {
			next.SigningKeys = append(next.SigningKeys, k)
		}
	}
	next.SigningKeys = append(next.SigningKeys, signingKey{KID: kid, Algorithm: "HS256", Secret: random[idLength/2:], CreatedAt: now})
	written, err := writeBeside(path, next)
	if err != nil {
		return "", fmt.Errorf("the new keys cannot be written: %w", err)
	}
	if err := giveTo(written, info); err != nil {
		return "", errors.Join(fmt.Errorf("the new keys cannot be given to the owner of %s: %w", path, err), os.Remove(written))
	}
	if err := record(kid); err != nil {
		return "", errors.Join(err, os.Remove(written))
	}
	if err := os.Rename(written, path); err != nil {
		return "", errors.Join(fmt.Errorf("the new keys cannot be put in place: %w", err), os.Remove(written))
	}
	return kid, syncFolder(filepath.Dir(path))
}
