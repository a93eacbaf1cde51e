package tee

import "errors"

// The faults of this package; test with errors.Is.
var (
	// ErrLocked: another process uses the directory.
	ErrLocked = errors.New("directory in use")
	// ErrDamaged: a file is not what this package wrote.
	ErrDamaged = errors.New("damaged")
	// ErrTooNew: the directory was written by a newer version of this program.
	ErrTooNew = errors.New("written by a newer version")
	// ErrBroken: a commit failed half-way, so only the disk knows which state holds.
	// Close the store and open it again.
	ErrBroken = errors.New("store must be opened again")
	// ErrFinished: the transaction was committed or rolled back before.
	ErrFinished = errors.New("transaction is finished")
	// ErrAmbiguous: an id would name an image and a manifest.
	ErrAmbiguous = errors.New("id has two meanings")
	// ErrFull: a bounded list has no room left.
	ErrFull = errors.New("limit reached")
)
