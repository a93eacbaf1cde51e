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
	indexVersion = 3
	// withoutFloors is the last version that kept no floors; it is still read.
	withoutFloors = 2
	maxIndexSize  = 4 << 20
)

// Bounds of the lists in the index, far under cosekit.MaxElements.
const (
	maxComponents = 512 // and as many manifests; evidence has no room for more
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
	// Unneeded are the installed manifests that nobody on the device needs any more.
	Unneeded []suit.ComponentID `cbor:"8,keyasint,omitempty"`
	Floors   []floorEntry       `cbor:"9,keyasint,omitempty"`
}

// componentEntry says which file holds a component. There is no digest in it: what
// the store reports is measured from the file.
type componentEntry struct {
	ID   suit.ComponentID `cbor:"1,keyasint"`
	File string           `cbor:"2,keyasint"`
	// Manifests are those that reference it, one at least, the longest there first.
	Manifests []suit.ComponentID `cbor:"4,keyasint"`
}

// manifestEntry says which file holds the envelope of an installed manifest.
type manifestEntry struct {
	ID       suit.ComponentID `cbor:"1,keyasint"` // manifest-component-id
	Sequence uint64           `cbor:"2,keyasint"`
	File     string           `cbor:"3,keyasint"`
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

// clone copies the lists, so that a change to the copy leaves the original whole.
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

// putImage makes the file the image of the component.
func (x *index) putImage(id suit.ComponentID, file string) error {
	if old := x.component(id); old != nil {
		old.File = file
		return nil
	}
	if len(x.Components) == maxComponents {
		return fmt.Errorf("%w: %d components", ErrFull, maxComponents)
	}
	x.Components = append(x.Components, componentEntry{ID: id, File: file})
	return nil
}

// reference makes the manifest reference these components and no others. What no
// manifest references any more is not in the store any more, but its floor stays.
func (x *index) reference(manifest suit.ComponentID, components []suit.ComponentID) {
	for i := range x.Components {
		c := &x.Components[i]
		had, has := contains(c.Manifests, manifest), contains(components, c.ID)
		switch {
		case has && !had:
			c.Manifests = append(slices.Clone(c.Manifests), manifest)
		case had && !has:
			c.Manifests = remove(slices.Clone(c.Manifests), manifest)
		}
	}
	x.Components = slices.DeleteFunc(x.Components, func(c componentEntry) bool { return len(c.Manifests) == 0 })
	for _, id := range components {
		if x.component(id) != nil {
			x.raiseFloor(id, x.manifest(manifest).Sequence)
		}
	}
}

func contains(list []suit.ComponentID, id suit.ComponentID) bool {
	return slices.ContainsFunc(list, id.Equal)
}

func remove(list []suit.ComponentID, id suit.ComponentID) []suit.ComponentID {
	return slices.DeleteFunc(list, id.Equal)
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
	x.Retired = slices.DeleteFunc(x.Retired, func(r retiredEntry) bool { return r.ID.Equal(e.ID) })
	return nil
}

// dropManifest takes a manifest out with its references, and remembers how far it had
// come. It reports false where there is none.
func (x *index) dropManifest(id suit.ComponentID) bool {
	m := x.manifest(id)
	if m == nil {
		return false
	}
	x.Retired = append(x.Retired, retiredEntry{m.ID, m.Sequence})
	x.Retired = x.Retired[max(0, len(x.Retired)-maxRetired):]
	x.Manifests = slices.DeleteFunc(x.Manifests, func(e manifestEntry) bool { return e.ID.Equal(id) })
	x.Unneeded = remove(x.Unneeded, id)
	x.reference(id, nil)
	return true
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

// providers returns the manifests that stand for what somebody asks for, be it by the
// name of a component or by that of its manifest.
func (x *index) providers(name suit.ComponentID) []manifestEntry {
	c := x.component(name)
	var out []manifestEntry
	for _, m := range x.Manifests {
		if m.ID.Equal(name) || c != nil && contains(c.Manifests, m.ID) {
			out = append(out, m)
		}
	}
	return out
}

// satisfied reports whether a wish is fulfilled by what is installed, and new enough.
func (x *index) satisfied(r requestEntry) bool {
	return slices.ContainsFunc(x.providers(r.Component), func(m manifestEntry) bool {
		return r.MinSequence == nil || m.Sequence >= *r.MinSequence
	})
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
	if err := x.check(); err != nil {
		return nil, err
	}
	if version == withoutFloors {
		x.raiseFloors()
	}
	return x, x.checkFloors()
}

// check refuses an index that this package would not have written.
func (x *index) check() error {
	if len(x.Components) > maxComponents || len(x.Manifests) > maxComponents ||
		len(x.Requests) > maxRequests || len(x.Updates) > maxUpdates || len(x.Retired) > maxRetired {
		return fmt.Errorf("%w: the index lists more than it may", ErrDamaged)
	}
	manifests := map[string]bool{}
	for _, m := range x.Manifests {
		key := m.ID.Key()
		if manifests[key] || !validFile(m.File) {
			return fmt.Errorf("%w: manifest %s in the index", ErrDamaged, m.ID)
		}
		manifests[key] = true
	}
	components := map[string]bool{}
	for _, c := range x.Components {
		key := c.ID.Key()
		if components[key] || !validFile(c.File) || len(c.Manifests) == 0 || !distinct(c.Manifests, manifests) {
			return fmt.Errorf("%w: component %s in the index", ErrDamaged, c.ID)
		}
		components[key] = true
	}
	if !distinct(x.Unneeded, manifests) {
		return fmt.Errorf("%w: unneeded manifests in the index", ErrDamaged)
	}
	for _, r := range x.Retired {
		if manifests[r.ID.Key()] {
			return fmt.Errorf("%w: manifest %s in the index is installed and retired", ErrDamaged, r.ID)
		}
	}
	for _, u := range x.Updates {
		if len(u) != sha256.Size {
			return fmt.Errorf("%w: update digest of %d bytes in the index", ErrDamaged, len(u))
		}
	}
	return nil
}

// distinct reports whether the list names known manifests, none of them twice.
func distinct(list []suit.ComponentID, known map[string]bool) bool {
	seen := map[string]bool{}
	for _, id := range list {
		key := id.Key()
		if seen[key] || !known[key] {
			return false
		}
		seen[key] = true
	}
	return true
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
