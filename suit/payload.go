package suit

// WithoutPayloads returns the envelope without its integrated payloads. They are not
// under the manifest's signature, which holds as before; a device that fetches one
// of them must have the image already (draft-ietf-suit-manifest-37 section 5.4).
func (e *Envelope) WithoutPayloads() *Envelope {
	bare := *e
	bare.integrated = nil
	return &bare
}
