// Package suit encodes, decodes, signs and verifies SUIT manifests
// (draft-ietf-suit-manifest-37) and reports (draft-ietf-suit-report-18).
//
// On the way in, call [Decode] and then [Envelope.Verify] with the keys that are
// acceptable; the [Verified] that it returns holds the [Manifest]. On the way out,
// fill a Manifest (package suit/author does so from a description) and call [Sign].
// [OpenReport] and [SignReport] do the same for what a device reports back, and
// [Explain] says in words what a report tells.
//
// Encoding is deterministic (RFC 8949 section 4.2.1). Decoding asks for less: map keys in
// order, in their shortest form and each once, and no indefinite lengths; other integers and
// lengths may take more bytes than they need.
//
// The package has the structures of the whole family: the base specification, trust
// domains, update management, firmware encryption, reports and the algorithms of
// draft-ietf-suit-mti. What it does not know it keeps as it came.
//
// Out of scope: running a manifest (suit/processor), what a signer may do
// (devices/anchor), encryption of payloads (suit/author). There is no I/O here.
package suit
