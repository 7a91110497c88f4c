package db

import (
	"errors"
	"time"

	sqlite3 "github.com/mattn/go-sqlite3"

	"patronus.internal/dashboard/security/secerr"
)

// retryAfter is when a caller may come back: an outside lock or a full disk
// rarely ends sooner.
const retryAfter = 2 * time.Second

// unavailable says that the storage could not take something on now.
func unavailable(cause error) error {
	return secerr.Busy("The database cannot take this on right now; nothing was changed. Try again in a moment.", retryAfter, cause)
}

// storageFailure turns what is the fault of the storage, not of the statement,
// into secerr.Unavailable. Everything else stays what it is.
func storageFailure(err error) error {
	if _, ok := errors.AsType[*secerr.Error](err); ok {
		return err
	}
	if e, ok := errors.AsType[sqlite3.Error](err); ok {
		switch e.Code {
		case sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrFull, sqlite3.ErrIoErr, sqlite3.ErrNomem, sqlite3.ErrInterrupt,
			sqlite3.ErrReadonly, sqlite3.ErrCantOpen, sqlite3.ErrProtocol, sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
			return unavailable(err)
		}
	}
	return err
}

// IsUnique reports whether a statement failed because a value is taken.
func IsUnique(err error) bool {
	e, ok := errors.AsType[sqlite3.Error](err)
	return ok && (e.ExtendedCode == sqlite3.ErrConstraintUnique || e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey)
}
