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
// count and is removed, unless it is a payload that has begun to arrive.
const (
	indexName    = "index"
	indexTemp    = "index.tmp"
	indexVersion = 4
	// withoutLists is the last version in which components named their manifests, and all
	// manifests were roots; withoutFloors the last that kept no floors. Both are still read.
	withoutLists  = 3
	withoutFloors = 2
	maxIndexSize  = 4 << 20
)

// Bounds of the lists in the index, far under cosekit.MaxElements.
const (
	maxComponents = 512  // and as many manifests; evidence has no room for more
	maxListed     = 2048 // components and dependencies that all manifests list together
	maxRequests   = 256
	maxUpdates    = 256  // digests of recent Updates; the oldest is forgotten first
	maxRetired    = 1024 // manifests that were uninstalled; the oldest is forgotten first
)

// index is the content of the file, encoded as a map. A reader that does not
// know its version refuses it, so a field is never reinterpreted.
type index struct {
	// Serial counts commits; file names are made of it, so no name is used twice.
	Serial     uint64           `cbor:"1,keyasint"`
	Components []componentEntry `cbor:"2,keyasint,omitempty"`
	Manifests  []manifestEntry  `cbor:"3,keyasint,omitempty"`
	Requests   []requestEntry   `cbor:"4,keyasint,omitempty"`
	Updates    [][]byte         `cbor:"5,keyasint,omitempty"`
	LastPoll   *pollEntry       `cbor:"6,keyasint,omitempty"`
	Retired    []retiredEntry   `cbor:"7,keyasint,omitempty"`
	// Unneeded are the roots that nobody on the device needs any more.
	Unneeded []suit.ComponentID `cbor:"8,keyasint,omitempty"`
	Floors   []floorEntry       `cbor:"9,keyasint,omitempty"`
	// Dropped are files that the index before this one named and that look like payloads
	// to be resumed: where a crash left them behind, they are none.
	Dropped []string `cbor:"10,keyasint,omitempty"`
}

// componentEntry says which file holds the image of a component. There is no digest in
// it: what the store reports is measured from the file.
type componentEntry struct {
	ID   suit.ComponentID `cbor:"1,keyasint"`
	File string           `cbor:"2,keyasint"`
	// Manifests are those that list it, in an index up to withoutLists only.
	Manifests []suit.ComponentID `cbor:"4,keyasint,omitempty"`
	Metadata  *metadataEntry     `cbor:"5,keyasint,omitempty"`
}

// manifestEntry says which file holds the envelope of an installed manifest, and what
// the manifest needs. The longest there comes first.
type manifestEntry struct {
	ID       suit.ComponentID `cbor:"1,keyasint"`
	Sequence uint64           `cbor:"2,keyasint"`
	File     string           `cbor:"3,keyasint"`
	// Root: it is there for itself; others stay as long as a root depends on them.
	Root    bool    `cbor:"4,keyasint,omitempty"`
	Version []int64 `cbor:"5,keyasint,omitempty"` // set-version
	// Components may name some that have no image; Dependencies, some that are not there.
	Components   []suit.ComponentID `cbor:"6,keyasint,omitempty"`
	Dependencies []suit.ComponentID `cbor:"7,keyasint,omitempty"`
	// Observed are those of Components whose floor the manifest does not raise.
	Observed []suit.ComponentID `cbor:"8,keyasint,omitempty"`
}

// retiredEntry remembers how far a manifest had come that is not installed any more.
type retiredEntry struct {
	ID       suit.ComponentID `cbor:"1,keyasint"`
	Sequence uint64           `cbor:"2,keyasint"`
}

type requestEntry struct {
	Component   suit.ComponentID `cbor:"1,keyasint"`
	MinSequence *uint64          `cbor:"2,keyasint,omitempty"`
	HaveBinary  bool             `cbor:"3,keyasint,omitempty"`
}

type pollEntry struct {
	At      int64  `cbor:"1,keyasint"` // Unix seconds
	Outcome string `cbor:"2,keyasint"` // one line, for people
	Failed  bool   `cbor:"3,keyasint,omitempty"`
}

// clone copies the lists, so that a change to the copy leaves the original whole. What
// an entry points to is replaced, never changed.
func (x *index) clone() *index {
	c := *x
	c.Components = slices.Clone(x.Components)
	c.Manifests = slices.Clone(x.Manifests)
	c.Requests = slices.Clone(x.Requests)
	c.Updates = slices.Clone(x.Updates)
	c.Retired = slices.Clone(x.Retired)
	c.Unneeded = slices.Clone(x.Unneeded)
	c.Floors = slices.Clone(x.Floors)
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

func contains(list []suit.ComponentID, id suit.ComponentID) bool {
	return slices.ContainsFunc(list, id.Equal)
}

func remove(list []suit.ComponentID, id suit.ComponentID) []suit.ComponentID {
	return slices.DeleteFunc(list, id.Equal)
}

// image returns the file of what the id names: the image of a component, or else the
// envelope of a manifest. A root that has no name of its own goes by that of its first
// component, which is what is meant then.
func (x *index) image(id suit.ComponentID) (file string, ok bool) {
	if c := x.component(id); c != nil {
		return c.File, true
	}
	if m := x.manifest(id); m != nil {
		return m.File, true
	}
	return "", false
}

// sequence returns how far the manifest of that id has come, or had when it was
// uninstalled.
func (x *index) sequence(id suit.ComponentID) (number uint64, known bool) {
	if m := x.manifest(id); m != nil {
		return m.Sequence, true
	}
	for _, r := range x.Retired {
		if r.ID.Equal(id) {
			return r.Sequence, true
		}
	}
	return 0, false
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
	if version < withoutFloors {
		return nil, fmt.Errorf("%w: index version %d, this program reads %d to %d", ErrDamaged, version, withoutFloors, indexVersion)
	}
	if want := sha256.Sum256(body); string(want[:]) != string(sum) {
		return nil, fmt.Errorf("%w: the checksum of the index does not match", ErrDamaged)
	}
	x := new(index)
	if err := cosekit.Unmarshal(body, x); err != nil {
		return nil, fmt.Errorf("%w: index: %w", ErrDamaged, err)
	}
	return x, x.admit(version)
}

// admit brings an index of an earlier version up to this one, and refuses one that this
// package would not have written.
func (x *index) admit(version uint64) error {
	if err := x.checkBounds(); err != nil {
		return err
	}
	if version <= withoutLists {
		x.moveLists() // no more than evidence had room for
	}
	if err := x.check(); err != nil {
		return err
	}
	if version <= withoutFloors {
		x.raiseFloors()
	}
	return x.checkFloors()
}

// moveLists lets manifests name their components, where components named their
// manifests. All that was installed then was installed for itself.
func (x *index) moveLists() {
	for i := range x.Manifests {
		m := &x.Manifests[i]
		*m = manifestEntry{ID: m.ID, Sequence: m.Sequence, File: m.File, Root: true}
		for _, c := range x.Components {
			if contains(c.Manifests, m.ID) {
				m.Components = append(m.Components, c.ID)
			}
		}
	}
	for i := range x.Components {
		x.Components[i].Manifests = nil
	}
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
