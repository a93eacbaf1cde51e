package cosekit

// UnderLegacyName returns the signer under the polymorphic name of its algorithm,
// ES256 or EdDSA (RFC 9053 section 2), for peers that know no other. The signatures
// are the same.
func UnderLegacyName(s Signer) Signer { return legacySigner{s} }

type legacySigner struct{ Signer }

func (s legacySigner) Algorithm() Algorithm {
	switch alg := s.Signer.Algorithm(); alg {
	case ESP256:
		return LegacyES256
	case Ed25519:
		return LegacyEdDSA
	default:
		return alg // it has one name only
	}
}
