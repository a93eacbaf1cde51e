// Package attester makes evidence with the hardware of a device (RFC 9334 section 3.1).
//
// Call [Bound] with a [Quoter] and the claims of the device to get an agent.Attester. Such
// evidence is a bound bundle: the claims set of the device, with the TAM's challenge and
// the agent's key in it, and evidence of the hardware whose nonce is the digest of that
// claims set. There are three Quoters: a [TPM], a [TSM] (SEV-SNP and TDX guests under
// Linux), and [PSA], which is software in the shape of a PSA root of trust.
//
// Out of scope: EATs signed by software (agent/tee), and the appraisal of what is made
// here (attest/local).
package attester
