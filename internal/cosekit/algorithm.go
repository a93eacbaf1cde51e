package cosekit

import (
	"fmt"

	"github.com/veraison/go-cose"
)

// Algorithm is a COSE algorithm identifier.
type Algorithm = cose.Algorithm

// The signature algorithms that Tamarack speaks (RFC 9864), and the polymorphic
// ones of RFC 9053 that stand for them in older messages.
const (
	ESP256  Algorithm = -9
	Ed25519 Algorithm = -19

	// HSSLMS is verified only (RFC 8778); the ML-DSA ones are of draft-ietf-cose-dilithium.
	HSSLMS  Algorithm = -46
	MLDSA44 Algorithm = -48
	MLDSA65 Algorithm = -49
	MLDSA87 Algorithm = -50

	LegacyES256 Algorithm = -7
	LegacyEdDSA Algorithm = -8
)

// AlgorithmName returns the registered name, or the number for an unknown one.
func AlgorithmName(a Algorithm) string {
	switch a {
	case ESP256:
		return "ESP256"
	case Ed25519:
		return "Ed25519"
	case LegacyES256:
		return "ES256"
	case LegacyEdDSA:
		return "EdDSA"
	}
	return fmt.Sprintf("%d", int64(a))
}

// LegacyPolicy says whether ES256 (-7) and EdDSA (-8) may stand for ESP256 and
// Ed25519. The zero value refuses them.
type LegacyPolicy bool

// AllowLegacy accepts ES256 under a P-256 key and EdDSA under an Ed25519 key.
const AllowLegacy LegacyPolicy = true

// fits reports whether a message that names alg may be checked under a key of
// algorithm key.
func (p LegacyPolicy) fits(alg, key Algorithm) bool {
	switch alg {
	case ESP256, Ed25519:
		return alg == key
	case LegacyES256:
		return bool(p) && key == ESP256
	case LegacyEdDSA:
		return bool(p) && key == Ed25519
	}
	return false
}
