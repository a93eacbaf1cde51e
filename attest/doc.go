// Package attest holds the terms of remote attestation (RFC 9334): Evidence, Claims,
// Result, the Verifier port, and the checks that bind a result to a TEEP message.
//
// On the device, fill [Claims] and call [SignEAT]. On the TAM's side, ask [IsResult]
// what an attestation payload is, give Evidence to a [Verifier], and believe its
// [Result] only after [Bind] has returned nil. At first contact [ParseEAT] and
// [SignedEAT.UnverifiedClaims] name the key that the TEEP message must be signed with.
//
// Claims are one type for both ends. They follow the EAT profile of TEEP
// (draft-ietf-teep-protocol-26 section 5): CBOR only, no tags, one nonce, one COSE_Sign1.
// JWT, detached bundles and unsigned claims sets are refused with a reason.
//
// Out of scope: verifying keys and reference values, which is the work of a Verifier
// (attest/local; later attest/veraison), attestation results in EAR form, policy over
// results, and encrypted evidence.
package attest
