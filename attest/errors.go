package attest

import (
	"errors"
	"fmt"
)

// Faults of what was sent. Each is wrapped with what was found.
var (
	// ErrToken: bytes that are not what their format has: no EAT that is signed as a
	// COSE_Sign1, no quote, no report.
	ErrToken = errors.New("not evidence of its format")
	// ErrTooLarge: more bytes than this package reads.
	ErrTooLarge = errors.New("evidence too large")
	// ErrClaims: not a claims set, or a claim that is not what its specification says.
	ErrClaims = errors.New("claims not acceptable")
	// ErrProfile: a claim that the EAT profile of TEEP requires is missing.
	ErrProfile = errors.New("required claim missing")
	// ErrMediaType: not a media type.
	ErrMediaType = errors.New("not a media type")
	// ErrFormat: no verifier reads this format.
	ErrFormat = errors.New("evidence format not supported")
)

// Excerpt cuts the text of an error about what was sent: decoders quote what they do not
// understand, which does not belong into logs.
func Excerpt(err error) error {
	if err == nil {
		return nil
	}
	return excerpt{err}
}

// maxExcerpt is how much an error may say, in characters.
const maxExcerpt = 240

type excerpt struct{ error }

func (e excerpt) Error() string { return fmt.Sprintf("%.*s", maxExcerpt, e.error.Error()) }
func (e excerpt) Unwrap() error { return e.error }

// Reasons why [Bind] does not believe a result, in the order of its checks.
var (
	// ErrNonce: the evidence does not answer our challenge.
	ErrNonce = errors.New("nonce is not our challenge")
	// ErrStale: the evidence is older than policy allows, or does not say how old it is.
	ErrStale = errors.New("evidence not fresh")
	// ErrNotYetValid: the evidence is from the future (iat, nbf).
	ErrNotYetValid = errors.New("evidence not yet valid")
	// ErrExpired: the evidence has expired (exp).
	ErrExpired = errors.New("evidence expired")
	// ErrNotAffirmed: the result is not affirming.
	ErrNotAffirmed = errors.New("attestation not affirmed")
	// ErrKeyBinding: the evidence vouches for another key than the one that
	// signed the message, or for none.
	ErrKeyBinding = errors.New("evidence does not vouch for the key of this message")
	// ErrKeyNotCarried: the evidence does not carry the key, and it is not registered.
	ErrKeyNotCarried = errors.New("evidence does not carry the key, which is not registered")
	// ErrDevice: the evidence is about another device, or names none.
	ErrDevice = errors.New("evidence is about another device")
)
