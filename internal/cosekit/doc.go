// Package cosekit is the one place where Tamarack touches CBOR modes and COSE.
//
// Call [Unmarshal] and [Marshal] for strict and deterministic CBOR, [ParsePublicKey]
// for a COSE_Key, [LoadSigner] for a private key in a file, [Sign1], [Sign] and
// [Parse] for COSE_Sign1 and COSE_Sign.
//
// It adds to go-cose what that library does not know: the fully-specified
// algorithms ESP256 (-9) and Ed25519 (-19) of RFC 9864, key thumbprints (RFC 9679),
// and refusal of critical headers that nobody here understands (RFC 9052 section 3.1).
// Messages, manifests and tokens are out of scope; they live in teep, suit and attest.
package cosekit
