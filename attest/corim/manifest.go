package corim

import (
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/suit"
)

// ErrManifest: a manifest of which no reference values can be made.
var ErrManifest = errors.New("no reference values in the manifest")

// ManifestOptions says what FromManifest cannot know.
type ManifestOptions struct {
	// Publishers are the keys that the manifest may be signed with; nil where the caller
	// vouches for it himself.
	Publishers suit.Keys
	// Dependencies are envelopes that the manifest needs and does not carry.
	Dependencies [][]byte
	// ID stands for the manifest component id in the tag id; it is needed where the
	// manifest has none.
	ID string
	// Supersedes are tag ids of earlier releases, whose values no longer count.
	Supersedes          []string
	NotBefore, NotAfter time.Time
}

// FromManifest makes the reference values of a release out of its envelope: the image
// digest of each component, for every class of devices that the manifest distinguishes,
// and the digest of each manifest under its manifest component id, as an agent measures
// them. Dependencies are followed by their digests.
//
// The tag id is "ID/sequence number", so that values of earlier releases stay good, for
// devices that still run those, until the file is removed or superseded. The version of
// the tag is the sequence number too.
func FromManifest(envelope []byte, o ManifestOptions) (*Unsigned, error) {
	root, err := suit.Decode(envelope)
	if err != nil {
		return nil, err
	}
	if o.Publishers != nil {
		if _, err := root.Verify(o.Publishers, suit.AllowLegacy); err != nil {
			return nil, err
		}
	}
	r := &release{seen: map[string]bool{}}
	for _, raw := range o.Dependencies {
		dependency, err := suit.Decode(raw)
		if err != nil {
			return nil, within("dependency", err)
		}
		r.envelopes = append(r.envelopes, dependency)
	}
	m, err := r.add(root, devices{})
	if err != nil {
		return nil, err
	}
	if len(r.references) == 0 {
		return nil, fmt.Errorf("%w: no component has an image digest", ErrManifest)
	}
	id := o.ID
	if id == "" {
		if m.ComponentID == nil {
			return nil, fmt.Errorf("%w: it has no manifest component id to name them by", ErrManifest)
		}
		id = m.ComponentID.String()
	}
	return &Unsigned{
		ID: fmt.Sprintf("%s/%d", id, m.SequenceNumber), Version: m.SequenceNumber,
		Replaces: o.Supersedes, NotBefore: o.NotBefore, NotAfter: o.NotAfter,
		References: r.references,
	}, nil
}

// maxManifests bounds a release: one manifest may need the same others on many paths.
const maxManifests = 64

// release collects what a manifest and its dependencies say.
type release struct {
	envelopes  []*suit.Envelope // at hand for dependencies
	seen       map[string]bool  // manifests, and values, that were added
	references []Reference
	manifests  int
}

// dependency finds the envelope whose manifest has the digest.
func (r *release) dependency(digest suit.Digest) (*suit.Envelope, bool) {
	for _, e := range r.envelopes {
		if own, err := e.MeasureDigestBy(digest.Algorithm); err == nil && own.Equal(digest) {
			return e, true
		}
	}
	return nil, false
}

// add collects one manifest, whose digest its caller has checked, for the devices that it
// names itself or else for those of the manifest that needs it.
func (r *release) add(e *suit.Envelope, on devices) (*suit.Manifest, error) {
	if r.manifests++; r.manifests > maxManifests {
		return nil, fmt.Errorf("%w: more than %d manifests", ErrTooLarge, maxManifests)
	}
	m, err := e.UnverifiedManifest()
	if err != nil {
		return nil, err
	}
	digest, err := e.MeasureDigest()
	if err != nil {
		return nil, err
	}
	if !digest.Equal(e.Digest()) {
		return nil, fmt.Errorf("%w: the manifest was changed after it was signed", suit.ErrDigest)
	}
	for _, name := range e.IntegratedNames() {
		payload, _ := e.UnverifiedIntegrated(name)
		if inner, err := suit.Decode(payload); err == nil {
			r.envelopes = append(r.envelopes, inner)
		}
	}
	images, err := findImages(m)
	if err != nil {
		return nil, err
	}
	version := ""
	if m.SetVersion != nil {
		version = suit.FormatVersion(m.SetVersion)
	}
	for _, i := range images {
		i.on = i.on.orElse(on)
		if err := r.addImage(i, version); err != nil {
			return nil, within(i.component.String(), err)
		}
		if m.ComponentID != nil && i.on != (devices{}) {
			// The manifest itself is measured on the same devices.
			if err := r.put(image{component: m.ComponentID, on: i.on, digest: digest}, version); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

func (r *release) addImage(i image, version string) error {
	if !i.dependency {
		return r.put(i, version)
	}
	inner, ok := r.dependency(i.digest)
	if !ok {
		return fmt.Errorf("%w: it is a dependency whose envelope, with the digest %s, is not at hand", ErrManifest, i.digest)
	}
	if key := fmt.Sprintf("manifest %s on %s", i.digest, i.on); !r.seen[key] {
		r.seen[key] = true
		_, err := r.add(inner, i.on)
		return err
	}
	return nil
}

// put adds a value once.
func (r *release) put(i image, version string) error {
	reference, err := i.reference(version)
	if err != nil {
		return err
	}
	key := fmt.Sprintf("value %s %s %s %q", i.on, reference.Key, i.digest, version)
	if !r.seen[key] {
		r.seen[key] = true
		r.references = append(r.references, reference)
	}
	return nil
}

// reference says it as the package comment has it: the class id, which SUIT derives from
// the vendor's; the vendor where there is no class.
func (i image) reference(version string) (Reference, error) {
	r := Reference{Key: i.component.String(), Version: version}
	switch {
	case i.on.class != nil:
		r.Environment.ClassID = ID{KindUUID, i.on.class[:]}
	case i.on.vendor != nil:
		r.Environment.Vendor = i.on.vendor.String()
	default:
		return r, fmt.Errorf("%w: neither class id nor vendor id say on which devices it is measured", ErrManifest)
	}
	name, ok := suitAlgorithms[i.digest.Algorithm]
	if !ok {
		return r, fmt.Errorf("%w: digests by %s are not written", ErrManifest, i.digest.Algorithm)
	}
	r.Digests = []Digest{{name, i.digest.Bytes}}
	return r, nil
}

var suitAlgorithms = map[suit.DigestAlgorithm]string{
	suit.SHA256: "sha-256", suit.SHA384: "sha-384", suit.SHA512: "sha-512",
}
