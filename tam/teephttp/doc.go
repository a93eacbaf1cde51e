// Package teephttp carries TEEP over HTTP (draft-ietf-teep-otrp-over-http-15) for
// devices: TEEP endpoints, and the payloads that manifests point to.
//
// Call [New] for the handler and [Server] for a server with sound time-outs. The
// handler decides what HTTP can decide (method, media types, size, rate) and leaves
// everything else to package tam. A message that the TAM refuses is answered with
// 204: 5xx is for faults of our own.
//
// TLS, listeners and the operators' API are not here; they have another listener.
package teephttp
