package suit

import (
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The faults of this package. Each is wrapped with what was found and where.
var (
	// ErrMalformed: not the structure that the standard asks for.
	ErrMalformed = cosekit.ErrMalformed
	// ErrLimit: well formed, but beyond a cap of this package.
	ErrLimit = errors.New("over a limit")
	// ErrNoAuthentication: an envelope without an authentication block.
	ErrNoAuthentication = errors.New("the envelope is not signed")
	// ErrNoSignature: no authentication block verifies under an acceptable key.
	ErrNoSignature = errors.New("no signature by an acceptable key")
	// ErrUnknownSigner: a signature that names no key that is acceptable. It comes
	// with ErrNoSignature.
	ErrUnknownSigner = errors.New("the signer is not known")
	// ErrDigest: the manifest or a severed element is not the one that was signed.
	ErrDigest = errors.New("digest does not match")
	// ErrDigestAlgorithm: a digest algorithm that is not supported.
	ErrDigestAlgorithm = errors.New("digest algorithm not supported")
	// ErrSigned: an envelope that is signed already, or by this key.
	ErrSigned = errors.New("the envelope is signed already")
	// ErrSignatureRule: the signatures verify, and others are needed too.
	ErrSignatureRule = errors.New("not enough signatures")
	// ErrNotSeverable: an element that cannot be severed or restored.
	ErrNotSeverable = errors.New("not severable")
	// ErrNotWorthSevering: an element that is no larger than what stays of it.
	ErrNotWorthSevering = errors.New("severing would save nothing")
	// ErrUnprotected: a bare SUIT_Report where a signed one is needed.
	ErrUnprotected = errors.New("the report is not signed")
	// ErrEncrypted: a report that can be read with a key only.
	ErrEncrypted = errors.New("the report is encrypted, and there is no key to decrypt it with")
)

// PathError says in which element of an envelope, manifest or report a fault was
// found, for example "manifest.install[3].override-parameters.uri". The number in
// brackets is the position of a command in its sequence.
type PathError struct {
	Path string
	Err  error
}

func (e *PathError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *PathError) Unwrap() error { return e.Err }

// at puts a step in front of the path of err. It returns nil for nil. A step without a
// name, as that of an empty component id, is left out.
func at(step string, err error) error {
	if err == nil || step == "" {
		return err
	}
	inner, ok := err.(*PathError) // only a direct one carries on the path
	switch {
	case !ok:
		return &PathError{step, err}
	case inner.Path[0] == '[':
		return &PathError{step + inner.Path, inner.Err}
	default:
		return &PathError{step + "." + inner.Path, inner.Err}
	}
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func overLimit(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrLimit, fmt.Sprintf(format, args...))
}
