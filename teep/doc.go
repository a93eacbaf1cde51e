// Package teep encodes, decodes, signs and verifies TEEP messages.
package teep
