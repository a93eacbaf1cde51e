// Package broker is the TEEP Broker (RFC 9397 section 6): it carries messages between
// an agent and its TAM over HTTP (draft-ietf-teep-otrp-over-http-15).
//
// Make a [Broker] with [New]; [Broker.Poll] holds one session, [Broker.Run] one after
// the other until its context ends. The broker is not trusted: it sees signed
// messages and understands none of them.
//
// Out of scope: choosing between several TAMs, and what is inside the messages.
package broker
