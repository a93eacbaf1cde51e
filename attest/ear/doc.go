// Package ear reads and writes signed Attestation Results: EAR as Veraison issues it (JWT),
// EAR as draft-ietf-rats-ear-03 defines it (JWT and CWT, also as a detached EAT bundle),
// and the EAT with the profile of TEEP (draft-ietf-teep-protocol-26 section 5).
//
// Call [Verify] with the keys of the verifiers that are trusted; it returns an
// attest.Result. [Issuer] makes results of what the built-in verifier has appraised.
//
// Nothing is read before its signature has been verified, and only ECDSA and Ed25519
// count, by keys that the caller holds: keys, certificates and URLs in headers are not
// looked at.
//
// Out of scope: whether a result is about the sender of a message (attest.Bind), and
// whether it is good enough (policy).
package ear
