// Package agent is the TEEP Agent (RFC 9397 section 4): it answers the messages of
// the TAMs that the device trusts, and installs what they send.
//
// Make an [Agent] with [New] and give it every message of a session through
// [Agent.ProcessTeepMessage]; what it returns goes back to the TAM. Package
// agent/broker does that over HTTP, agent/tee keeps the components, and agent/device
// puts all three together from a directory.
//
// All trust comes from an anchor.Store: which keys may talk TEEP to this agent, and
// which may sign manifests for which components. A message by anybody else is not
// answered at all. Only bytes that are no TEEP message get an Error, as the draft
// demands; it tells nothing of the device but the key that signs it.
//
// With Config.TAMAttestation a TAM has to attest itself first; with Config.Passports the
// agent keeps an attestation result that a TAM passes back.
//
// Out of scope: trust anchor messages; appraising, which is the work of an
// attest.Verifier.
package agent
