package tam

import (
	"fmt"

	"github.com/tamarack-tam/tamarack/suit"
)

// image is a target with what the manifest says of its origin.
type image struct {
	Target
	// content is what the manifest itself carries and writes, nil for a fetch.
	content []byte
}

// installing are the sections that put images into components, in their order
// (draft-ietf-suit-manifest-37 section 6.6).
var installing = []suit.Section{suit.SectionPayloadFetch, suit.SectionInstall}

// imagesOf finds what a manifest installs. It follows the commands as a processor
// does, the shared sequence before each section, and notes the parameters in force
// at each fetch and write. Conditions decide on the device and are passed over;
// what would make the outcome depend on the device is refused.
func imagesOf(m *suit.Manifest) ([]image, error) {
	switch {
	case m.Version != suit.ManifestVersion:
		return nil, fmt.Errorf("%w: manifest version %d, want %d", ErrUnsupportedManifest, m.Version, suit.ManifestVersion)
	case m.Common.Dependencies != nil:
		return nil, fmt.Errorf("%w: dependencies", ErrUnsupportedManifest)
	case len(m.Common.Components) == 0:
		return nil, fmt.Errorf("%w: it names no component", ErrNoTarget)
	}
	w := newWalk(m.Common.Components)
	for _, section := range installing {
		element, present := m.Sections[section]
		if !present {
			continue
		}
		if element.Sequence == nil {
			return nil, fmt.Errorf("%w: %s is not in the envelope", ErrSeveredMismatch, section)
		}
		for _, part := range []struct {
			section  suit.Section
			sequence *suit.Sequence
		}{{suit.SectionShared, m.Common.Shared}, {section, element.Sequence}} {
			if err := w.run(part.section, part.sequence); err != nil {
				return nil, err
			}
		}
	}
	return w.outcome()
}

// walk is the state of the evaluation: one set of parameters and at most one image
// for each component.
type walk struct {
	components []suit.ComponentID
	parameters []suit.Parameters
	images     []*image
	selected   []int // component indices that commands apply to
}

func newWalk(components []suit.ComponentID) *walk {
	return &walk{
		components: components,
		parameters: make([]suit.Parameters, len(components)),
		images:     make([]*image, len(components)),
	}
}

func (w *walk) run(section suit.Section, sequence *suit.Sequence) error {
	if sequence == nil {
		return nil
	}
	w.selected = []int{0}
	for i, c := range sequence.Commands {
		if err := w.command(c); err != nil {
			return fmt.Errorf("%s[%d].%s: %w", section, i, c.Code, err)
		}
	}
	return nil
}

func (w *walk) command(c suit.Command) error {
	if c.Code.IsCondition() {
		return nil
	}
	switch c.Code {
	case suit.DirectiveSetComponentIndex:
		return w.selectComponents(c.Argument)
	case suit.DirectiveOverrideParameters, suit.DirectiveSetParameters:
		given, ok := c.Argument.(*suit.Parameters)
		if !ok {
			return fmt.Errorf("%w: no parameters", ErrEnvelopeMalformed)
		}
		for _, i := range w.selected {
			if c.Code == suit.DirectiveOverrideParameters {
				w.parameters[i].Override(given)
			} else {
				w.parameters[i].SetUnset(given)
			}
		}
		return nil
	case suit.DirectiveFetch, suit.DirectiveWrite:
		for _, i := range w.selected {
			if err := w.install(i, c.Code); err != nil {
				return err
			}
		}
		return nil
	}
	return ErrUnsupportedManifest
}

func (w *walk) selectComponents(argument suit.Argument) error {
	w.selected = w.selected[:0]
	switch a := argument.(type) {
	case suit.Index:
		return w.selectOne(uint64(a))
	case suit.IndexList:
		for _, i := range a {
			if err := w.selectOne(i); err != nil {
				return err
			}
		}
		return nil
	case suit.AllComponents:
		for i := range w.components {
			w.selected = append(w.selected, i)
		}
		return nil
	}
	return ErrUnsupportedManifest
}

func (w *walk) selectOne(i uint64) error {
	if i >= uint64(len(w.components)) {
		return fmt.Errorf("%w: component index %d of %d components", ErrEnvelopeMalformed, i, len(w.components))
	}
	w.selected = append(w.selected, int(i))
	return nil
}

// install notes that component i gets an image under its parameters of now.
func (w *walk) install(i int, code suit.CommandCode) error {
	p := &w.parameters[i]
	id := w.components[i]
	switch {
	case p.Has(suit.ParameterEncryptionInfo):
		return fmt.Errorf("%w: encrypted payload of component %s", ErrUnsupportedManifest, id)
	case p.ImageDigest == nil:
		return fmt.Errorf("%w: component %s is installed without an image digest", ErrNoTarget, id)
	}
	img := &image{Target: Target{Component: id, ImageDigest: *p.ImageDigest}}
	if p.ImageSize != nil {
		img.ImageSize = *p.ImageSize
	}
	switch {
	case code == suit.DirectiveWrite && p.Content == nil:
		return fmt.Errorf("%w: component %s is written without content", ErrUnsupportedManifest, id)
	case code == suit.DirectiveWrite:
		img.content = p.Content
	case p.URI == nil:
		return fmt.Errorf("%w: component %s is fetched without a URI", ErrUnsupportedManifest, id)
	default:
		img.URI = *p.URI
	}
	w.images[i] = img
	return nil
}

func (w *walk) outcome() ([]image, error) {
	var out []image
	for _, img := range w.images {
		if img != nil {
			out = append(out, *img)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no fetch and no write in %s or %s", ErrNoTarget, installing[0], installing[1])
	}
	return out, nil
}
