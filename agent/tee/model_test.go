package tee

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// model is what decision 0006 says of a device.
type model struct {
	images     map[string]string // by component
	references map[string]string // manifest → its one component
	sequences  map[string]uint64 // by manifest, for ever
	floors     map[string]uint64 // by component, for ever
}

// install changes the model, or returns why the manifest has to be refused.
func (m *model) install(name, component string, sequence uint64, image string) error {
	if sequence < m.sequences[name] {
		return processor.ErrRollback
	}
	for other, c := range m.references {
		if other != name && c == component && m.images[component] != image {
			return processor.ErrReferenced
		}
	}
	if m.images[component] != image && sequence < m.floors[component] {
		return processor.ErrRollback
	}
	m.floors[component] = max(sequence, m.floors[component])
	m.sequences[name], m.references[name], m.images[component] = sequence, component, image
	m.sweep()
	return nil
}

func (m *model) uninstall(name string) error {
	if _, ok := m.references[name]; !ok {
		return processor.ErrNotInstalled
	}
	delete(m.references, name)
	m.sweep()
	return nil
}

func (m *model) sweep() {
	maps.DeleteFunc(m.images, func(component, _ string) bool {
		return !slices.Contains(slices.Collect(maps.Values(m.references)), component)
	})
}

// TestStoreFollowsItsModel: whatever manifests of several names do to the same
// components, in any order and over restarts, the store holds what the model holds, and
// refuses what it refuses. So no way leads back to an older image of a manifest, or of
// a component under another name.
func TestStoreFollowsItsModel(t *testing.T) {
	refused := map[error]int{}
	rapid.Check(t, func(r *rapid.T) {
		d := newDisk()
		s := openDisk(t, d)
		m := model{images: map[string]string{}, references: map[string]string{}, sequences: map[string]uint64{}, floors: map[string]uint64{}}
		installed := map[string]*suit.Verified{}
		for range rapid.IntRange(1, 20).Draw(r, "steps") {
			name := rapid.SampledFrom([]string{"app/a", "app/b", "app/c"}).Draw(r, "manifest")
			var got, want error
			switch rapid.IntRange(0, 4).Draw(r, "what") {
			case 0:
				v := installed[name]
				if v == nil {
					continue
				}
				got, want = uninstall(t.Context(), s, v), m.uninstall(name)
			case 1:
				s = openDisk(t, d)
				continue
			default:
				target := rapid.SampledFrom([]string{"app/x", "app/y"}).Draw(r, "component")
				sequence := rapid.Uint64Range(1, 4).Draw(r, "sequence")
				image := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(r, "image")
				v := named(t, name, component(t, target), sequence, []byte(image))
				got, want = install(t.Context(), s, v), m.install(name, target, sequence, image)
				if got == nil {
					installed[name] = v
				}
			}
			if !errors.Is(got, want) || (got == nil) != (want == nil) {
				r.Fatalf("%v, the model says %v", got, want)
			}
			refused[want]++
			m.compare(r, s)
		}
		checkTidy(t, d, s)
	})
	for _, err := range []error{nil, processor.ErrRollback, processor.ErrReferenced, processor.ErrNotInstalled} {
		if refused[err] == 0 {
			t.Errorf("%v never came up", err)
		}
	}
}

func (m *model) compare(r *rapid.T, s *Store) {
	list, err := s.Installed(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	got := map[string]string{}
	references := map[string]string{}
	for _, c := range list {
		got[c.ID.String()] = c.Digest.String()
		for _, manifest := range c.Manifests {
			references[manifest.String()] = c.ID.String()
		}
	}
	want := map[string]string{}
	for c, image := range m.images {
		want[c] = suit.SumSHA256([]byte(image)).String()
	}
	if !maps.Equal(got, want) || !maps.Equal(references, m.references) {
		r.Fatal(fmt.Sprintf("the store holds %v by %v, the model %v by %v", got, references, want, m.references))
	}
}
