package db

import (
	"errors"
	"fmt"
	"testing"

	sqlite3 "github.com/mattn/go-sqlite3"

	"patronus.internal/dashboard/security/secerr"
)

// TestStorageFailure: what is the storage's fault is unavailable, for readers as
// well, and keeps its cause; what is the statement's fault stays what it is.
func TestStorageFailure(t *testing.T) {
	for code, unavailable := range map[sqlite3.ErrNo]bool{
		sqlite3.ErrBusy: true, sqlite3.ErrLocked: true, sqlite3.ErrFull: true, sqlite3.ErrIoErr: true,
		sqlite3.ErrNomem: true, sqlite3.ErrInterrupt: true, sqlite3.ErrReadonly: true, sqlite3.ErrCantOpen: true,
		sqlite3.ErrProtocol: true, sqlite3.ErrCorrupt: true, sqlite3.ErrNotADB: true,
		sqlite3.ErrConstraint: false, sqlite3.ErrError: false, sqlite3.ErrMismatch: false,
	} {
		cause := fmt.Errorf("read: %w", sqlite3.Error{Code: code})
		err := storageFailure(cause)
		if !errors.Is(err, cause) || secerr.Is(err, secerr.Unavailable) != unavailable {
			t.Errorf("%v becomes %v", cause, err)
		}
	}
	refusal := secerr.Wrap(secerr.Conflict, "Taken.", sqlite3.Error{Code: sqlite3.ErrBusy})
	if err := storageFailure(refusal); err != error(refusal) {
		t.Errorf("a refusal becomes %v", err)
	}
	if err := storageFailure(nil); err != nil {
		t.Errorf("nothing becomes %v", err)
	}
}
