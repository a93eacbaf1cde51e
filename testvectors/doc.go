// Package testvectors holds test vectors that Tamarack's own encoder makes of stated
// keys, for other implementations to try themselves on: TEEP messages in both
// numberings, SUIT envelopes and reports, EAT evidence and COSE_Keys, good ones and
// ones that must be refused.
//
// Call [Load]. The package imports nothing but the standard library. Users of other
// languages read index.json and the files beside it; docs/testvectors.md tells how.
//
// Published examples of the drafts are out of scope: they are kept elsewhere, and
// tests find them by TEEP_VECTORS.
package testvectors
