package tee

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// Installed is one component as it was measured.
type Installed struct {
	ID     suit.ComponentID
	Digest suit.Digest // SHA-256 of the file at that moment
	Size   uint64
	// Manifests are those that list it, one at least, the longest there first.
	Manifests []suit.ComponentID
	Sequence  uint64  // of the first
	Version   []int64 // set-version of the first that has one
	// Metadata is what its manifests say of how it is to be stored; nil for nothing.
	Metadata *suit.ComponentMetadata
}

// measurement is the whole store at one moment.
type measurement struct {
	components []Installed
	manifests  []measuredManifest
}

type measuredManifest struct {
	id       suit.ComponentID
	manifest *suit.Manifest
	digest   suit.Digest
}

// Installed measures every component.
func (s *Store) Installed(ctx context.Context) ([]Installed, error) {
	m, err := s.measure(ctx)
	return m.components, err
}

// claims returns what SUIT says of the component: digest and size.
func (i Installed) claims() suit.PropertyClaims {
	return suit.PropertyClaims{Component: i.ID, ImageDigest: &i.Digest, ImageSize: &i.Size}
}

// Measure returns the claims of a tc-list: every component with the digest and size
// of its file, and every manifest, be it a root or a dependency, with the digest of the
// manifest, as an image-match on a dependency component would take it
// (draft-ietf-suit-trust-domains). Both are computed from the files now.
func (s *Store) Measure(ctx context.Context) ([]suit.PropertyClaims, error) {
	m, err := s.measure(ctx)
	if err != nil {
		return nil, err
	}
	var claims []suit.PropertyClaims
	for _, c := range m.components {
		claims = append(claims, c.claims())
	}
	for _, one := range m.manifests {
		claims = append(claims, suit.PropertyClaims{Component: one.id, ImageDigest: &one.digest})
	}
	return claims, nil
}

// measure reads every file that the index names. A change that replaces a file in the
// meantime makes it start again on the new state, also where another process makes it.
func (s *Store) measure(ctx context.Context) (measurement, error) {
	for {
		x := s.view()
		m, err := s.measureIndex(ctx, x, s.hash)
		if errors.Is(err, fs.ErrNotExist) && s.movedOn(x) {
			continue
		}
		return m, err
	}
}

type hash func(ctx context.Context, file string) (suit.Digest, uint64, error)

func (s *Store) measureIndex(ctx context.Context, x *index, hash hash) (measurement, error) {
	var m measurement
	listers := x.listers()
	for _, c := range x.Components {
		digest, size, err := hash(ctx, c.File)
		if err != nil {
			return measurement{}, fmt.Errorf("component %s: %w", c.ID, err)
		}
		by := listers[c.ID.Key()]
		m.components = append(m.components, Installed{
			ID: c.ID, Digest: digest, Size: size, Manifests: by, Sequence: x.manifest(by[0]).Sequence,
			Version: slices.Clone(x.version(c.ID)), Metadata: c.Metadata.metadata(),
		})
	}
	for _, e := range x.Manifests {
		one, err := s.measureManifest(e)
		if err != nil {
			return measurement{}, fmt.Errorf("manifest %s: %w", e.ID, err)
		}
		m.manifests = append(m.manifests, one)
	}
	return m, nil
}

// hash reads a file once, whatever its size, and stops when ctx ends.
func (s *Store) hash(ctx context.Context, name string) (suit.Digest, uint64, error) {
	r, _, err := s.files.Open(name)
	if err != nil {
		return suit.Digest{}, 0, err
	}
	h := sha256.New()
	n, err := io.Copy(h, untilDone{ctx, r})
	if err := errors.Join(err, r.Close()); err != nil {
		return suit.Digest{}, 0, err
	}
	return suit.Digest{Algorithm: suit.SHA256, Bytes: h.Sum(nil)}, uint64(n), nil
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}

// maxEnvelope bounds a stored envelope, whose payloads are kept apart.
const maxEnvelope = 16 << 20

// Manifests returns the ids of the installed manifests, dependencies included.
func (s *Store) Manifests() []suit.ComponentID {
	return s.manifests(func(manifestEntry) bool { return true })
}

// Roots returns the ids of the manifests that are installed for themselves. These can be
// uninstalled; a dependency goes with the last root that needs it.
func (s *Store) Roots() []suit.ComponentID {
	return s.manifests(func(m manifestEntry) bool { return m.Root })
}

func (s *Store) manifests(is func(manifestEntry) bool) []suit.ComponentID {
	var ids []suit.ComponentID
	for _, m := range s.view().Manifests {
		if is(m) {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// Envelope returns the envelope of an installed manifest as it was committed. Whether
// it is still authentic is for the caller to find out. processor.ErrNotInstalled where
// there is none.
func (s *Store) Envelope(manifest suit.ComponentID) ([]byte, error) {
	e := s.view().manifest(manifest)
	if e == nil {
		return nil, fmt.Errorf("%w: %s", processor.ErrNotInstalled, manifest)
	}
	return s.readEnvelope(*e)
}

func (s *Store) readEnvelope(e manifestEntry) ([]byte, error) {
	r, _, err := s.files.Open(e.File)
	if err != nil {
		return nil, err
	}
	return readAll(r, maxEnvelope)
}

func (s *Store) measureManifest(e manifestEntry) (measuredManifest, error) {
	data, err := s.readEnvelope(e)
	if err != nil {
		return measuredManifest{}, err
	}
	envelope, err := suit.Decode(data)
	if err != nil {
		return measuredManifest{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	manifest, err := envelope.UnverifiedManifest()
	if err != nil {
		return measuredManifest{}, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	digest, err := envelope.MeasureDigest()
	return measuredManifest{e.ID, manifest, digest}, err
}
