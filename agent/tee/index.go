package tee

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// The index is the one file that says what the store holds. Every change is a new
// index that replaces the old one by a rename: a file that no index names does not
// count and is removed.
const (
	indexName    = "index"
	indexTemp    = "index.tmp"
	indexVersion = 1
	maxIndexSize = 4 << 20
)

// Bounds of the lists in the index, far under cosekit.MaxElements.
const (
	maxComponents = 1024
	maxRequests   = 256
	maxUpdates    = 256 // digests of recent Updates; the oldest is forgotten first
)

// index is the content of the file, encoded as a map. A reader of another version
// refuses it, so a field is never reinterpreted.
type index struct {
	// Serial counts commits; file names are made of it, so no name is used twice.
	Serial     uint64           `cbor:"1,keyasint"`
	Components []componentEntry `cbor:"2,keyasint,omitempty"`
	Manifests  []manifestEntry  `cbor:"3,keyasint,omitempty"`
	Requests   []requestEntry   `cbor:"4,keyasint,omitempty"`
	Updates    [][]byte         `cbor:"5,keyasint,omitempty"`
	LastPoll   *pollEntry       `cbor:"6,keyasint,omitempty"`
}

// componentEntry says which file holds a component. There is no digest in it: what
// the store reports is measured from the file.
type componentEntry struct {
	ID       suit.ComponentID `cbor:"1,keyasint"`
	File     string           `cbor:"2,keyasint"`
	Manifest suit.ComponentID `cbor:"3,keyasint"` // the manifest that installed it
}

// manifestEntry says which file holds the envelope of an installed manifest.
type manifestEntry struct {
	ID       suit.ComponentID `cbor:"1,keyasint"` // manifest-component-id
	Sequence uint64           `cbor:"2,keyasint"`
	File     string           `cbor:"3,keyasint"`
}

type requestEntry struct {
	Component   suit.ComponentID `cbor:"1,keyasint"`
	MinSequence *uint64          `cbor:"2,keyasint,omitempty"`
}

type pollEntry struct {
	At      int64  `cbor:"1,keyasint"` // Unix seconds
	Outcome string `cbor:"2,keyasint"` // one line, for people
	Failed  bool   `cbor:"3,keyasint,omitempty"`
}

// clone copies the lists, so that a change to the copy leaves the original whole.
func (x *index) clone() *index {
	c := *x
	c.Components = slices.Clone(x.Components)
	c.Manifests = slices.Clone(x.Manifests)
	c.Requests = slices.Clone(x.Requests)
	c.Updates = slices.Clone(x.Updates)
	return &c
}

func (x *index) component(id suit.ComponentID) *componentEntry {
	for i := range x.Components {
		if x.Components[i].ID.Equal(id) {
			return &x.Components[i]
		}
	}
	return nil
}

func (x *index) manifest(id suit.ComponentID) *manifestEntry {
	for i := range x.Manifests {
		if x.Manifests[i].ID.Equal(id) {
			return &x.Manifests[i]
		}
	}
	return nil
}

func (x *index) putComponent(e componentEntry) error {
	if old := x.component(e.ID); old != nil {
		*old = e
		return nil
	}
	if len(x.Components) == maxComponents {
		return fmt.Errorf("%w: %d components", ErrFull, maxComponents)
	}
	x.Components = append(x.Components, e)
	return nil
}

func (x *index) putManifest(e manifestEntry) error {
	if old := x.manifest(e.ID); old != nil {
		*old = e
		return nil
	}
	if len(x.Manifests) == maxComponents {
		return fmt.Errorf("%w: %d manifests", ErrFull, maxComponents)
	}
	x.Manifests = append(x.Manifests, e)
	return nil
}

// satisfied reports whether a wish is fulfilled by what is installed: the component
// is there, by its own name or by that of its manifest, and new enough.
func (x *index) satisfied(r requestEntry) bool {
	for _, c := range x.Components {
		m := x.manifest(c.Manifest)
		if m == nil || !c.ID.Equal(r.Component) && !m.ID.Equal(r.Component) {
			continue
		}
		if r.MinSequence == nil || m.Sequence >= *r.MinSequence {
			return true
		}
	}
	return false
}

// files returns the names that the index refers to.
func (x *index) files() map[string]bool {
	names := map[string]bool{}
	for _, c := range x.Components {
		names[c.File] = true
	}
	for _, m := range x.Manifests {
		names[m.File] = true
	}
	return names
}

// encode returns [version, SHA-256 of body, body].
func (x *index) encode() []byte {
	body := cosekit.MustMarshal(x)
	sum := sha256.Sum256(body)
	return cosekit.MustMarshal([]any{indexVersion, sum[:], body})
}

func decodeIndex(data []byte) (*index, error) {
	var outer []cosekit.RawMessage
	if err := cosekit.Unmarshal(data, &outer); err != nil {
		return nil, fmt.Errorf("%w: index: %w", ErrDamaged, err)
	}
	if len(outer) != 3 {
		return nil, fmt.Errorf("%w: index of %d parts", ErrDamaged, len(outer))
	}
	var version uint64
	var sum, body []byte
	for i, dst := range []any{&version, &sum, &body} {
		if err := cosekit.UnmarshalValid(outer[i], dst); err != nil {
			return nil, fmt.Errorf("%w: index: %w", ErrDamaged, err)
		}
	}
	if version > indexVersion {
		return nil, fmt.Errorf("%w: index version %d, this program knows %d", ErrTooNew, version, indexVersion)
	}
	if version != indexVersion {
		return nil, fmt.Errorf("%w: index version %d", ErrDamaged, version)
	}
	if want := sha256.Sum256(body); string(want[:]) != string(sum) {
		return nil, fmt.Errorf("%w: the checksum of the index does not match", ErrDamaged)
	}
	x := new(index)
	if err := cosekit.Unmarshal(body, x); err != nil {
		return nil, fmt.Errorf("%w: index: %w", ErrDamaged, err)
	}
	return x, x.check()
}

// check refuses an index that this package would not have written.
func (x *index) check() error {
	if len(x.Components) > maxComponents || len(x.Manifests) > maxComponents ||
		len(x.Requests) > maxRequests || len(x.Updates) > maxUpdates {
		return fmt.Errorf("%w: the index lists more than it may", ErrDamaged)
	}
	seen := map[string]bool{}
	for _, c := range x.Components {
		if key := c.ID.Key(); seen[key] || !validFile(c.File) || x.manifest(c.Manifest) == nil {
			return fmt.Errorf("%w: component %s in the index", ErrDamaged, c.ID)
		} else {
			seen[key] = true
		}
	}
	clear(seen)
	for _, m := range x.Manifests {
		if key := m.ID.Key(); seen[key] || !validFile(m.File) {
			return fmt.Errorf("%w: manifest %s in the index", ErrDamaged, m.ID)
		} else {
			seen[key] = true
		}
	}
	for _, u := range x.Updates {
		if len(u) != sha256.Size {
			return fmt.Errorf("%w: update digest of %d bytes in the index", ErrDamaged, len(u))
		}
	}
	return nil
}

// readAll reads a small file whole, and refuses one that has grown too big.
func readAll(r io.ReadCloser, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrDamaged, limit)
	}
	return data, nil
}
