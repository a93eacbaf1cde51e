// Package teep is the TEEP protocol on the wire: the five messages of
// draft-ietf-teep-protocol-26, in the numbering of the IANA registry and in that
// of the drafts before it, and their COSE wrapper.
//
// For what was received call [Open], find a key, and [Envelope.Verify]; the message
// comes out of nothing else. For what is to be sent call [Seal], or [SealFor] for
// the QueryRequest to an unknown agent. [Decode] and [Encode] are the codec alone.
//
// Which message answers which, tokens and their life, evidence and manifests are
// out of scope: see tam, agent, attest and suit. There is no I/O here.
package teep
