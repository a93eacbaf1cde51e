package tam_test

import (
	"fmt"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

// countingReader counts the manifests that a plan reads, each with its targets, and
// the questions that it asks for them.
type countingReader struct {
	tam.Reader
	questions, manifests int
}

func (c *countingReader) ManifestsFor(id suit.ComponentID, limit int) ([]tam.Manifest, error) {
	list, err := c.Reader.ManifestsFor(id, limit)
	c.questions++
	c.manifests += len(list)
	return list, err
}

func (c *countingReader) LatestManifest(id suit.ComponentID) (tam.Manifest, error) {
	c.questions++
	c.manifests++
	return c.Reader.LatestManifest(id)
}

func (c *countingReader) Manifest(digest suit.Digest) (tam.Manifest, error) {
	c.questions++
	c.manifests++
	return c.Reader.Manifest(digest)
}

// hostile is a store with many versions of many components, and an agent that
// names all of them as often as it can. Nobody may publish the newest ones any more.
func hostile(t testing.TB, components, versions int) *planWorld {
	w := newPlanWorld(t)
	stranger := signer(t, cosekit.ESP256).PublicKey().Thumbprint()
	for i := range components {
		name := fmt.Sprintf("app/%d", i)
		for v := range versions {
			w.publish(name, uint64(v+1), fmt.Sprint(v), func(m *tam.Manifest) { m.Signer = stranger })
		}
	}
	return w
}

func (w *planWorld) cost() (c countingReader) {
	w.t.Helper()
	w.view(func(r tam.Reader) error {
		c.Reader = r
		_, err := w.planner.Plan(&c, w.input)
		return err
	})
	return c
}

// names are ids that an agent can write into a message of 16 KB.
func names(n, components int, suffix string) (list []suit.ComponentID) {
	for i := range n {
		list = append(list, component(fmt.Sprintf("app/%d%s", i%components, suffix)))
	}
	return list
}

// What a message makes a plan read is bounded, whatever it names.
func TestPlansAreBounded(t *testing.T) {
	const components, versions = 40, 20
	for _, c := range []struct {
		name      string
		set       func(*planWorld)
		questions int
		manifests int
	}{
		{"unneeded manifests", func(w *planWorld) { w.input.Unneeded = names(1000, components, "/manifest") }, 32, 32},
		{"one of them, over and over", func(w *planWorld) { w.input.Unneeded = names(1000, 1, "/manifest") }, 1, 1},
		{"targets as unneeded manifests", func(w *planWorld) { w.input.Unneeded = names(1000, components, "") }, 32, 32},
		{"requests", func(w *planWorld) {
			for _, id := range names(1000, components, "") {
				w.input.Requested = append(w.input.Requested, teep.RequestedTC{Component: id})
			}
		}, 2 * components, 512 + 16},
		{"what it lists", func(w *planWorld) {
			for i, id := range names(components, components, "/manifest") {
				w.holds(id, sum(fmt.Sprint("manifest ", i)))
				w.holds(component(fmt.Sprintf("app/%d", i)), sum("none"))
			}
		}, 512, 512 + 16},
		{"what nobody published", func(w *planWorld) {
			for i := range 1000 {
				w.holds(component(fmt.Sprintf("none/%d", i)), sum("none"))
			}
		}, 256, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := hostile(t, components, versions)
			c.set(w)
			got := w.cost()
			if got.questions > c.questions || got.manifests > c.manifests {
				t.Errorf("%d questions and %d manifests, want %d and %d at most", got.questions, got.manifests, c.questions, c.manifests)
			}
		})
	}
}

// A plan for an agent that names all it can, in the transaction that spends its token.
func BenchmarkHostilePlan(b *testing.B) {
	const components, versions = 300, 20
	w := hostile(b, components, versions)
	w.input.Unneeded = names(1000, components, "/manifest")
	for _, id := range names(300, components, "") {
		w.input.Requested = append(w.input.Requested, teep.RequestedTC{Component: id})
		w.holds(id, sum("none"))
	}
	for b.Loop() {
		w.cost()
	}
}
