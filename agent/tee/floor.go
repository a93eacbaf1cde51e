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
// referenced a component, whatever their names: retiredEntry guards a manifest against
// its own older versions, this one guards the component against all others.
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

// raiseFloor makes the floor of a component no lower than sequence, and the last to be
// forgotten. Where there are too many, the oldest one goes whose component is not
// installed: of these there is one, since fewer components can be installed.
func (x *index) raiseFloor(component suit.ComponentID, sequence uint64) {
	f := floorEntry{component, max(sequence, x.floor(component))}
	x.Floors = slices.DeleteFunc(x.Floors, func(f floorEntry) bool { return f.Component.Equal(component) })
	x.Floors = append(x.Floors, f)
	if len(x.Floors) <= maxFloors {
		return
	}
	oldest := slices.IndexFunc(x.Floors, func(f floorEntry) bool { return x.component(f.Component) == nil })
	x.Floors = slices.Delete(x.Floors, oldest, oldest+1)
}

// raiseFloors gives the components of an index that kept no floors those that follow
// from the installed manifests.
func (x *index) raiseFloors() {
	for _, c := range x.Components {
		for _, id := range c.Manifests {
			x.raiseFloor(c.ID, x.manifest(id).Sequence)
		}
	}
}

// checkFloors refuses an index with a component that stands above its floor.
func (x *index) checkFloors() error {
	if len(x.Floors) > maxFloors {
		return fmt.Errorf("%w: the index lists more than it may", ErrDamaged)
	}
	floors := map[string]uint64{}
	for _, f := range x.Floors {
		key := f.Component.Key()
		if _, twice := floors[key]; twice {
			return fmt.Errorf("%w: floor of component %s twice in the index", ErrDamaged, f.Component)
		}
		floors[key] = f.Sequence
	}
	sequences := map[string]uint64{}
	for _, m := range x.Manifests {
		sequences[m.ID.Key()] = m.Sequence
	}
	for _, c := range x.Components {
		floor, ok := floors[c.ID.Key()]
		above := func(id suit.ComponentID) bool { return sequences[id.Key()] > floor }
		if !ok || slices.ContainsFunc(c.Manifests, above) {
			return fmt.Errorf("%w: floor of component %s in the index", ErrDamaged, c.ID)
		}
	}
	return nil
}
