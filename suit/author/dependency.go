package author

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// MaxEnvelope is the largest envelope of a dependency, in bytes.
const MaxEnvelope = MaxIntegrated + 16*suit.MaxManifestSize

// dependency is a manifest that was read, and its place in the one that depends on it.
type dependency struct {
	Dependency
	id       suit.ComponentID
	index    uint64
	digest   suit.Digest // of the manifest
	envelope []byte
	manifest *suit.Manifest
	uri      string
}

func dependencyPath(i int) string { return fmt.Sprintf("dependencies[%d]", i) }

func (d *Description) loadDependencies() ([]*dependency, error) {
	var list []*dependency
	for i, given := range d.Dependencies {
		dep := &dependency{Dependency: given, id: given.ID}
		if err := dep.load(); errors.As(err, new(*fs.PathError)) {
			return nil, fmt.Errorf("%s: %w", dependencyPath(i), err)
		} else if err != nil {
			return nil, d.refuse(dependencyPath(i), "%s: %v", dependencyPath(i), err)
		}
		if taken := d.taken(dep.id, list); taken != "" {
			return nil, d.refuse(dependencyPath(i), "%s: %s is the id of %s already; name another with id", dependencyPath(i), dep.id, taken)
		}
		if err := d.checkID(dependencyPath(i), dependencyPath(i)+".id", dep.id); err != nil {
			return nil, err
		}
		list = append(list, dep)
	}
	return list, nil
}

// taken says what else has that id; empty for nothing.
func (d *Description) taken(id suit.ComponentID, others []*dependency) string {
	for _, c := range d.components() {
		if c.ID.Equal(id) || c.Payload.staged() && c.staging().Equal(id) {
			return "a component"
		}
	}
	if d.manifestComponent().Equal(id) {
		return "the manifest itself"
	}
	for _, other := range others {
		if other.id.Equal(id) {
			return "another dependency"
		}
	}
	return ""
}

// load reads the envelope. Its signature is for devices to check: here it has to be
// there, over the manifest that is there.
func (dep *dependency) load() error {
	f, err := openRegular(dep.File)
	if err != nil {
		return err
	}
	defer f.Close() // it was only read
	if dep.envelope, err = io.ReadAll(io.LimitReader(f, MaxEnvelope+1)); err != nil {
		return err
	}
	if len(dep.envelope) > MaxEnvelope {
		return fmt.Errorf("%s is over %d bytes, too large for an envelope", dep.File, MaxEnvelope)
	}
	if dep.Integrated && len(dep.envelope) > MaxIntegrated {
		return fmt.Errorf("%s is over %d bytes, too large to be integrated: give uri or uri-base", dep.File, MaxIntegrated)
	}
	e, err := suit.Decode(dep.envelope)
	if err != nil {
		return fmt.Errorf("%s: %w", dep.File, err)
	}
	if len(e.UnverifiedBlocks()) == 0 {
		return fmt.Errorf("%s is not signed: no device would take it; 'tamctl suit sign' does that", dep.File)
	}
	if dep.digest, err = e.MeasureDigest(); err != nil {
		return fmt.Errorf("%s: %w", dep.File, err)
	}
	if !dep.digest.Equal(e.Digest()) {
		return fmt.Errorf("%s: what is signed is not the manifest that is there", dep.File)
	}
	if dep.manifest, err = e.UnverifiedManifest(); err != nil {
		return fmt.Errorf("%s: %w", dep.File, err)
	}
	return dep.place()
}

// place says where the envelope is stored and fetched.
func (dep *dependency) place() (err error) {
	if dep.id == nil {
		if dep.id = dep.manifest.ComponentID; dep.id == nil {
			return fmt.Errorf("%s has no manifest-component-id: name the component that is to hold it with id", dep.File)
		}
	}
	if dep.Integrated {
		dep.uri = "#" + dep.id.String()
		return nil
	}
	dep.uri, err = address(dep.URI, dep.URIBase, dep.transfer().Digest)
	return err
}

// transfer is the envelope as it crosses the network.
func (dep *dependency) transfer() Image {
	m := newMeter()
	m.Write(dep.envelope) // a hash takes everything
	return m.image()
}

// sections are those that its dependents have to process. Uninstall is not among them:
// it runs when the last reference to the manifest is unlinked.
func (dep *dependency) sections() []suit.Section {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(dep.manifest.Sections)),
		func(s suit.Section) bool { return s == suit.SectionUninstall })
}
