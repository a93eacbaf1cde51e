// Package attest holds the terms of remote attestation (RFC 9334): Evidence, Claims,
// Result, the Verifier port, and the checks that bind a result to a TEEP message.
//
// On the device, fill [Claims] and call [SignEAT]. On the TAM's side, ask [IsResult]
// what an attestation payload is, give Evidence to a [Verifier], and believe its
// [Result] only after [Bind] has returned nil: it is fresh then, vouches for the key that
// signed the message, and is about the device on record. Whether what it says is good
// enough is for [Result.Affirmed], or for policy. [Claims.Document] writes claims for
// policies and people.
//
// Claims are one type for both ends, whatever format they came in. An EAT follows the profile
// of TEEP (draft-ietf-teep-protocol-26 section 5): CBOR only, no tags, one nonce, one
// COSE_Sign1, which [ParseEAT] reads. JSON, detached bundles and unsigned claims sets are no
// EAT of that kind and are refused with a reason.
//
// The rest has packages of its own: attest/evidence reads evidence of every format and leads
// it to its Verifier, which is attest/local, built in, with the reference values of
// attest/corim, or attest/veraison, far away; attest/ear reads and writes signed
// results; attest/policy decides what a result is worth. Encrypted evidence is opened by
// tam before anything here sees it.
package attest
