package cosekit

// VerifyRaw checks a signature over the bytes of a Sig_structure that the caller has
// built (RFC 9052 section 4.4). It is for tools that show what they would not accept,
// so the legacy algorithms are allowed; whoever acts on a message calls [Parse] and
// [Signed.Verify].
func (k *PublicKey) VerifyRaw(alg Algorithm, structure, signature []byte) error {
	return k.verify(alg, AllowLegacy, structure, signature)
}
