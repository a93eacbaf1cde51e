package suit

import (
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Sign makes an envelope of a manifest and its integrated payloads, by name, and
// signs it: a COSE_Sign1 over the SHA-256 digest of the manifest.
func Sign(m *Manifest, payloads map[string][]byte, signer cosekit.Signer) (*Envelope, error) {
	e, err := NewEnvelope(m, payloads)
	if err != nil {
		return nil, err
	}
	return e.addSignature(signer)
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

// Sign returns the envelope with a COSE_Sign1 by the signer, its first block.
func (e *Envelope) Sign(signer cosekit.Signer) (*Envelope, error) {
	if len(e.blocks) > 0 {
		return nil, fmt.Errorf("sign: %w; countersign it", ErrSigned)
	}
	if err := e.checkBeforeSigning(); err != nil {
		return nil, err
	}
	return e.addSignature(signer)
}

// Countersign returns the envelope with one more COSE_Sign1 over the same digest, by a
// key that has not signed it yet. Nobody checks here whose the other signatures are.
func (e *Envelope) Countersign(signer cosekit.Signer) (*Envelope, error) {
	if len(e.blocks) == 0 {
		return nil, fmt.Errorf("countersign: %w", ErrNoAuthentication)
	}
	for i, b := range e.UnverifiedBlocks() {
		if b.signed != nil && b.signed.VerifyDetached(e.signed, signer.PublicKey(), cosekit.AllowLegacy) == nil {
			return nil, fmt.Errorf("countersign: %w by this key (block %d)", ErrSigned, i)
		}
	}
	if err := e.checkBeforeSigning(); err != nil {
		return nil, err
	}
	return e.addSignature(signer)
}

func (e *Envelope) addSignature(signer cosekit.Signer) (*Envelope, error) {
	block, err := cosekit.Sign1(signer, e.signed, cosekit.Form{Detached: true})
	if err != nil {
		return nil, err
	}
	return e.withBlock(block), nil
}

// Authenticate returns the envelope with a COSE_Mac0 over the same digest, as its first
// block or one more, under a key that has not been used for it yet.
func (e *Envelope) Authenticate(key *cosekit.SecretKey) (*Envelope, error) {
	for i, b := range e.UnverifiedBlocks() {
		if b.MAC != nil && b.MAC.VerifyDetached(e.signed, key) == nil {
			return nil, fmt.Errorf("authenticate: %w by this key (block %d)", ErrSigned, i)
		}
	}
	if err := e.checkBeforeSigning(); err != nil {
		return nil, err
	}
	block, err := cosekit.Mac0(key, e.signed, cosekit.Form{Detached: true})
	if err != nil {
		return nil, err
	}
	return e.withBlock(block), nil
}

// checkBeforeSigning computes the digest again and reads the manifest: nobody signs
// what was not looked at (draft-ietf-suit-manifest-37 section 8.3).
func (e *Envelope) checkBeforeSigning() error {
	if len(e.blocks) == MaxAuthBlocks {
		return at("envelope.authentication-wrapper", overLimit("%d authentication blocks already", MaxAuthBlocks))
	}
	if err := checkDigest(e.digest, e.manifest); err != nil {
		return at("envelope.manifest", err)
	}
	_, err := e.UnverifiedManifest()
	return err
}

func (e *Envelope) withBlock(block []byte) *Envelope {
	out := *e
	out.blocks = append(slices.Clone(e.blocks), block)
	return &out
}
