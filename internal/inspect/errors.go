package inspect

import "errors"

// The faults of this package. Each is wrapped with what was found.
var (
	// ErrNotCBOR: neither CBOR, nor a JWT, nor text that stands for either.
	ErrNotCBOR = errors.New("not CBOR")
	// ErrTooLarge: beyond the caps of this package.
	ErrTooLarge = errors.New("too large to inspect")
	// ErrKind: a kind that this package does not know.
	ErrKind = errors.New("unknown kind")
)
