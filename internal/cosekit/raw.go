package cosekit

import "fmt"

// VerifyRaw checks a signature over the bytes of a Sig_structure that the caller has
// built (RFC 9052 section 4.4). It is for tools that show what they would not accept,
// so the legacy algorithms are allowed; whoever acts on a message calls [Parse] and
// [Signed.Verify].
func (k *PublicKey) VerifyRaw(alg Algorithm, structure, signature []byte) error {
	return k.verify(alg, AllowLegacy, structure, signature)
}

// IsMAC reports whether [SecretKey.VerifyRaw] knows the algorithm: an HMAC.
func IsMAC(alg Algorithm) bool { return macs[alg].size > 0 }

// VerifyRaw is [PublicKey.VerifyRaw] for the tag of a MAC_structure (RFC 9052 section
// 6.3), with every HMAC of RFC 9053 section 3.1.
func (k *SecretKey) VerifyRaw(alg Algorithm, structure, tag []byte) error {
	if !IsMAC(alg) {
		return fmt.Errorf("%w: %s is no HMAC", ErrAlgorithm, AlgorithmName(alg))
	}
	secret, err := k.forUse(alg, opMACVerify)
	if err != nil {
		return err
	}
	if !macs[alg].verifies(secret, structure, tag) {
		return fmt.Errorf("%w under key %x", ErrMAC, k.KeyID())
	}
	return nil
}

// UnwrapRaw returns the key of a MAC that an AES Key Wrap has wrapped.
func (k *SecretKey) UnwrapRaw(alg Algorithm, wrapped []byte) (*SecretKey, error) {
	if !IsKeyWrap(alg) {
		return nil, fmt.Errorf("%w: %s is no AES Key Wrap", ErrAlgorithm, AlgorithmName(alg))
	}
	kek, err := k.forUse(alg, opUnwrapKey)
	if err != nil {
		return nil, err
	}
	secret, err := unwrapKey(kek, wrapped)
	if err != nil {
		return nil, err
	}
	return NewSecretKey(secret, nil)
}

// IsKeyWrap reports whether the algorithm is an AES Key Wrap.
func IsKeyWrap(alg Algorithm) bool { return keyWraps[alg] > 0 }
