// Package client is the Go client of the operators' API, generated from
// tam/api/openapi.yaml. Call [NewClientWithResponses] first, with
// [WithRequestEditorFn] adding the bearer token; the token and everything about
// how to show results is the caller's.
package client
