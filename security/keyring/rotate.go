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

// Rotate puts a new signing key in the place of the one in use and returns its
// kid. Tokens of the old one stay good until they expire, unless dropOld says
// that somebody may have read it: then they are dead. A key that was retired
// longer than Options.Keep ago has none left and is dropped. record is called
// with the kid when the new file is written but not yet in place, and with an
// error of its own nothing is changed. Of several programs that rotate at once,
// each adds its key. With a kid and an error, the new keys are in place.
func Rotate(path string, o Options, dropOld bool, record func(kid string) error) (kid string, err error) {
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", fmt.Errorf("the keys cannot be found: %w", err)
	}
	unlock, err := lockFolder(filepath.Dir(path))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := removeLeftovers(filepath.Dir(path), o.Now()); err != nil {
		return "", err
	}
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
		if !dropOld && now.Before(k.RetiredAt.Add(o.Keep)) {
			next.SigningKeys = append(next.SigningKeys, k)
		}
	}
	next.SigningKeys = append(next.SigningKeys, signingKey{KID: kid, Algorithm: "HS256", Secret: random[idLength/2:], CreatedAt: now})
	written, err := writeBeside(path, next, info)
	if err != nil {
		return "", fmt.Errorf("the new keys cannot be written: %w", err)
	}
	if err := record(kid); err != nil {
		return "", errors.Join(err, os.Remove(written))
	}
	if err := os.Rename(written, path); err != nil {
		return "", errors.Join(fmt.Errorf("the new keys cannot be put in place: %w", err), os.Remove(written))
	}
	return kid, syncFolder(filepath.Dir(path))
}

// removeLeftovers removes the files of programs that died while they wrote keys.
// One that is a minute old is nobody's work any more.
func removeLeftovers(folder string, now time.Time) error {
	names, err := filepath.Glob(filepath.Join(folder, ".keys-*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		info, err := os.Lstat(name)
		if err != nil || now.Sub(info.ModTime()) < time.Minute {
			continue
		}
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("keys that another program left behind cannot be removed: %w", err)
		}
	}
	return nil
}
