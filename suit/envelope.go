package suit

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// The media types of SUIT (draft-ietf-suit-manifest-37 section 11.9,
// draft-ietf-suit-report-18 section 9.2).
const (
	MediaTypeEnvelope = "application/suit-envelope+cose"
	MediaTypeReport   = "application/suit-report+cose"
)

// Keys of a SUIT_Envelope; those of severed elements are the ones of the manifest.
const (
	keyAuthentication = 2
	keyManifest       = 3
)

// envelopeTag is the head of tag 107 (section 8.2).
var envelopeTag = []byte{0xd8, 0x6b}

// Envelope is a SUIT_Envelope (draft-ietf-suit-manifest-37 section 8.2). Nothing in
// it is authenticated: [Envelope.Verify] gives its content to those who act on it.
// An Envelope does not change once it is made.
type Envelope struct {
	tagged bool
	// digest is the SUIT_Digest that the blocks sign, signed its encoding.
	digest Digest
	signed []byte
	blocks [][]byte
	// manifest, elements and integrated are the contents of byte strings, as they came.
	manifest   []byte
	elements   map[int64][]byte
	integrated map[string][]byte
}

// Decode reads an envelope, tagged 107 or not. It looks at the envelope and its
// authentication wrapper only; the manifest inside stays closed.
func Decode(data []byte) (*Envelope, error) {
	content, tagged := bytes.CutPrefix(data, envelopeTag)
	e := &Envelope{tagged: tagged, elements: map[int64][]byte{}, integrated: map[string][]byte{}}
	if err := e.decode(content); err != nil {
		return nil, at("envelope", err)
	}
	return e, nil
}

func (e *Envelope) decode(content []byte) error {
	if err := cosekit.Validate(content); err != nil {
		return err
	}
	// Deterministic order puts the authentication wrapper before the manifest, as
	// section 8.3 demands.
	if err := decodeMap(content, true, e.decodeElement); err != nil {
		return err
	}
	switch {
	case e.signed == nil:
		return at("authentication-wrapper", malformed("missing"))
	case e.manifest == nil:
		return at("manifest", malformed("missing"))
	}
	return nil
}

func (e *Envelope) decodeElement(key, value []byte) error {
	if cosekit.Major(key) == cosekit.MajorText {
		name, err := cosekit.Text(key)
		if err != nil {
			return err
		}
		payload, err := cosekit.Bytes(value)
		if err == nil {
			e.integrated[name] = payload
		}
		return at(fmt.Sprintf("integrated payload %q", name), err)
	}
	n, err := cosekit.Int(key)
	if err != nil {
		return malformed("map key that is neither an integer nor text")
	}
	content, err := cosekit.Bytes(value)
	if err != nil {
		return at(envelopeStep(n), err)
	}
	switch n {
	case keyAuthentication:
		err = e.decodeAuthentication(content)
	case keyManifest:
		e.manifest = content
		err = checkSize(content)
	default:
		e.elements[n] = content
		err = checkSize(content)
	}
	return at(envelopeStep(n), err)
}

func envelopeStep(key int64) string {
	switch key {
	case keyAuthentication:
		return "authentication-wrapper"
	case keyManifest:
		return "manifest"
	}
	return manifestStep(key)
}

func checkSize(element []byte) error {
	if len(element) > MaxManifestSize {
		return overLimit("%d bytes, at most %d", len(element), MaxManifestSize)
	}
	return nil
}

// decodeAuthentication reads a SUIT_Authentication (section 8.3).
func (e *Envelope) decodeAuthentication(raw []byte) error {
	if err := cosekit.Validate(raw); err != nil {
		return err
	}
	items, err := cosekit.Elements(raw)
	if err != nil {
		return err
	}
	if len(items) == 0 {
		return malformed("no digest")
	}
	if len(items) > 1+MaxAuthBlocks {
		return overLimit("%d authentication blocks, at most %d", len(items)-1, MaxAuthBlocks)
	}
	if e.signed, err = decodeWrapped(items[0]); err != nil {
		return at("digest", err)
	}
	if e.digest, err = decodeDigest(e.signed); err != nil {
		return at("digest", err)
	}
	for i, item := range items[1:] {
		block, err := cosekit.Bytes(item)
		if err != nil {
			return at(fmt.Sprintf("[%d]", i+1), err)
		}
		e.blocks = append(e.blocks, block)
	}
	return nil
}

