// Package local is the Verifier that is built into the TAM: it appraises evidence
// itself, with the device attestation keys that operators have registered.
//
// Call [New] with the keys and give [Verifier.Appraise] evidence. What it reads so far
// is the EAT as CWT of RFC 9711, signed by a registered key. Each further format (PSA,
// CCA, SEV-SNP, TDX, TPM, and the bundles that bind a TEEP key to them) is one more
// entry of the table in formats.go.
//
// An error says that nothing could be learnt about the device: a format that is not
// read, bytes that are not an EAT, keys that cannot be looked up. Evidence that was
// read and found wanting – by an unknown key, badly signed, not fresh, incomplete – is
// a contraindicated result with the reason in its vector.
//
// There are no reference values yet, so a result affirms who made the evidence, and
// leaves what runs there unappraised. The TAM compares measurements with the manifests
// that it sent.
package local
