// Package api serves the operators' REST API over a [tam.Fleet].
//
// openapi.yaml is written first; the server's and the client's code is generated
// from it. Call [LoadOrCreateToken] for the bearer token, then [New] for the
// handler, which [Server] puts on a listener.
//
// Devices do not come here: they speak TEEP through tam/teephttp. Accounts, roles,
// ETags, idempotency keys and live events are out of scope so far.
package api

//go:generate go tool oapi-codegen -config server.cfg.yaml openapi.yaml
//go:generate go tool oapi-codegen -config client.cfg.yaml openapi.yaml
