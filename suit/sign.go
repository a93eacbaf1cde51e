package suit

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Sign makes an envelope of a manifest and its integrated payloads, by name, and
// signs it: a COSE_Sign1 over the SHA-256 digest of the manifest.
func Sign(m *Manifest, payloads map[string][]byte, signer cosekit.Signer) (*Envelope, error) {
	e, err := NewEnvelope(m, payloads)
	if err != nil {
		return nil, err
	}
	return e.Sign(signer)
}

// NewEnvelope makes an envelope that is not signed yet. What stands in the manifest
// both by its digest and itself is severable: it goes into the envelope.
func NewEnvelope(m *Manifest, payloads map[string][]byte) (*Envelope, error) {
	raw, err := m.Encode(false)
	if err != nil {
		return nil, err
	}
	e := &Envelope{
		tagged: true, manifest: raw,
		elements: map[int64][]byte{}, integrated: map[string][]byte{},
	}
	if e.digest, err = sumWrapped(SHA256, raw); err != nil {
		return nil, err
	}
	e.signed = cosekit.MustMarshal(e.digest)
	for name, payload := range payloads {
		e.integrated[name] = append([]byte{}, payload...)
	}
	if err := e.carrySevered(m); err != nil {
		return nil, at("envelope", err)
	}
	// What the envelope carries must be what the manifest names.
	if _, err := e.UnverifiedManifest(); err != nil {
		return nil, err
	}
	return e, nil
}

// carrySevered takes over the elements that stand in the manifest by their digest.
func (e *Envelope) carrySevered(m *Manifest) error {
	for _, s := range severableElements {
		if m.elementDigest(s) == nil {
			continue
		}
		content, err := m.encodeElement(s)
		if err != nil {
			return at(s.String(), err)
		}
		if content != nil {
			e.elements[int64(s)] = append([]byte{}, content...)
		}
	}
	return nil
}

// Sign returns the envelope with a COSE_Sign1 by the signer. The digest is computed
// again first, and the manifest read: nobody signs what was not looked at
// (draft-ietf-suit-manifest-37 section 8.3).
func (e *Envelope) Sign(signer cosekit.Signer) (*Envelope, error) {
	if len(e.blocks) > 0 {
		return nil, fmt.Errorf("sign: %w", ErrSigned)
	}
	if err := checkDigest(e.digest, e.manifest); err != nil {
		return nil, at("envelope.manifest", err)
	}
	if _, err := e.UnverifiedManifest(); err != nil {
		return nil, err
	}
	block, err := cosekit.Sign1(signer, e.signed, cosekit.Form{Detached: true})
	if err != nil {
		return nil, err
	}
	out := *e
	out.blocks = [][]byte{block}
	return &out, nil
}
