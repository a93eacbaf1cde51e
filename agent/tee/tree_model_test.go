package tee

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// forest is what decision 0006 and the ports of the processor say of a store, told in
// the plainest way: what is needed is found by marking until nothing more is marked.
type forest struct {
	parts  map[string]part
	images map[string]string
	last   map[string]uint64 // sequence numbers, for ever
	floors map[string]uint64 // of components, for ever
}

func (f *forest) commit(remove []string, parts ...part) error {
	for _, name := range remove {
		p, ok := f.parts[name]
		if !ok || !p.root {
			return processor.ErrNotInstalled
		}
		p.root = false
		f.parts[name] = p
	}
	for _, p := range parts {
		p.root = p.root || f.parts[p.name].root
		f.parts[p.name] = p
		f.last[p.name] = p.sequence
		for name, image := range p.images {
			if image != "" {
				f.images[name] = image
			}
		}
	}
	f.sweep()
	for _, p := range f.parts {
		for name := range p.images {
			if _, installed := f.images[name]; installed {
				f.floors[name] = max(f.floors[name], p.sequence)
			}
		}
	}
	return nil
}

func (f *forest) sweep() {
	marked := map[string]bool{}
	for grown := true; grown; {
		grown = false
		for name, p := range f.parts {
			needed := p.root
			for other := range marked {
				needed = needed || slices.Contains(f.parts[other].needs, name)
			}
			if needed && !marked[name] {
				marked[name], grown = true, true
			}
		}
	}
	maps.DeleteFunc(f.parts, func(name string, _ part) bool { return !marked[name] })
	maps.DeleteFunc(f.images, func(name, _ string) bool {
		for _, p := range f.parts {
			if _, lists := p.images[name]; lists {
				return false
			}
		}
		return true
	})
}

func (f *forest) clone() *forest {
	return &forest{maps.Clone(f.parts), maps.Clone(f.images), maps.Clone(f.last), maps.Clone(f.floors)}
}

func (f *forest) String() string {
	var out []string
	for name, p := range f.parts {
		mark := ""
		if p.root {
			mark = "*"
		}
		out = append(out, name+mark)
	}
	for name, image := range f.images {
		out = append(out, name+"="+image)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// TestStoreFollowsTheForest: whatever trees are committed and taken away, with
// dependencies that are shared, missing or in circles, and with payloads that arrive in
// between, the store holds what the model holds, and remembers what it remembers.
func TestStoreFollowsTheForest(t *testing.T) {
	manifests, components := []string{"m1", "m2", "m3", "m4"}, []string{"x", "y", "z"}
	refused, pruned, kept := 0, 0, 0
	rapid.Check(t, func(r *rapid.T) {
		d := newDisk()
		s := openDisk(t, d)
		f := &forest{map[string]part{}, map[string]string{}, map[string]uint64{}, map[string]uint64{}}
		draw := func() part {
			p := part{rapid.SampledFrom(manifests).Draw(r, "manifest"), rapid.Uint64Range(1, 9).Draw(r, "sequence"), rapid.Bool().Draw(r, "root"), map[string]string{}, nil}
			for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(components), 0, 2, rapid.ID[string]).Draw(r, "components") {
				p.images[name] = rapid.SampledFrom([]string{"", "one", "two"}).Draw(r, "image")
			}
			p.needs = rapid.SliceOfNDistinct(rapid.SampledFrom(manifests), 0, 2, rapid.ID[string]).Draw(r, "dependencies")
			return p
		}
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			var remove []string
			var parts []part
			switch rapid.IntRange(0, 5).Draw(r, "what") {
			case 0:
				s = openDisk(t, d)
			case 1:
				if _, err := receive(t, s, rapid.SampledFrom(components).Draw(r, "component"), suit.SumSHA256(nil), "x", rapid.Bool().Draw(r, "whole")); err != nil {
					r.Fatal(err)
				}
			case 2:
				remove = []string{rapid.SampledFrom(manifests).Draw(r, "uninstall")}
			default:
				for range rapid.IntRange(1, 3).Draw(r, "parts") {
					if p := draw(); !slices.ContainsFunc(parts, func(other part) bool { return other.name == p.name }) {
						parts = append(parts, p)
					}
				}
				if rapid.Bool().Draw(r, "and uninstall") {
					remove = []string{rapid.SampledFrom(manifests).Draw(r, "uninstall")}
				}
			}
			if remove == nil && parts == nil {
				continue
			}
			next := f.clone()
			want, before := next.commit(remove, parts...), len(f.parts)
			got := commit(t, s, remove, parts...)
			if !errors.Is(got, want) || (got == nil) != (want == nil) {
				r.Fatalf("%v, the model says %v", got, want)
			}
			if want != nil {
				refused++
			} else {
				if f = next; len(f.parts) < before {
					pruned++
				}
			}
			f.compare(t, r, s)
			kept += len(s.payloads)
		}
		checkTidy(t, d, s)
		checkTidy(t, d, openDisk(t, d))
	})
	if refused == 0 || pruned == 0 || kept == 0 {
		t.Errorf("%d refusals, %d manifests pruned, %d payloads kept: the test does not reach what it is for", refused, pruned, kept)
	}
}

func (f *forest) compare(t *testing.T, r *rapid.T, s *Store) {
	if got, want := contents(t, s), f.String(); got != want {
		r.Fatalf("the store holds %q, the model %q", got, want)
	}
	tx, err := s.Begin(t.Context())
	if err != nil {
		r.Fatal(err)
	}
	defer tx.Rollback()
	for name, want := range f.last {
		if got, known, err := tx.Sequence(t.Context(), component(t, name)); got != want || !known || err != nil {
			r.Fatalf("sequence number of %s: %d, %v, %v; the model has %d", name, got, known, err, want)
		}
	}
	for name, want := range f.floors {
		if got, err := tx.Floor(t.Context(), component(t, name)); got != want || err != nil {
			r.Fatalf("floor of %s: %d, %v; the model has %d", name, got, err, want)
		}
	}
	for _, name := range []string{"m1", "m2", "x", "y"} {
		var want []string
		for _, p := range f.parts {
			if _, lists := p.images[name]; lists || slices.Contains(p.needs, name) {
				want = append(want, p.name)
			}
		}
		slices.Sort(want)
		by, err := tx.References(t.Context(), component(t, name))
		var got []string
		for _, id := range by {
			got = append(got, id.String())
		}
		slices.Sort(got)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			r.Fatalf("%v reference %s, the model says %v (%v)", got, name, want, err)
		}
	}
}
