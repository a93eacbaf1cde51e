// Package cosekit is the one place where Tamarack touches CBOR modes and COSE.
//
// Call [Validate] on what came from somebody else and read it with [Elements],
// [Pairs] and their likes, or [Unmarshal] where the laxer library will do; write
// with [Marshal]. [ParsePublicKey] reads a COSE_Key, [LoadSigner] a private key in a
// file; [Sign1], [Sign] and [Parse] are for COSE_Sign1 and COSE_Sign, [Mac0] and
// [ParseMAC] for COSE_Mac0 and COSE_Mac, [Encryption] and [ParseEncrypted] for
// COSE_Encrypt.
//
// It adds to go-cose what that library does not know: the fully-specified
// algorithms ESP256 (-9) and Ed25519 (-19) of RFC 9864, HSS-LMS (RFC 8778) and ML-DSA
// (RFC 9964) for manifests, MACs and encryption, key thumbprints (RFC 9679), and
// refusal of critical headers that nobody here understands (RFC 9052 section 3.1).
// Messages, manifests and tokens are out of scope; they live in teep, suit and attest.
package cosekit
