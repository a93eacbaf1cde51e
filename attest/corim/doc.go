// Package corim reads what makers say of their products: reference values, endorsed values
// and device keys in CoRIM files (draft-ietf-rats-corim), signed and versioned.
//
// Call [Read] for a file and [File.Verify] before believing it; give all that are in force
// to [NewBase], and ask the [Base] about an environment. [FromManifest] makes the
// reference values of a release out of its SUIT manifest, [ParseDescription] reads those of
// anything else from YAML, and [Unsigned.Sign] puts either into a file.
//
// # How the values of each format are expressed
//
// A question names all that is known of the device: a statement matches where each field
// that it gives is equal. Vendor and Model of a statement that has a class id or an instance
// count only if the question has them too. Digests, SVN, Version and Raw are as the file
// has them, and [Reference.Source] says which tag it was.
//
// PSA, and the platform of CCA. Environment.ClassID is the implementation id, 32 bytes,
// as {"psa.impl-id", …} or {"bytes", …}, which are equal. One Reference for each software
// component:
//
//	Key     label ("BL", "PRoT"); empty where the file has no label
//	Signer  signer-id, 32, 48 or 64 bytes
//	Version if given
//	Digests measurement value
//
// The keys (IAK, CPAK) stand under Environment.Instance {"ueid", instance id with its first
// byte 0x01} and usually the ClassID as well. The configuration of a CCA platform is a
// Reference with the Key [KeyPlatformConfig] and Raw.
//
// A CCA realm. Environment.Instance or ClassID as the file chooses, commonly {"bytes", the
// realm's initial measurement}. Keys: [KeyRIM], [KeyRPV] (Raw), "cca.rem0" to "cca.rem3". Older
// files have the personalization value as Raw without a Key, beside integrity registers.
//
// EAT of an agent, and everything made by FromManifest. Environment.ClassID is the SUIT
// class id {"uuid", 16 bytes}; in its absence Vendor is the vendor id as a UUID in text.
// Key is the component id as text ([suit.ComponentID.String], "app/hello"), Digests the
// image digest, Version that which the manifest installs.
//
// TPM 2.0. Environment.ClassID is {"oid", 2.23.133.1.2} (ClassTPM of attest/local); a
// statement about one TPM has as Instance {"bytes", the thumbprint of its attestation key}.
// Key is the number of a PCR ("0" to "23"), from integrity registers or from measurement keys
// that are numbers; Digests has one value for each bank. "firmware-version" has SVN or MinSVN.
// The attestation key or its CA is an [AttestKey].
//
// SEV-SNP. Environment.ClassID is one of attest/local, by who signs. Key "measurement" with the launch digest (sha-384), "host-data" and "id-key-digest"
// likewise where they matter; "tcb" with Raw, the eight bytes of REPORTED_TCB, where a
// device has to have exactly that, or "bootloader", "tee", "snp", "microcode" and "guest-svn"
// with MinSVN. "policy" is Raw under Mask.
//
// TDX. Environment.Vendor and Model are those of attest/local. Key "mrtd", "rtmr0" to "rtmr3", "mrseam" with sha-384 digests; "mrconfigid",
// "mrowner", "xfam" and "tdattributes" with Raw under Mask; "tee-tcb-svn" with Raw.
//
// # What is not read
//
// CoSWID and CoTL tags, conditional endorsements, identity and membership triples are
// kept in [File.Raw] and told about in [File.Unread]. A measurement with a part that has
// no field in Reference (flags, addresses, serial number, ranges, authorized-by) is left
// out as a whole: without that part it would accept more than its author wrote.
//
// The library veraison/corim v1.1.2 is held against this package in tests, and is not used. It drops
// members that it does not know, conditions among them; it accepts neither text as a
// measurement key nor masked values and bare SVNs of the present draft; it shows integrity
// registers through JSON only; it has identity and attestation keys in each other's place,
// so that the older profiles of Arm, which it was used with, are read here from both; and it
// panics on a truncated map head behind a tag and on a short COSE_Key.
//
// Out of scope: appraisal (attest/local) and where files are kept (tam/store).
package corim
