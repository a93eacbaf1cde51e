package anchor

import "errors"

// The faults of this package. Each is wrapped with what was found.
var (
	// ErrUnknown: no anchor with this thumbprint.
	ErrUnknown = errors.New("key is not trusted")
	// ErrPurpose: the anchor is not for this purpose.
	ErrPurpose = errors.New("key is not trusted for this purpose")
	// ErrNotYetValid: the anchor's validity has not begun.
	ErrNotYetValid = errors.New("trust in the key has not begun")
	// ErrExpired: the anchor's validity has ended.
	ErrExpired = errors.New("trust in the key has ended")
	// ErrInvalid: an anchor that contradicts itself.
	ErrInvalid = errors.New("anchor not valid")
	// ErrExists: a second anchor for the same key.
	ErrExists = errors.New("key has an anchor already")
	// ErrMalformed: not the encoding of a store.
	ErrMalformed = errors.New("malformed anchor store")
)
