package corim

import (
	"errors"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The faults of this package. Each is wrapped with what was found.
var (
	// ErrMalformed: not a CoRIM, or one that contradicts itself.
	ErrMalformed = cosekit.ErrMalformed
	// ErrTooLarge: more than the caps of this package allow.
	ErrTooLarge = errors.New("too large")
	// ErrUnsigned: a file without a signature, where one is wanted.
	ErrUnsigned = errors.New("not signed")
	// ErrSigner: none of the keys at hand made the signature.
	ErrSigner = errors.New("not signed by a trusted reference-value provider")
	// ErrValidity: expired, or not valid yet.
	ErrValidity = errors.New("not valid at this time")
	// ErrConflict: two files give one tag id and version to different content.
	ErrConflict = errors.New("conflicting files")
	// ErrScope: statements about products that their signer does not speak for.
	ErrScope = errors.New("not among the products that the signer speaks for")
	// ErrKey: not a usable public key.
	ErrKey = cosekit.ErrKey
)

// errUnread: a statement that is well-formed and has a part that nothing here can
// compare. Dropping the part would make the statement say more than its author did, so
// the whole statement is left out and told about.
var errUnread = errors.New("not read")
