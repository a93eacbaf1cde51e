// Package evidence reads evidence of every format that Tamarack knows, and brings it
// before the Verifier that appraises it.
//
// Call [Read] to learn what evidence says: nonce, key, identity, claims. It verifies no
// signature; what it returns may name the key to try, and is to be believed only for
// bytes that a Verifier has found genuine. A [Router] is the attest.Verifier that a TAM
// is configured with.
//
// Each format is one entry of the table in formats.go. Out of scope: signatures and
// certificates (attest/local), remote verifiers (attest/veraison).
package evidence
