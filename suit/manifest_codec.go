package suit

import (
	"bytes"
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Keys of a SUIT_Manifest and a SUIT_Common that are not sections
// (draft-ietf-suit-manifest-37 sections 11.2 and 11.3 and the sister drafts).
const (
	keyVersion        = 1
	keySequenceNumber = 2
	keyCommon         = 3
	keyReferenceURI   = 4
	keyComponentID    = 5
	keySetVersion     = 6

	keyDependencies   = 1
	keyComponents     = 2
	keySharedSequence = 4
)

var (
	manifestKeyNames = namer(map[int64]string{
		keyVersion: "version", keySequenceNumber: "sequence-number", keyCommon: "common",
		keyReferenceURI: "reference-uri", keyComponentID: "manifest-component-id",
		keySetVersion: "set-version", int64(SectionCoSWID): "coswid", int64(SectionText): "text",
	})
	commonKeyNames = namer(map[int64]string{
		keyDependencies: "dependencies", keyComponents: "components", keySharedSequence: "shared-sequence",
	})
)

// manifestTag is the head of tag 1070, which marks a manifest outside an envelope
// (section 8.4).
var manifestTag = []byte{0xd9, 0x04, 0x2e}

// DecodeManifest reads a manifest outside an envelope, tagged 1070 or not. Nothing
// in it is authenticated: on the way to a device, [Envelope.Verify] decodes it.
func DecodeManifest(data []byte) (*Manifest, error) {
	data, _ = bytes.CutPrefix(data, manifestTag)
	m, err := decodeManifest(data)
	if err != nil {
		return nil, at("manifest", err)
	}
	return m, nil
}

// Encode returns the deterministic encoding, tagged 1070 or as it goes into an
// envelope. It refuses what decoding would refuse.
func (m *Manifest) Encode(tagged bool) ([]byte, error) {
	raw, err := m.encode()
	if err == nil {
		_, err = decodeManifest(raw)
	}
	if err != nil {
		return nil, at("manifest", err)
	}
	if tagged {
		raw = append(bytes.Clone(manifestTag), raw...)
	}
	return raw, nil
}

func decodeManifest(raw []byte) (*Manifest, error) {
	if len(raw) > MaxManifestSize {
		return nil, overLimit("%d bytes, at most %d", len(raw), MaxManifestSize)
	}
	if err := cosekit.Validate(raw); err != nil {
		return nil, err
	}
	m := &Manifest{}
	seen := map[int64]bool{}
	err := decodeIntMap(raw, true, manifestStep, func(key int64, value []byte) error {
		seen[key] = true
		return m.decodeElement(key, value)
	})
	if err != nil {
		return nil, err
	}
	for _, key := range []int64{keyVersion, keySequenceNumber, keyCommon} {
		if !seen[key] {
			return nil, at(manifestStep(key), malformed("missing"))
		}
	}
	if err := m.checkText(m.Text); err != nil {
		return nil, at(SectionText.String(), err)
	}
	return m, nil
}

func manifestStep(key int64) string {
	if name, ok := sections[Section(key)]; ok {
		return name
	}
	return manifestKeyNames(key)
}

func (m *Manifest) decodeElement(key int64, value []byte) error {
	if _, isSection := sections[Section(key)]; isSection {
		return m.decodeSection(Section(key), value)
	}
	switch key {
	case keyVersion:
		v, err := cosekit.Uint(value)
		return put(&m.Version, v, err)
	case keySequenceNumber:
		n, err := cosekit.Uint(value)
		return put(&m.SequenceNumber, n, err)
	case keyCommon:
		c, err := decodeCommon(value)
		return put(&m.Common, c, err)
	case keyReferenceURI:
		uri, err := decodeURI(value)
		return put(&m.ReferenceURI, uri, err)
	case keyComponentID:
		id, err := decodeComponentID(value)
		return put(&m.ComponentID, id, err)
	case keySetVersion:
		v, err := inString(decodeVersionNumbers)(value)
		return put(&m.SetVersion, v, err)
	case int64(SectionText):
		return m.decodeText(value)
	case int64(SectionCoSWID):
		return m.decodeCoSWID(value)
	}
	keep(&m.Extensions, key, value)
	return nil
}

func (m *Manifest) decodeSection(s Section, value []byte) error {
	var body Severable
	if s.IsSeverable() && cosekit.Major(value) == cosekit.MajorArray {
		d, err := decodeDigest(value)
		if err != nil {
			return err
		}
		body.Digest = &d
	} else {
		seq, err := inString(decodeSection)(value)
		if err != nil {
			return err
		}
		body.Sequence = &seq
	}
	if m.Sections == nil {
		m.Sections = map[Section]Severable{}
	}
	m.Sections[s] = body
	return nil
}

func (m *Manifest) decodeText(value []byte) error {
	if cosekit.Major(value) == cosekit.MajorArray {
		d, err := decodeDigest(value)
		return putNew(&m.TextDigest, d, err)
	}
	inner, err := decodeWrapped(value)
	if err != nil {
		return err
	}
	m.Text, err = decodeTextMap(inner)
	return err
}

func (m *Manifest) decodeCoSWID(value []byte) error {
	if cosekit.Major(value) == cosekit.MajorArray {
		d, err := decodeDigest(value)
		return putNew(&m.CoSWIDDigest, d, err)
	}
	tag, err := cosekit.Bytes(value)
	return put(&m.CoSWID, tag, err)
}

func decodeCommon(raw []byte) (Common, error) {
	var c Common
	inner, err := decodeWrapped(raw)
	if err != nil {
		return c, err
	}
	err = decodeIntMap(inner, true, commonKeyNames, func(key int64, value []byte) error {
		switch key {
		case keyDependencies:
			list, err := decodeDependencies(value)
			return put(&c.Dependencies, list, err)
		case keyComponents:
			ids, err := decodeComponents(value)
			return put(&c.Components, ids, err)
		case keySharedSequence:
			seq, err := inString(decodeSection)(value)
			return putNew(&c.Shared, seq, err)
		default:
			keep(&c.Extensions, key, value)
		}
		return nil
	})
	return c, err
}

func decodeComponents(raw []byte) ([]ComponentID, error) {
	items, err := cosekit.Elements(raw)
	if err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, malformed("empty list of components")
	}
	if len(items) > MaxComponents {
		return nil, overLimit("%d components, at most %d", len(items), MaxComponents)
	}
	ids := make([]ComponentID, len(items))
	for i, item := range items {
		if ids[i], err = decodeComponentID(item); err != nil {
			return nil, at(fmt.Sprintf("[%d]", i), err)
		}
	}
	return ids, nil
}

