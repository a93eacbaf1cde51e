package cosekit

import "fmt"

// VerifyRaw checks a signature over the bytes of a Sig_structure that the caller has
// built (RFC 9052 section 4.4). It is for tools that show what they would not accept,
// so the legacy algorithms are allowed; whoever acts on a message calls [Parse] and
// [Signed.Verify].
func (k *PublicKey) VerifyRaw(alg Algorithm, structure, signature []byte) error {
	v, err := k.verifier(alg, AllowLegacy)
	if err != nil {
		return err
	}
	if err := v.Verify(structure, signature); err != nil {
		return fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return nil
}
