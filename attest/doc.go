// Package attest holds the terms of remote attestation (RFC 9334): Evidence, Claims,
// Result, the Verifier port, and the checks that bind a result to a TEEP message.
package attest
