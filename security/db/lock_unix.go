//go:build unix

package db

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockPoll is how often a start looks whether another one is done preparing
// the file.
const lockPoll = 20 * time.Millisecond

// lockFile lets one process at a time check and migrate the file. The lock
// ends with the process that holds it, however it ends.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the database cannot be locked: %w", err)
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil // closing it unlocks
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("the database cannot be locked: %w", err), file.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(lockPoll):
		}
	}
}

// accessible reports whether this user may read and write the file. It opens
// nothing.
func accessible(path string) bool {
	const readAndWrite = 0o6 // R_OK|W_OK of access(2)
	return syscall.Access(path, readAndWrite) == nil
}
