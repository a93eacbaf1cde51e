// Package suit encodes, decodes, signs and verifies SUIT manifests.
package suit
