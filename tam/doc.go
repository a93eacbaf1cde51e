// Package tam is the Trusted Application Manager (RFC 9397): the session machine
// of draft-ietf-teep-protocol-26 section 7.1, the planner, and the ports they need.
//
// For devices, make a [TAM] with [New], call [TAM.Maintain] every minute, and pass
// what comes in at an [Endpoint] to [TAM.ProcessConnect] and [TAM.ProcessTeepMessage];
// package tam/teephttp does so over HTTP. For operators, make a [Fleet].
//
// A message takes its steps in this order, each before the next: strict decoding,
// candidate key, TEEP signature, token or challenge, evidence, binding, and one
// transaction that spends the token, asks the policies, writes what the message changed
// and plans. A result that an agent brings as a passport takes the place of evidence.
// The answer is signed after the commit. Nothing is remembered between messages but
// what the store and the MACed tokens hold, so any replica answers any message.
//
// An [Answer] tells its [Reason] wherever the sender did not get what it hoped for;
// errors are faults of the TAM itself. Whoever has no registered key and no
// affirmed evidence changes nothing here, not even the audit log.
//
// Out of scope: how evidence is verified (attest/local, attest/veraison), what policies
// are written in (internal/expr), and so far rollouts, whose place is the Planner.
package tam
