// Package inspect shows people what a CBOR or COSE object of the TEEP family is and
// what stands in it: names instead of numbers, nested objects opened, signatures and
// digests judged, faults listed.
//
// Call [ReadInput] on what a file holds, then [Inspect]; [Result.WriteText] writes
// the tree, and the Result itself is the same as data. [Diagnose] writes diagnostic
// notation instead.
//
// The reader is lenient: it shows what the decoders of teep, suit and attest refuse,
// lists what is wrong with it as [Lint], and asks those decoders for their own
// opinion ([Opinion]). Nothing that it returns is a reason to trust an object:
// whoever acts on one takes it from a strict decoder.
//
// Out of scope: decryption (but for the wrapped key of a MAC), and
// certificate chains.
package inspect
