package corim

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/suit"
)

// maxWays bounds the ways through the alternatives of a manifest: n of two sequences each
// would have 2ⁿ.
const maxWays = 256

// maxSteps bounds how often a command is run, over all ways and selected components.
const maxSteps = 1 << 18

// imageSections are those after which components hold what their image digest says.
// Payload-fetch is about what is fetched, which may still be encrypted.
var imageSections = []suit.Section{
	suit.SectionDependencyResolution, suit.SectionInstall, suit.SectionValidate, suit.SectionLoad, suit.SectionInvoke,
}

// way is the state of an interpreter on one way through the alternatives: parameters of
// each component and which of them are selected.
type way struct {
	parameters []suit.Parameters
	selected   []int
}

func (w way) clone() way {
	return way{slices.Clone(w.parameters), slices.Clone(w.selected)}
}

// devices says on which devices something is installed.
type devices struct{ class, vendor *uuid.UUID }

// orElse fills in what is not said.
func (d devices) orElse(other devices) devices {
	if d.class == nil && d.vendor == nil {
		return other
	}
	return d
}

// String tells devices apart.
func (d devices) String() string {
	text := ""
	for _, id := range []*uuid.UUID{d.class, d.vendor} {
		if id != nil {
			text += id.String()
		}
		text += "/"
	}
	return text
}

// image is what a component holds where all commands of a manifest went well.
type image struct {
	component  suit.ComponentID
	dependency bool
	on         devices
	digest     suit.Digest
}

// findImages follows the commands that set parameters along every way through the
// alternatives. Conditions are taken as met: which of them hold depends on the device,
// and class and vendor ids go with the images on their way. Manifests check these ids on
// one of their components, for all.
func findImages(m *suit.Manifest) ([]image, error) {
	table, err := m.Common.Table()
	if err != nil {
		return nil, err
	}
	start := way{make([]suit.Parameters, len(table)), nil}
	if len(table) > 0 {
		start.selected = []int{0}
	}
	shared := []way{start}
	var t tracing
	if m.Common.Shared != nil {
		if shared, err = t.follow(m.Common.Shared, shared); err != nil {
			return nil, err
		}
	}
	ends := slices.Clone(shared)
	for _, section := range imageSections {
		if _, has := m.Sections[section]; !has {
			continue
		}
		sequence, ok := m.Section(section)
		if !ok {
			return nil, fmt.Errorf("%w: the section %s was severed; put it back first", ErrManifest, section)
		}
		after, err := t.follow(sequence, cloneAll(shared))
		if err != nil {
			return nil, err
		}
		ends = append(ends, after...)
	}
	var images []image
	for i, entry := range table {
		for _, w := range ends {
			if p := &w.parameters[i]; p.ImageDigest != nil {
				images = append(images, image{entry.ID, entry.Dependency, w.devices(i), *p.ImageDigest})
			}
		}
	}
	return images, nil
}

// devices are those that the way selects for a component, or else for the first that has
// any.
func (w way) devices(i int) devices {
	own := devices{w.parameters[i].ClassID, w.parameters[i].VendorID}
	for _, p := range w.parameters {
		own = own.orElse(devices{p.ClassID, p.VendorID})
	}
	return own
}

func cloneAll(ways []way) []way {
	out := make([]way, len(ways))
	for i, w := range ways {
		out[i] = w.clone()
	}
	return out
}

// tracing counts steps.
type tracing struct{ steps int }

// follow runs the sequence on every way.
func (t *tracing) follow(s *suit.Sequence, ways []way) ([]way, error) {
	for _, c := range s.Commands {
		for i := range ways {
			t.steps += 1 + len(ways[i].selected)
		}
		if t.steps > maxSteps {
			return nil, fmt.Errorf("%w: the manifest takes more than %d steps", ErrTooLarge, maxSteps)
		}
		switch argument := c.Argument.(type) {
		case *suit.Alternatives:
			var all []way
			for i := range argument.Sequences {
				some, err := t.follow(&argument.Sequences[i], cloneAll(ways))
				if err != nil {
					return nil, err
				}
				if all = append(all, some...); len(all) > maxWays {
					return nil, fmt.Errorf("%w: more than %d ways through the alternatives of the manifest", ErrTooLarge, maxWays)
				}
			}
			if argument.Optional {
				all = append(all, ways...)
			}
			ways = all
		case *suit.Sequence:
			var err error
			if ways, err = t.follow(argument, ways); err != nil {
				return nil, err
			}
		default:
			for i := range ways {
				if err := ways[i].apply(c); err != nil {
					return nil, err
				}
			}
		}
	}
	return ways, nil
}

// apply runs one command that selects components or sets parameters.
func (w *way) apply(c suit.Command) error {
	switch argument := c.Argument.(type) {
	case suit.Index:
		if c.Code == suit.DirectiveSetComponentIndex {
			return w.choose(uint64(argument))
		}
	case suit.IndexList:
		if c.Code == suit.DirectiveSetComponentIndex {
			return w.choose(argument...)
		}
	case suit.AllComponents:
		if c.Code == suit.DirectiveSetComponentIndex {
			w.selected = w.selected[:0]
			for i := range w.parameters {
				w.selected = append(w.selected, i)
			}
		}
	case *suit.Parameters:
		for _, i := range w.selected {
			if c.Code == suit.DirectiveSetParameters {
				w.parameters[i].SetUnset(argument)
			} else {
				w.parameters[i].Override(argument)
			}
		}
	case suit.ParameterSets:
		for _, index := range slices.Sorted(maps.Keys(argument)) {
			if err := w.choose(index); err != nil {
				return err
			}
			w.parameters[index].Override(argument[index])
		}
	case suit.ParameterCopies:
		return w.copyFrom(argument)
	}
	return nil
}

func (w *way) copyFrom(copies suit.ParameterCopies) error {
	for _, from := range slices.Sorted(maps.Keys(copies)) {
		if from >= uint64(len(w.parameters)) {
			return fmt.Errorf("%w: component index %d of %d components", ErrMalformed, from, len(w.parameters))
		}
		for _, i := range w.selected {
			for _, code := range copies[from] {
				w.parameters[i].CopyFrom(&w.parameters[from], code)
			}
		}
	}
	return nil
}

func (w *way) choose(indices ...uint64) error {
	w.selected = w.selected[:0]
	for _, index := range indices {
		if index >= uint64(len(w.parameters)) {
			return fmt.Errorf("%w: component index %d of %d components", ErrMalformed, index, len(w.parameters))
		}
		w.selected = append(w.selected, int(index))
	}
	return nil
}
