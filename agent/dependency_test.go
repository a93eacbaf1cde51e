package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// depending describes a release that brings another one as its dependency.
func (w *world) depending(on release) func(*author.Description) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "dependency.suit")
	if err := os.WriteFile(file, w.envelope(on), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return func(d *author.Description) {
		d.Dependencies = []author.Dependency{{File: file, Integrated: true}}
	}
}

// TestDependency: a dependency needs a signer of its own who may publish it; it is
// installed with what depends on it, and goes with that.
func TestDependency(t *testing.T) {
	w := newWorld(t)
	library := release{component: "app/narrow/lib", sequence: 1, image: "library", signer: w.narrow}
	root := release{component: "app/hello", sequence: 1, image: "hello", signer: w.publisher, describe: w.depending(library)}
	for _, r := range w.reports(must[*teep.Success](w, w.update(root)).SUITReports) {
		if !r.Succeeded() {
			t.Errorf("report %+v", r.Failure)
		}
	}
	both := "app/narrow/lib " + suit.SumSHA256([]byte("library")).String() + "\n" + "app/hello " + suit.SumSHA256([]byte("hello")).String() + "\n"
	if got := w.installed(); got != both {
		t.Fatalf("installed\n%swant\n%s", got, both)
	}

	// Nobody asked for the library itself, so nobody can ask for it to go.
	w.mustError(w.seal(w.unlinking("app/narrow/lib/suit"), w.tam), teep.ManifestProcessingFailed, processor.ErrNotInstalled)
	if got := w.installed(); got != both {
		t.Fatalf("after a refused unlinking: %s", got)
	}
	must[*teep.Success](w, w.unlinking("app/hello/suit"))
	if got := w.installed(); got != "" || len(w.store.Manifests()) > 0 {
		t.Errorf("still there: %s, %s", got, w.store.Manifests())
	}
}

// TestDependencyRefused: the right of one signer does not cover what another signed.
func TestDependencyRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		component string
		signer    func(*world) cosekit.Signer
		is        error
	}{
		"signer without the right":  {"app/lib", narrowOf, processor.ErrUnauthorized},
		"signer of another vendor":  {"app/lib", func(w *world) cosekit.Signer { return w.retired }, processor.ErrUnauthorized},
		"signer who is not trusted": {"app/lib", func(w *world) cosekit.Signer { return w.mallory }, suit.ErrNoSignature},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			library := release{component: tt.component, sequence: 1, image: "library", signer: tt.signer(w)}
			root := release{component: "app/hello", sequence: 1, image: "hello", signer: w.publisher, describe: w.depending(library)}
			_, err := w.deliver(w.seal(w.update(root), w.tam))
			if !errors.Is(err, agent.ErrManifest) || !errors.Is(err, tt.is) {
				t.Errorf("%v", err)
			}
			if w.installed() != "" || strings.Contains(w.tree(), "library") {
				t.Errorf("it left %s", w.installed())
			}
		})
	}
}

// TestCompatIsOff: what only the compatibility mode accepts is refused unless it is
// switched on, and then people are told.
func TestCompatIsOff(t *testing.T) {
	// Without dependency-integrity, as the published examples have it.
	lax := func(w *world) *teep.Update {
		u := w.update(release{component: "app/hello", sequence: 1, image: "hello", signer: nil,
			describe: w.depending(release{component: "app/lib", sequence: 1, image: "library", signer: w.publisher})})
		envelope, err := suit.Decode(u.Manifests[0])
		if err != nil {
			t.Fatal(err)
		}
		m, err := envelope.UnverifiedManifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range m.Sections {
			s.Sequence.Commands = slices.DeleteFunc(s.Sequence.Commands, func(c suit.Command) bool {
				return c.Code == suit.ConditionDependencyIntegrity
			})
		}
		payloads := map[string][]byte{}
		for _, name := range envelope.IntegratedNames() {
			payloads[name], _ = envelope.UnverifiedIntegrated(name)
		}
		if envelope, err = suit.Sign(m, payloads, w.publisher); err != nil {
			t.Fatal(err)
		}
		if u.Manifests[0], err = envelope.Encode(false); err != nil {
			t.Fatal(err)
		}
		return u
	}
	w := newWorld(t)
	if _, err := w.deliver(w.seal(lax(w), w.tam)); !errors.Is(err, agent.ErrManifest) || w.installed() != "" {
		t.Errorf("strict: %v, holds %s", err, w.installed())
	}
	w = newWorld(t, func(c *agent.Config) { c.Processing.Mode = processor.Compat })
	must[*teep.Success](w, lax(w))
	if !slices.ContainsFunc(w.events, func(e agent.Event) bool { return e.Step == agent.StepBent }) {
		t.Errorf("nobody is told: %v", w.events)
	}
}
