package suit

// MeasureDigest computes the digest of the manifest from the bytes at hand, as the
// signer did (draft-ietf-suit-manifest-37 section 8.3). It is for those who keep an
// envelope and report what they hold; [Envelope.Digest] is what the envelope claims.
func (e *Envelope) MeasureDigest() (Digest, error) {
	return sumWrapped(e.digest.Algorithm, e.manifest)
}