// Encode returns the deterministic encoding, tagged 107 as files and fetched
// dependencies are, or bare as in a TEEP Update. The manifest and all that is signed
// stay as they are, bit for bit.
func (e *Envelope) Encode(tagged bool) ([]byte, error) {
	wrapper := make([][]byte, 0, 1+len(e.blocks))
	wrapper = append(append(wrapper, e.signed), e.blocks...)
	authentication, err := cosekit.Marshal(wrapper)
	if err != nil {
		return nil, err
	}
	out := map[itemKey][]byte{
		intKey(keyAuthentication): authentication,
		intKey(keyManifest):       e.manifest,
	}
	for key, element := range e.elements {
		out[intKey(key)] = element
	}
	for name, payload := range e.integrated {
		out[itemKey(cosekit.MustMarshal(name))] = payload
	}
	raw, err := cosekit.Marshal(out)
	if err == nil && tagged {
		raw = append(bytes.Clone(envelopeTag), raw...)
	}
	return raw, err
}

func intKey(n int64) itemKey { return itemKey(cosekit.MustMarshal(n)) }

// Tagged reports whether the envelope came with tag 107.
func (e *Envelope) Tagged() bool { return e.tagged }

// Digest returns the digest of the manifest that the envelope claims. Nobody has
// compared it with the manifest; [Envelope.MeasureDigest] computes it.
func (e *Envelope) Digest() Digest { return e.digest }

// MeasureDigest computes the digest of the manifest from the bytes at hand, as the
// signer did (section 8.3). It is for those who keep an envelope and report what
// they hold.
func (e *Envelope) MeasureDigest() (Digest, error) {
	return e.MeasureDigestBy(e.digest.Algorithm)
}

// MeasureDigestBy is MeasureDigest by an algorithm that need not be the signer's.
func (e *Envelope) MeasureDigestBy(algorithm DigestAlgorithm) (Digest, error) {
	return sumWrapped(algorithm, e.manifest)
}

// IntegratedNames returns the names of the integrated payloads, sorted.
func (e *Envelope) IntegratedNames() []string {
	return slices.Sorted(maps.Keys(e.integrated))
}

// UnverifiedIntegrated returns the integrated payload of that name for people to look
// at; to act on it take it from a [Verified]. It must not be changed.
func (e *Envelope) UnverifiedIntegrated(name string) ([]byte, bool) {
	payload, ok := e.integrated[name]
	return payload, ok
}

// UnverifiedManifest decodes the manifest for people to look at, and for a signer to
// check. Nobody has authenticated it; to act on a manifest take it from a [Verified].
func (e *Envelope) UnverifiedManifest() (*Manifest, error) {
	m, err := decodeManifest(e.manifest)
	if err != nil {
		return nil, at("manifest", err)
	}
	if err := e.restore(m); err != nil {
		return nil, at("envelope", err)
	}
	return m, nil
}

// checkDigest compares a digest with that of a byte string: its head and its
// content (section 8.3).
func checkDigest(want Digest, content []byte) error {
	got, err := sumWrapped(want.Algorithm, content)
	if err != nil {
		return err
	}
	if !got.Equal(want) {
		return fmt.Errorf("%w: it has %s, signed is %s", ErrDigest, got, want)
	}
	return nil
}

func sumWrapped(algorithm DigestAlgorithm, content []byte) (Digest, error) {
	h, ok := algorithm.New()
	if !ok {
		return Digest{}, fmt.Errorf("%w: %s", ErrDigestAlgorithm, algorithm)
	}
	head := cosekit.MustMarshal(uint64(len(content)))
	head[0] |= byte(cosekit.MajorBytes) << 5
	h.Write(head)
	h.Write(content)
	return Digest{algorithm, h.Sum(nil)}, nil
}
