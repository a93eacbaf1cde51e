package tee

import (
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/suit"
)

// maxFloors bounds the floors that are kept, of components that are installed and of
// those that were. It is above maxComponents, so that there is one to forget.
const maxFloors = 1024

// floorEntry remembers the highest sequence number of all manifests that ever
// referenced a component and could determine its image, whatever their names: retiredEntry
// guards a manifest against its own older versions, this one guards the component against
// all others.
type floorEntry struct {
	Component suit.ComponentID `cbor:"1,keyasint"`
	Sequence  uint64           `cbor:"2,keyasint"`
}

// floor returns the sequence number below which no manifest may alter the component.
func (x *index) floor(component suit.ComponentID) uint64 {
	for _, f := range x.Floors {
		if f.Component.Equal(component) {
			return f.Sequence
		}
	}
	return 0
}

// raiseFloors lets no component stand below a manifest that lists it, but for those that
// only look at it. The floors of what
// is installed come last: those before them are in the order in which their components
// went, and the oldest of these is forgotten where there are too many.
func (x *index) raiseFloors() {
	highest := map[string]uint64{}
	for _, f := range x.Floors {
		highest[f.Component.Key()] = f.Sequence
	}
	for _, m := range x.Manifests {
		for _, id := range m.Components {
			if !contains(m.Observed, id) {
				highest[id.Key()] = max(m.Sequence, highest[id.Key()])
			}
		}
	}
	x.Floors = slices.DeleteFunc(x.Floors, func(f floorEntry) bool { return x.component(f.Component) != nil })
	for _, c := range x.Components {
		x.Floors = append(x.Floors, floorEntry{c.ID, highest[c.ID.Key()]})
	}
	x.Floors = x.Floors[max(0, len(x.Floors)-maxFloors):]
}

// checkFloors refuses an index with a component that stands above its floor.
func (x *index) checkFloors() error {
	floors := map[string]uint64{}
	for _, f := range x.Floors {
		key := f.Component.Key()
		if _, twice := floors[key]; twice {
			return fmt.Errorf("%w: floor of component %s twice in the index", ErrDamaged, f.Component)
		}
		floors[key] = f.Sequence
	}
	installed := map[string]bool{}
	for _, c := range x.Components {
		installed[c.ID.Key()] = true
	}
	for _, m := range x.Manifests {
		for _, id := range m.Components {
			if floor, ok := floors[id.Key()]; installed[id.Key()] && (!ok || m.Sequence > floor && !contains(m.Observed, id)) {
				return fmt.Errorf("%w: floor of component %s in the index", ErrDamaged, id)
			}
		}
	}
	return nil
}
