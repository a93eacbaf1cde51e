package tee

import (
	"crypto/sha256"
	"fmt"

	"github.com/tamarack-tam/tamarack/suit"
)

// checkBounds refuses an index that lists more than this package lets one list.
func (x *index) checkBounds() error {
	if len(x.Components) > maxComponents || len(x.Manifests) > maxComponents || len(x.Requests) > maxRequests ||
		len(x.Updates) > maxUpdates || len(x.Retired) > maxRetired || len(x.Floors) > maxFloors || x.listed() > maxListed {
		return fmt.Errorf("%w: the index lists more than it may", ErrDamaged)
	}
	return nil
}

// listed counts the components and dependencies that manifests list.
func (x *index) listed() (n int) {
	for _, m := range x.Manifests {
		n += len(m.Components) + len(m.Dependencies)
	}
	return n
}

// check refuses an index that this package would not have written.
func (x *index) check() error {
	files := map[string]bool{}
	manifests, roots, err := x.checkManifests(files)
	if err != nil {
		return err
	}
	listed := x.listers()
	components := map[string]bool{}
	for _, c := range x.Components {
		key := c.ID.Key()
		if components[key] || !newFile(c.File, files) || len(listed[key]) == 0 || c.Manifests != nil {
			return fmt.Errorf("%w: component %s in the index", ErrDamaged, c.ID)
		}
		if err := c.Metadata.check(); err != nil {
			return fmt.Errorf("%w: metadata of component %s in the index: %w", ErrDamaged, c.ID, err)
		}
		components[key] = true
	}
	if !distinct(x.Unneeded, roots) {
		return fmt.Errorf("%w: unneeded manifests in the index", ErrDamaged)
	}
	for _, r := range x.Retired {
		if manifests[r.ID.Key()] {
			return fmt.Errorf("%w: manifest %s in the index is installed and retired", ErrDamaged, r.ID)
		}
	}
	for _, name := range x.Dropped {
		if _, ok := parsePayload(name); !ok || files[name] {
			return fmt.Errorf("%w: dropped file %q in the index", ErrDamaged, name)
		}
	}
	for _, u := range x.Updates {
		if len(u) != sha256.Size {
			return fmt.Errorf("%w: update digest of %d bytes in the index", ErrDamaged, len(u))
		}
	}
	return nil
}

// checkManifests refuses lists that this package would not have written, and returns
// the keys of all manifests and those of the roots.
func (x *index) checkManifests(files map[string]bool) (manifests, roots map[string]bool, err error) {
	manifests, roots = map[string]bool{}, map[string]bool{}
	needed := x.needed()
	for _, m := range x.Manifests {
		key := m.ID.Key()
		if manifests[key] || !newFile(m.File, files) || !distinct(m.Components, nil) || !distinct(m.Dependencies, nil) || !distinct(m.Observed, keys(m.Components)) {
			return nil, nil, fmt.Errorf("%w: manifest %s in the index", ErrDamaged, m.ID)
		}
		if !needed[key] {
			return nil, nil, fmt.Errorf("%w: manifest %s in the index is neither a root nor the dependency of one", ErrDamaged, m.ID)
		}
		manifests[key] = true
		if m.Root {
			roots[key] = true
		}
	}
	return manifests, roots, nil
}

// newFile reports whether the index may name the file, and has not named it yet.
func newFile(name string, named map[string]bool) bool {
	ok := validFile(name) && !named[name]
	named[name] = true
	return ok
}

func keys(list []suit.ComponentID) map[string]bool {
	set := map[string]bool{}
	for _, id := range list {
		set[id.Key()] = true
	}
	return set
}

// distinct reports whether no id stands in the list twice and, with known, each of them
// is one of those.
func distinct(list []suit.ComponentID, known map[string]bool) bool {
	seen := map[string]bool{}
	for _, id := range list {
		key := id.Key()
		if seen[key] || known != nil && !known[key] {
			return false
		}
		seen[key] = true
	}
	return true
}
