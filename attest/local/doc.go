// Package local is the Verifier that is built into the TAM: it appraises evidence
// itself, with what operators have registered and imported.
//
// Call [New] with a [Trust] – registered attestation keys, device CAs, and the reference
// values and keys of CoRIM files – and give [Verifier.Appraise] evidence. It reads what
// [Accepts] says: EATs as CWT (RFC 9711), PSA tokens (RFC 9783), CCA tokens, SEV-SNP
// reports, TDX quotes and TPM 2.0 quotes. Each is one entry of the table in formats.go.
// Bound bundles are for an evidence.Router, which asks here for what is inside.
//
// # Errors and results
//
// An error says that nothing could be learnt about the device: a format that is not
// read, bytes that are not what their format says, keys that cannot be looked up.
// Evidence that was read and found wanting – by an unknown key, badly signed, not fresh,
// incomplete, of other software – is a result whose vector has the reason. Claims of
// evidence whose signature is not good are not in the result.
//
// # Who signed
//
// A key counts if it is registered under its thumbprint, which kid names; if a CoRIM file
// endorses it for the ids that the evidence has; or if x5chain leads from it to a
// registered device CA, or to one that a CoRIM file has for that class. A certificate may
// name the device in a URI urn:ueid: or in its serialNumber; the evidence has to be of
// that one then.
//
// The identity of the hardware, which a TAM pins, is the thumbprint of the key that signed;
// where keys change, a digest of the identifier that does not (SEV-SNP, TDX). For PSA and CCA
// it is a SHA-256 of the instance id, the same as from a remote verifier, if the key is
// endorsed or certified for exactly that instance, or the instance id is made of the key. A
// key for a class, or one that is only registered, could sign the instance id of another
// device: there it remains the thumbprint.
//
// # What the elements mean
//
//   - instance-identity: 2 for a trusted signature that answers our challenge; 96 for a
//     key that is not trusted now, or a root of trust that gives its secrets away; 97 for
//     a key that nobody knows; 99 for a bad signature; -97 for evidence that is genuine
//     and not what was asked for.
//   - executables: 2 where all that was measured is a reference value; 3 for a realm of
//     whose extensible measurements nothing is known; 33 where there is no reference
//     value; 96 where it is another one. Of an EAT, components without any reference value
//     do not count unless Options.Strict is set, and the element is 0 where none has one:
//     the TAM compares measurements with the manifests that it sent. A component that
//     reference values name and a PSA or CCA token does not have is told, and 33 if Strict.
//   - hardware: 2 for an implementation that reference values know, else 0.
//   - configuration: 2, 32 for a device that is debugged outside its root of trust, 96
//     for one in any other lifecycle than secured, or of another platform configuration.
//   - runtime-opaque, storage-opaque: 2 where the root of trust keeps its secrets, else 32.
//
// sevsnp.go, tdx.go and tpm.go say what differs there. An element of value 0 has a reason
// too: why nothing is said.
package local
