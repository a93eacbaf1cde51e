// Package evidence reads evidence of every format that Tamarack knows, and brings it
// before the Verifier that appraises it.
//
// Call [Read] to learn what evidence says: nonce, key, identity, claims. It verifies no
// signature; what it returns may name the key to try, and is to be believed only for
// bytes that a Verifier has found genuine. A Verifier that needs more than the claims
// calls the parser of the format, such as [ParsePSA]. A [Router] is the attest.Verifier
// that a TAM is configured with. A device makes a bound bundle with [BindingDigest] and
// [EncodeBundle].
//
// Each format is one entry of the table in formats.go. Libraries get bytes only after
// cosekit has found them to be strict CBOR within its caps, and a panic of theirs is a
// refusal. Out of scope: trust in keys and certificates (attest/local), remote verifiers
// (attest/veraison).
package evidence
