package cosekit

import "errors"

// The faults of this package. Each is wrapped with what was found.
var (
	// ErrMalformed: not strict CBOR, or not the COSE structure that was asked for.
	ErrMalformed = errors.New("malformed")
	// ErrAlgorithm: an algorithm that is not supported, not allowed here, or does not fit the key.
	ErrAlgorithm = errors.New("algorithm not acceptable")
	// ErrKey: not a usable key.
	ErrKey = errors.New("key not usable")
	// ErrSignature: no signature of the message verifies under the key.
	ErrSignature = errors.New("signature does not verify")
	// ErrCritical: a critical header parameter that is not understood here.
	ErrCritical = errors.New("critical header parameter not understood")
)
