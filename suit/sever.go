package suit

import (
	"fmt"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// severableElements may stand in the envelope with only their digest in the manifest
// (draft-ietf-suit-manifest-37 section 8.6 and the sister drafts), by ascending key.
var severableElements = []Section{
	SectionCoSWID, SectionDependencyResolution, SectionPayloadFetch,
	SectionCandidateVerification, SectionInstall, SectionText,
}

// IsSeverable reports whether the manifest may hold a digest in place of the element.
func (s Section) IsSeverable() bool { return slices.Contains(severableElements, s) }

// What severing saves has to be more than the digest that stays and the second head.
const severingOverhead = 4

// MakeSeverable puts the SHA-256 digest of each element into the manifest, which is to
// be done before it is signed; [NewEnvelope] carries the element itself, and anybody
// may sever it later. An element that is no larger than what would stay of it is
// refused as [ErrNotWorthSevering]. Where one is refused the manifest stays as it was.
func (m *Manifest) MakeSeverable(elements ...Section) error {
	digests := make(map[Section]Digest, len(elements))
	for _, s := range elements {
		d, err := m.severableDigest(s)
		if err != nil {
			return at("manifest", at(s.String(), err))
		}
		digests[s] = d
	}
	for s, d := range digests {
		m.setDigest(s, d)
	}
	return nil
}

func (m *Manifest) severableDigest(s Section) (Digest, error) {
	if !s.IsSeverable() {
		return Digest{}, fmt.Errorf("%w: it has to stay in the manifest", ErrNotSeverable)
	}
	element, err := m.encodeElement(s)
	switch {
	case err != nil:
		return Digest{}, err
	case element == nil:
		return Digest{}, fmt.Errorf("%w: the manifest has none", ErrNotSeverable)
	}
	d, err := sumWrapped(SHA256, element)
	if err != nil {
		return Digest{}, err
	}
	if stays := len(cosekit.MustMarshal(d)) + severingOverhead; len(element) < stays {
		return Digest{}, fmt.Errorf("%w: %d bytes, of which %d would stay", ErrNotWorthSevering, len(element), stays)
	}
	return d, nil
}

// encodeElement returns the content of a severable element's byte string; nil where
// the manifest has it not, or by its digest only.
func (m *Manifest) encodeElement(s Section) ([]byte, error) {
	switch s {
	case SectionCoSWID:
		return m.CoSWID, nil
	case SectionText:
		if m.Text == nil {
			return nil, nil
		}
		return encodeText(m.Text)
	}
	if m.Sections[s].Sequence == nil {
		return nil, nil
	}
	return encodeSequence(m.Sections[s].Sequence, 0)
}

// restoreElement puts the content of a severable element where its digest stands.
func (m *Manifest) restoreElement(s Section, content []byte) error {
	if s == SectionCoSWID {
		m.CoSWID = content
		return nil
	}
	if err := cosekit.Validate(content); err != nil {
		return err
	}
	if s == SectionText {
		text, err := decodeTextMap(content)
		if err == nil {
			err = m.checkText(text)
		}
		return put(&m.Text, text, err)
	}
	seq, err := decodeSection(content)
	if err == nil {
		m.Sections[s] = Severable{Sequence: &seq, Digest: m.Sections[s].Digest}
	}
	return err
}

// elementDigest returns the digest that stands in the manifest in place of an
// element; nil for none.
func (m *Manifest) elementDigest(s Section) *Digest {
	switch s {
	case SectionCoSWID:
		return m.CoSWIDDigest
	case SectionText:
		return m.TextDigest
	}
	return m.Sections[s].Digest
}

func (m *Manifest) setDigest(s Section, d Digest) {
	switch s {
	case SectionCoSWID:
		m.CoSWIDDigest = &d
	case SectionText:
		m.TextDigest = &d
	default:
		m.Sections[s] = Severable{Sequence: m.Sections[s].Sequence, Digest: &d}
	}
}

// Element returns the severable element that the envelope carries, or false. Nobody
// has compared it with its digest. It must not be changed.
func (e *Envelope) Element(s Section) ([]byte, bool) {
	content, ok := e.elements[int64(s)]
	return content, ok && s.IsSeverable()
}

// Severed returns the elements of which the manifest has the digest and the envelope
// nothing, by ascending key. Nobody has authenticated that manifest.
func (e *Envelope) Severed() ([]Section, error) {
	m, err := decodeManifest(e.manifest)
	if err != nil {
		return nil, at("manifest", err)
	}
	var severed []Section
	for _, s := range severableElements {
		if _, carried := e.Element(s); m.elementDigest(s) != nil && !carried {
			severed = append(severed, s)
		}
	}
	return severed, nil
}

// Sever returns the envelope without these elements, or without all that it carries
// where none is named. Signatures hold as before: they are over the digests.
func (e *Envelope) Sever(elements ...Section) (*Envelope, error) {
	if len(elements) == 0 {
		for _, s := range severableElements {
			if _, carried := e.Element(s); carried {
				elements = append(elements, s)
			}
		}
	}
	out := *e
	out.elements = maps.Clone(e.elements)
	for _, s := range elements {
		if _, carried := e.Element(s); !carried {
			return nil, at("envelope", at(s.String(), fmt.Errorf(
				"%w: the envelope does not carry it; make it severable before the manifest is signed", ErrNotSeverable)))
		}
		delete(out.elements, int64(s))
	}
	return &out, nil
}

// Restore returns the envelope with an element that was severed from it. The content
// has to have the digest that the manifest holds.
func (e *Envelope) Restore(s Section, content []byte) (*Envelope, error) {
	out, err := e.restored(s, content)
	if err != nil {
		return nil, at("envelope", at(s.String(), err))
	}
	return out, nil
}

func (e *Envelope) restored(s Section, content []byte) (*Envelope, error) {
	if !s.IsSeverable() {
		return nil, fmt.Errorf("%w: nothing of it can be restored", ErrNotSeverable)
	}
	if _, carried := e.Element(s); carried {
		return nil, fmt.Errorf("%w: the envelope carries it already", ErrNotSeverable)
	}
	if err := checkSize(content); err != nil {
		return nil, err
	}
	m, err := decodeManifest(e.manifest)
	if err != nil {
		return nil, err
	}
	if err := m.restore(s, content); err != nil {
		return nil, err
	}
	out := *e
	out.elements = maps.Clone(e.elements)
	out.elements[int64(s)] = append([]byte{}, content...)
	return &out, nil
}

// restore checks the severable elements that the envelope carries against their
// digests in the manifest and puts them where the digests stand (section 8.6). An
// element that no digest vouches for is refused; one that no manifest can vouch for
// is an extension and stays out.
func (e *Envelope) restore(m *Manifest) error {
	for _, s := range severableElements {
		if content, carried := e.Element(s); carried {
			if err := m.restore(s, content); err != nil {
				return at(s.String(), err)
			}
		}
	}
	return nil
}

func (m *Manifest) restore(s Section, content []byte) error {
	digest := m.elementDigest(s)
	if digest == nil {
		return fmt.Errorf("%w: the manifest holds no digest of it", ErrDigest)
	}
	if err := checkDigest(*digest, content); err != nil {
		return err
	}
	return m.restoreElement(s, content)
}
