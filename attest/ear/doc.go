// Package ear reads and writes signed Attestation Results: EAR as Veraison issues it (JWT),
// EAR as draft-ietf-rats-ear-03 defines it (JWT and CWT), and the EAT with the profile of
// TEEP (draft-ietf-teep-protocol-26 section 5).
//
// Call [Verify] with the keys of the verifiers that are trusted; it returns an
// attest.Result. [Issuer] makes results of what the built-in verifier has appraised.
//
// Out of scope: whether a result is about the sender of a message (attest.Bind), and
// whether it is good enough (policy).
package ear
