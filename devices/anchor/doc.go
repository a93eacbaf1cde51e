// Package anchor is the trust anchor store of an agent, and of the TAM itself.
package anchor
