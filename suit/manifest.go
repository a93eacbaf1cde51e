package suit

import "github.com/tamarack-tam/tamarack/internal/cosekit"

// ManifestVersion is the version of the manifest format that this package encodes
// (draft-ietf-suit-manifest-37 section 8.4.1). Others decode; a processor refuses them.
const ManifestVersion = 1

// Manifest is a SUIT_Manifest (draft-ietf-suit-manifest-37 section 8.4).
type Manifest struct {
	Version        uint64
	SequenceNumber uint64
	Common         Common
	// ReferenceURI is where a full version of the manifest can be found; empty for none.
	ReferenceURI string
	// ComponentID names the manifest itself, where it is a root manifest
	// (draft-ietf-suit-trust-domains, manifest-component-id); nil for none.
	ComponentID ComponentID
	// SetVersion is the version that the manifest installs
	// (draft-ietf-suit-update-management, suit-set-version); nil for none.
	SetVersion []int64
	// Sections are the command sequences, by their manifest key.
	Sections map[Section]Severable
	// Text describes the manifest for people. TextDigest stands in the manifest in
	// its place where it is severable.
	Text       Text
	TextDigest *Digest
	// CoSWID is a Concise Software Identifier (RFC 9393) that nobody looks into here;
	// nil for none. CoSWIDDigest stands in its place where it is severable.
	CoSWID       []byte
	CoSWIDDigest *Digest
	// Extensions holds every further element as it came.
	Extensions map[int64]cosekit.RawMessage
}

// Common is a SUIT_Common, what all sequences share (section 8.4.5).
type Common struct {
	// Dependencies are other manifests that this one needs, by ascending component
	// index; nil for none.
	Dependencies []Dependency
	// Components are the identifiers that a component index points into.
	Components []ComponentID
	// Shared runs before every other sequence; nil for none.
	Shared     *Sequence
	Extensions map[int64]cosekit.RawMessage
}

// Severable is a command sequence that the manifest holds itself or by its digest
// (section 8.6).
type Severable struct {
	// Sequence is nil where the section has been severed and is not at hand.
	Sequence *Sequence
	// Digest is set where the manifest holds it in place of the sequence.
	Digest *Digest
}

// Section returns the commands of a section, or false where the manifest has no such
// section or only its digest is left. SectionShared gives the shared sequence.
func (m *Manifest) Section(s Section) (*Sequence, bool) {
	if s == SectionShared {
		return m.Common.Shared, m.Common.Shared != nil
	}
	seq := m.Sections[s].Sequence
	return seq, seq != nil
}
