package store

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tamarack-tam/tamarack/tam"
)

// ErrNewerSchema: the database was written by a newer program than this one.
var ErrNewerSchema = errors.New("database schema is newer than this program")

var (
	errEnded  = errors.New("transaction is over: it is not to be kept beyond its function")
	errClosed = fmt.Errorf("%w: it is closed", tam.ErrUnavailable)
)

// fault gives an error of the database its meaning. Every such error comes by here.
func fault(err error) error {
	if err == nil {
		return nil
	}
	var coded *sqlite.Error
	if !errors.As(err, &coded) {
		return fmt.Errorf("%w: %w", tam.ErrUnavailable, err) // a dead connection
	}
	switch code := coded.Code(); {
	case code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return fmt.Errorf("%w: %w", tam.ErrExists, err)
	case code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return fmt.Errorf("%w: a row that this one refers to: %w", tam.ErrNotFound, err)
	case programFaults[code&0xff]:
		return err
	}
	return fmt.Errorf("%w: %w", tam.ErrUnavailable, err)
}

// programFaults are the primary result codes that trying again will not mend.
// All others (busy, full, I/O, corrupt, no memory, …) mean that the store cannot
// do its work.
var programFaults = map[int]bool{
	sqlite3.SQLITE_ERROR:      true,
	sqlite3.SQLITE_CONSTRAINT: true,
	sqlite3.SQLITE_MISMATCH:   true,
	sqlite3.SQLITE_MISUSE:     true,
	sqlite3.SQLITE_RANGE:      true,
	sqlite3.SQLITE_TOOBIG:     true,
}

// about says what an error is about; nil stays nil.
func about(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