// encode builds the map. Elements that decoding would not give back are left to the
// check in Encode.
func (m *Manifest) encode() ([]byte, error) {
	common, err := m.Common.encode()
	if err != nil {
		return nil, at("common", err)
	}
	out := map[int64]any{keyVersion: m.Version, keySequenceNumber: m.SequenceNumber, keyCommon: common}
	if m.ReferenceURI != "" {
		out[keyReferenceURI] = m.ReferenceURI
	}
	if m.ComponentID != nil {
		out[keyComponentID] = m.ComponentID
	}
	if m.SetVersion != nil {
		out[keySetVersion] = cosekit.MustMarshal(m.SetVersion)
	}
	for s, body := range m.Sections {
		if _, known := sections[s]; !known {
			return nil, malformed("%s is not a section of a manifest", s)
		}
		if out[int64(s)], err = body.encode(); err != nil {
			return nil, at(s.String(), err)
		}
	}
	if err := m.encodeDescriptions(out); err != nil {
		return nil, err
	}
	if err := addExtensions(out, m.Extensions); err != nil {
		return nil, err
	}
	return cosekit.Marshal(out)
}

// encodeDescriptions adds text and CoSWID, or their digests.
func (m *Manifest) encodeDescriptions(out map[int64]any) error {
	for _, s := range []Section{SectionText, SectionCoSWID} {
		if d := m.elementDigest(s); d != nil {
			out[int64(s)] = *d
			continue
		}
		content, err := m.encodeElement(s)
		if err != nil {
			return at(s.String(), err)
		}
		if content != nil {
			out[int64(s)] = content
		}
	}
	return nil
}

func (b Severable) encode() (any, error) {
	switch {
	case b.Digest != nil:
		return *b.Digest, nil
	case b.Sequence == nil:
		return nil, malformed("neither a sequence nor a digest")
	}
	return encodeSequence(b.Sequence, 0)
}

func (c *Common) encode() ([]byte, error) {
	out := map[int64]any{}
	if c.Dependencies != nil {
		dependencies, err := encodeDependencies(c.Dependencies)
		if err != nil {
			return nil, at("dependencies", err)
		}
		out[keyDependencies] = dependencies
	}
	if c.Components != nil {
		out[keyComponents] = c.Components
	}
	if c.Shared != nil {
		seq, err := encodeSequence(c.Shared, 0)
		if err != nil {
			return nil, at("shared-sequence", err)
		}
		out[keySharedSequence] = seq
	}
	if err := addExtensions(out, c.Extensions); err != nil {
		return nil, err
	}
	return cosekit.Marshal(out)
}

func addExtensions(out map[int64]any, extensions map[int64]cosekit.RawMessage) error {
	for key, raw := range extensions {
		if _, taken := out[key]; taken || len(raw) == 0 {
			return malformed("a known or an empty element %d among the extensions", key)
		}
		out[key] = raw
	}
	return nil
}
