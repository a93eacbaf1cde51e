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

	// For manifests only: HSS-LMS (RFC 8778), which is verified and not made here, and
	// ML-DSA (RFC 9964).
	HSSLMS  Algorithm = -46
	MLDSA44 Algorithm = -48
	MLDSA65 Algorithm = -49
	MLDSA87 Algorithm = -50

	LegacyES256 Algorithm = -7
	LegacyEdDSA Algorithm = -8
)

var algorithmNames = map[Algorithm]string{
	ESP256: "ESP256", Ed25519: "Ed25519", LegacyES256: "ES256", LegacyEdDSA: "EdDSA",
	HSSLMS: "HSS-LMS", MLDSA44: "ML-DSA-44", MLDSA65: "ML-DSA-65", MLDSA87: "ML-DSA-87",
	HMAC256: "HMAC 256/256",
	A128GCM: "A128GCM", A192GCM: "A192GCM", A256GCM: "A256GCM", ChaCha20Poly1305: "ChaCha20/Poly1305",
	A128CTR: "A128CTR", A192CTR: "A192CTR", A256CTR: "A256CTR",
	direct: "direct", A128KW: "A128KW", A192KW: "A192KW", A256KW: "A256KW",
	ECDHESA128KW: "ECDH-ES+A128KW", ECDHESA192KW: "ECDH-ES+A192KW", ECDHESA256KW: "ECDH-ES+A256KW",
}

// AlgorithmName returns the registered name, or the number for an algorithm that this
// package does not speak.
func AlgorithmName(a Algorithm) string {
	if name, ok := algorithmNames[a]; ok {
		return name
	}
	return fmt.Sprintf("%d", int64(a))
}

// IsPostQuantum reports whether signatures of a withstand a quantum computer, as far
// as anybody knows: HSS-LMS and ML-DSA.
func IsPostQuantum(a Algorithm) bool {
	switch a {
	case HSSLMS, MLDSA44, MLDSA65, MLDSA87:
		return true
	}
	return false
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
	case ESP256, Ed25519, HSSLMS, MLDSA44, MLDSA65, MLDSA87:
		return alg == key
	case LegacyES256:
		return bool(p) && key == ESP256
	case LegacyEdDSA:
		return bool(p) && key == Ed25519
	}
	return false
}
