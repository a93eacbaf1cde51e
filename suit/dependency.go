package suit

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Dependency is one entry of SUIT_Dependencies (draft-ietf-suit-trust-domains): the
// component at Index holds the envelope of another manifest.
type Dependency struct {
	Index uint64
	// Prefix is the component id under which the dependency is stored, where Index lies
	// beyond the list of components; nil for none.
	Prefix     ComponentID
	Extensions map[int64]cosekit.RawMessage
}

const keyDependencyPrefix = 1

var dependencyStep = namer(map[int64]string{keyDependencyPrefix: "prefix"})

// TableEntry is what a component index stands for.
type TableEntry struct {
	ID         ComponentID
	Dependency bool
}

// Table returns the components that indices point into: those that are listed, then the
// dependencies whose index lies beyond the list, by their prefix. The text of the draft
// has dependencies among the components, its examples have them beyond; both are
// supported. An index beyond the list without a prefix, and a gap, are errors.
func (c *Common) Table() ([]TableEntry, error) {
	table := make([]TableEntry, len(c.Components))
	for i, id := range c.Components {
		table[i].ID = id
	}
	for _, d := range c.Dependencies { // in the order of their indices
		switch n := uint64(len(table)); {
		case d.Index < n:
			table[d.Index].Dependency = true
		case d.Index > n:
			return nil, at("dependencies", malformed("index %d of %d components", d.Index, n))
		case d.Prefix == nil:
			return nil, at("dependencies", malformed("index %d is no component and has no prefix", d.Index))
		default:
			table = append(table, TableEntry{d.Prefix, true})
		}
	}
	return table, nil
}

func decodeDependencies(raw []byte) ([]Dependency, error) {
	var list []Dependency
	err := decodeIntMap(raw, true, func(key int64) string { return fmt.Sprintf("[%d]", key) }, func(key int64, value []byte) error {
		if key < 0 {
			return malformed("negative index")
		}
		if len(list) == MaxDependencies {
			return overLimit("more than %d dependencies", MaxDependencies)
		}
		d := Dependency{Index: uint64(key)}
		err := decodeIntMap(value, true, dependencyStep, func(key int64, value []byte) (err error) {
			if key == keyDependencyPrefix {
				d.Prefix, err = decodeComponentID(value)
				return err
			}
			keep(&d.Extensions, key, value)
			return nil
		})
		list = append(list, d)
		return err
	})
	if err == nil && len(list) == 0 {
		err = malformed("no dependency in the map")
	}
	return list, err
}

func encodeDependencies(list []Dependency) (map[uint64]map[int64]any, error) {
	out := map[uint64]map[int64]any{}
	for _, d := range list {
		if _, twice := out[d.Index]; twice {
			return nil, malformed("dependency index %d twice", d.Index)
		}
		entry := map[int64]any{}
		if d.Prefix != nil {
			entry[keyDependencyPrefix] = d.Prefix
		}
		if err := addExtensions(entry, d.Extensions); err != nil {
			return nil, err
		}
		out[d.Index] = entry
	}
	return out, nil
}
