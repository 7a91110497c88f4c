//go:build unix

package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// lockFolder holds the folder for this program alone, among those that rotate.
func lockFolder(path string) (unlock func() error, err error) {
	folder, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("the folder of the keys cannot be opened: %w", err)
	}
	if err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("the folder of the keys cannot be locked: %w", err), folder.Close())
	}
	return folder.Close, nil // which gives the lock up
}

// giveTo makes the owner of one file that of another: who rotates the keys may
// be another than the one the server runs as. It is the open file that changes
// hands, since its name may lead elsewhere by now.
func giveTo(file *os.File, like fs.FileInfo) error {
	owner, ok := like.Sys().(*syscall.Stat_t)
	if !ok || int(owner.Uid) == os.Geteuid() {
		return nil
	}
	return file.Chown(int(owner.Uid), int(owner.Gid))
}
