// Package localtest makes hardware that exists in software only: PSA and CCA roots of
// trust that attest, authorities that certify their keys, and the CoRIM files that their
// maker would publish. It is for tests and demonstrations of the built-in verifier; its
// keys are derived from names, so anybody can have them.
//
// Call [NewPSA] or [NewCCA] for a device, [Bundle] to bind its evidence to a TEEP key,
// [NewCA] for certificates, and fill a [Trust] with what the verifier is to believe.
package localtest
