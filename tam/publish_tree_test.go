package tam_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// tree is a manifest with what it depends on, as a test describes it.
type tree struct {
	id       string // manifest component id; empty for none
	sequence uint64
	images   map[string]string // by component
	choice   map[string]string // other images that the device may choose instead
	needs    []need
	signers  []cosekit.Signer // none: the publisher of the world
}

// need is a dependency: its envelope and where it comes from.
type need struct {
	id       string
	envelope []byte
	uri      string // empty: it is integrated
	digest   *suit.Digest
}

func (w *world) fleet(change ...func(*tam.FleetConfig)) *tam.Fleet {
	c := tam.FleetConfig{Store: w.store, Clock: w.now.Now}
	for _, f := range change {
		f(&c)
	}
	return tam.NewFleet(c)
}

func (w *world) lastEvent() (last audit.Event) {
	w.t.Helper()
	w.view(func(r tam.Reader) error {
		list, err := r.Events(0, 1000)
		last = list[len(list)-1]
		return err
	})
	return last
}

func (w *world) manifestOf(digest suit.Digest) (m *suit.Manifest) {
	w.t.Helper()
	w.view(func(r tam.Reader) error {
		raw, err := r.Envelope(digest)
		if err != nil {
			return err
		}
		e, err := suit.Decode(raw)
		if err == nil {
			m, err = e.UnverifiedManifest()
		}
		return err
	})
	return m
}

func argued(code suit.CommandCode, a suit.Argument) suit.Command {
	return suit.Command{Code: code, Argument: a}
}

// envelope signs what the description says. Every image is fetched from elsewhere and
// matched; every dependency is fetched, checked and processed in install.
func (w *world) envelope(d *tree) []byte {
	w.t.Helper()
	m := &suit.Manifest{Version: suit.ManifestVersion, SequenceNumber: d.sequence, Sections: map[suit.Section]suit.Severable{}}
	if d.id != "" {
		m.ComponentID = component(d.id)
	}
	var install []suit.Command
	do := func(code suit.CommandCode) { install = append(install, argued(code, suit.Policy(0))) }
	set := func(p suit.Parameters) { install = append(install, argued(suit.DirectiveOverrideParameters, &p)) }
	for i, name := range slices.Sorted(maps.Keys(d.images)) {
		m.Common.Components = append(m.Common.Components, component(name))
		digest, uri := sum(d.images[name]), "https://elsewhere.example/"+name
		install = append(install, argued(suit.DirectiveSetComponentIndex, suit.Index(i)))
		set(suit.Parameters{ImageDigest: &digest, URI: &uri})
		if other, ok := d.choice[name]; ok {
			chosen := sum(other)
			install = append(install, argued(suit.DirectiveTryEach, &suit.Alternatives{Sequences: []suit.Sequence{
				{Commands: []suit.Command{argued(suit.ConditionComponentSlot, suit.Policy(0)), argued(suit.DirectiveOverrideParameters, &suit.Parameters{ImageDigest: &chosen})}},
				{Commands: []suit.Command{argued(suit.DirectiveOverrideParameters, &suit.Parameters{ImageDigest: &digest})}},
			}}))
		}
		do(suit.DirectiveFetch)
		do(suit.ConditionImageMatch)
	}
	integrated := map[string][]byte{}
	for i, n := range d.needs {
		index := uint64(len(d.images) + i)
		m.Common.Dependencies = append(m.Common.Dependencies, suit.Dependency{Index: index, Prefix: component(n.id)})
		uri, digest := n.uri, n.digest
		if uri == "" {
			uri = fmt.Sprintf("#%s", n.id)
			integrated[uri] = n.envelope
		}
		if digest == nil {
			inner, err := suit.Decode(n.envelope)
			if err != nil {
				w.t.Fatal(err)
			}
			own := inner.Digest()
			digest = &own
		}
		install = append(install, argued(suit.DirectiveSetComponentIndex, suit.Index(index)))
		set(suit.Parameters{ImageDigest: digest, URI: &uri})
		do(suit.DirectiveFetch)
		do(suit.ConditionDependencyIntegrity)
		do(suit.DirectiveProcessDependency)
	}
	m.Sections[suit.SectionInstall] = suit.Severable{Sequence: &suit.Sequence{Commands: install}}
	return w.signed(m, integrated, d.signers)
}

func (w *world) signed(m *suit.Manifest, integrated map[string][]byte, signers []cosekit.Signer) []byte {
	w.t.Helper()
	e, err := suit.NewEnvelope(m, integrated)
	if err != nil {
		w.t.Fatal(err)
	}
	if signers == nil {
		signers = []cosekit.Signer{w.publisher}
	}
	for i, s := range signers {
		add := e.Sign
		if i > 0 {
			add = e.Countersign
		}
		if e, err = add(s); err != nil {
			w.t.Fatal(err)
		}
	}
	raw, err := e.Encode(true)
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// publishTree publishes, which must end as want says: nil for well.
func (w *world) publishTree(d *tree, want error, change ...func(*tam.FleetConfig)) tam.Manifest {
	w.t.Helper()
	m, _, err := w.fleet(change...).PublishManifest(w.t.Context(), "operator:test", w.envelope(d))
	if !errors.Is(err, want) {
		w.t.Errorf("publish %s: %v, want %v", d.id, err, want)
	}
	return m
}

// trustFor makes a publisher for the components under a prefix.
func (w *world) trustFor(alg cosekit.Algorithm, prefixes ...string) cosekit.Signer {
	w.t.Helper()
	s := signer(w.t, alg)
	a := anchor.Anchor{Key: s.PublicKey(), Title: "publisher of " + fmt.Sprint(prefixes), Purposes: []anchor.Purpose{anchor.TCSigner}}
	for _, p := range prefixes {
		a.Constraints.Components = append(a.Constraints.Components, component(p))
	}
	w.update(func(tx tam.Tx) error { return tx.AddAnchor(a) })
	return s
}

func installed(m tam.Manifest) (out []string) {
	for _, t := range m.Targets {
		out = append(out, t.Component.String()+"="+t.ImageDigest.String()[8:16])
	}
	return out
}

func short(image string) string { return sum(image).String()[8:16] }

func TestPublishDependencies(t *testing.T) {
	w := newWorld(t)
	libs := w.trustFor(cosekit.ESP256, "lib")
	apps := w.trustFor(cosekit.Ed25519, "app")
	placed := w.trustFor(cosekit.ESP256, "app", "lib/dep")
	stranger := signer(t, cosekit.ESP256)
	lib := &tree{sequence: 3, images: map[string]string{"lib/c": "libc"}, signers: []cosekit.Signer{libs}}
	by := func(s cosekit.Signer, n need) *tree {
		return &tree{id: "app/suit", sequence: 7, images: map[string]string{"app/a": "a"}, needs: []need{n}, signers: []cosekit.Signer{s}}
	}
	raw := w.envelope(lib)
	wrong := sum("another manifest")
	strange, greedy := *lib, *lib
	strange.signers, greedy.signers = []cosekit.Signer{stranger}, []cosekit.Signer{apps}
	chain := raw
	for i := range 5 {
		chain = w.envelope(&tree{sequence: 1, needs: []need{{id: fmt.Sprint("lib/dep/", i), envelope: chain}}})
	}
	for _, c := range []struct {
		name string
		tree *tree
		want error
	}{
		{"a dependency beyond the rights of its dependent", by(apps, need{id: "lib/dep", envelope: raw}), tam.ErrSignerNotAllowed},
		{"a dependency in a place that is not its signer's", by(placed, need{id: "app/dep", envelope: raw}), tam.ErrSignerNotAllowed},
		{"a dependency by a stranger", by(placed, need{id: "lib/dep", envelope: w.envelope(&strange)}), tam.ErrUnknownSigner},
		{"a dependency by a publisher of something else", by(placed, need{id: "lib/dep", envelope: w.envelope(&greedy)}), tam.ErrSignerNotAllowed},
		{"another dependency than the manifest says", by(placed, need{id: "lib/dep", envelope: raw, digest: &wrong}), tam.ErrPayloadMismatch},
		{"something else in its place", by(placed, need{id: "lib/dep", envelope: []byte{0xa0}, digest: &wrong}), tam.ErrEnvelopeMalformed},
		{"one that is hosted elsewhere", by(placed, need{id: "lib/dep", envelope: raw, uri: "https://elsewhere.example/lib.suit"}), tam.ErrDependencyMissing},
		{"too long a chain", by(w.publisher, need{id: "lib/dep", envelope: chain}), tam.ErrUnsupportedManifest},
	} {
		before := w.events(audit.ManifestRefused)
		w.publishTree(c.tree, c.want)
		if w.events(audit.ManifestRefused) != before+1 {
			t.Errorf("%s: not in the audit log", c.name)
		}
	}

	m := w.publishTree(by(placed, need{id: "lib/dep", envelope: raw}), nil)
	expect(t, "targets", fmt.Sprint(installed(m)), fmt.Sprintf("[app/a=%s lib/c=%s]", short("a"), short("libc")))
	expect(t, "dependencies", fmt.Sprint(len(m.Dependencies), m.Dependencies[0].Component), "1 lib/dep")
	expect(t, "signatures", len(m.Signatures), 2)
	expect(t, "who signed the dependency", m.Signatures[1].Signer, libs.PublicKey().Thumbprint())

	// One that is hosted elsewhere will do when it is known here.
	named := *lib
	named.id = "lib/suit"
	w.publishTree(&named, nil)
	elsewhere := by(placed, need{id: "lib/dep", envelope: w.envelope(&named), uri: "https://elsewhere.example/lib.suit"})
	elsewhere.sequence = 8
	w.publishTree(elsewhere, nil)
}

// A publisher of a dependency that is trusted no longer takes the manifest with it.
func TestPlannerChecksEverySignature(t *testing.T) {
	w := newWorld(t)
	libs := signer(t, cosekit.ESP256)
	w.update(func(tx tam.Tx) error {
		return tx.AddAnchor(anchor.Anchor{Key: libs.PublicKey(), Title: "libs", Purposes: []anchor.Purpose{anchor.TCSigner}, NotAfter: w.now.Now().Add(tam.Defaults().AttestationMaxAge / 2)})
	})
	raw := w.envelope(&tree{sequence: 3, images: map[string]string{"lib/c": "libc"}, signers: []cosekit.Signer{libs}})
	w.publishTree(&tree{id: "app/suit", sequence: 7, images: map[string]string{"app/a": "a"}, needs: []need{{id: "lib/dep", envelope: raw}}}, nil)
	d := w.device(cosekit.ESP256).enrol()
	d.require("app/suit")
	expect(t, "while all are publishers", d.respond(d.connect()).Body != nil, true)
	w.now.add(tam.Defaults().AttestationMaxAge/2 + time.Second)
	expect(t, "when one is not any more", d.respond(d.connect()).Reason, tam.ReasonNothingToDo)
}

func TestSignatureRule(t *testing.T) {
	w := newWorld(t)
	pq := w.trustFor(cosekit.MLDSA65, "app")
	confined := w.trustFor(cosekit.MLDSA44, "app/other")
	both := func(c *tam.FleetConfig) { c.Signatures = suit.ClassicalAndPostQuantum }
	sequence := uint64(0)
	publish := func(want error, change func(*tam.FleetConfig), signers ...cosekit.Signer) tam.Manifest {
		t.Helper()
		sequence++
		return w.publishTree(&tree{id: "app/suit", sequence: sequence, images: map[string]string{"app/a": "a"}, signers: signers}, want, change)
	}
	any := func(*tam.FleetConfig) {}
	publish(nil, any, w.publisher)
	publish(nil, any, pq)
	publish(nil, any, confined, w.publisher)
	publish(tam.ErrSignatureMissing, both, w.publisher)
	publish(tam.ErrSignatureMissing, both, pq)
	publish(tam.ErrSignatureMissing, both, w.publisher, confined)
	m := publish(nil, both, w.publisher, pq)
	expect(t, "signatures", len(m.Signatures), 2)
	m = publish(nil, both, confined, pq, w.publisher)
	expect(t, "signatures that count", len(m.Signatures), 2)

	// Each manifest of a tree needs both.
	inner := w.envelope(&tree{sequence: 1, images: map[string]string{"app/b": "b"}})
	tree := &tree{id: "app/suit", sequence: 100, needs: []need{{id: "app/dep", envelope: inner}}, signers: []cosekit.Signer{w.publisher, pq}}
	w.publishTree(tree, tam.ErrSignatureMissing, both)
	w.publishTree(tree, nil, any)
}

// Numbers below those of another manifest of the component are said, not refused.
func TestWarningsOfLowerNumbers(t *testing.T) {
	w := newWorld(t)
	w.publishTree(&tree{id: "app/one/suit", sequence: 9, images: map[string]string{"app/a": "a"}}, nil)
	for _, c := range []struct {
		id       string
		sequence uint64
		warnings int
	}{{"app/two/suit", 8, 1}, {"app/two/suit", 9, 0}, {"app/one/suit", 10, 0}, {"app/two/suit", 11, 0}} {
		raw := w.envelope(&tree{id: c.id, sequence: c.sequence, images: map[string]string{"app/a": "a"}})
		_, warnings, err := w.fleet().PublishManifest(t.Context(), "operator:test", raw)
		if err != nil || len(warnings) != c.warnings {
			t.Errorf("%s %d: warnings %q, %v; want %d", c.id, c.sequence, warnings, err, c.warnings)
		}
		if c.warnings > 0 {
			expectContains(t, "warning", warnings[0], "app/one/suit")
			expectContains(t, "audit log", w.lastEvent().Details["warnings"], "app/one/suit")
		}
	}
}

// A device is confirmed with any of the images that the manifest lets it choose from,
// and with its dependencies' images; what else is measured contradicts.
func TestConfirmOutcomes(t *testing.T) {
	for _, c := range []struct {
		name  string
		holds map[string]string
		want  devices.ComponentState
	}{
		{"the one", map[string]string{"app/a": "one", "lib/c": "libc"}, devices.Confirmed},
		{"the other", map[string]string{"app/a": "two", "lib/c": "libc"}, devices.Confirmed},
		{"neither", map[string]string{"app/a": "three", "lib/c": "libc"}, devices.Failed},
		{"not what the dependency installs", map[string]string{"app/a": "one", "lib/c": "old"}, devices.Failed},
		{"nothing of the dependency", map[string]string{"app/a": "one"}, devices.Claimed},
		{"another dependency", map[string]string{"app/a": "one", "lib/c": "libc", "lib/dep": "another manifest"}, devices.Failed},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			raw := w.envelope(&tree{sequence: 3, images: map[string]string{"lib/c": "libc"}})
			m := w.publishTree(&tree{
				id: "app/a/manifest", sequence: 7, images: map[string]string{"app/a": "one"}, choice: map[string]string{"app/a": "two"},
				needs: []need{{id: "lib/dep", envelope: raw}},
			}, nil)
			d := w.device(cosekit.ESP256).enrol()
			d.require("app/a")
			id := d.record().ID
			w.update(func(tx tam.Tx) error { // it was offered often, and rests, so that nothing is offered below
				return tx.PutComponentStatus(devices.ComponentStatus{
					Device: id, Component: m.Component, Manifest: m.Digest, Sequence: 7, State: devices.Claimed,
					Attempts: 9, Since: w.now.Now(), RetryAfter: w.now.Now().Add(time.Hour),
				})
			})
			for name, image := range c.holds {
				d.installed[name] = sum(image)
			}
			w.now.add(time.Second)
			d.respond(d.open(d.respond(d.connect()).Body).(*teep.QueryRequest))
			expect(t, "state", d.status("app/a").State, c.want)
		})
	}
}

// A dependency that another manifest needs too stays with what it has installed; the
// removal of the one is done without.
func TestRemovalLeavesSharedDependency(t *testing.T) {
	w := newWorld(t)
	raw := w.envelope(&tree{sequence: 3, images: map[string]string{"lib/c": "libc"}})
	one := w.publishTree(&tree{id: "app/one/manifest", sequence: 1, images: map[string]string{"app/one": "one"}, needs: []need{{id: "lib/dep", envelope: raw}}}, nil)
	two := w.publishTree(&tree{id: "app/two/manifest", sequence: 1, images: map[string]string{"app/two": "two"}, needs: []need{{id: "lib/dep", envelope: raw}}}, nil)
	for _, c := range []struct {
		name string
		left map[string]string
		want devices.ComponentState
	}{
		{"what is shared is left", map[string]string{"app/two": "two", "lib/c": "libc"}, devices.Removed},
		{"what is its own is left", map[string]string{"app/one": "one", "app/two": "two", "lib/c": "libc"}, devices.Unlinked},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := w.device(cosekit.ESP256).enrol()
			id := d.record().ID
			for m, state := range map[*tam.Manifest]devices.ComponentState{&one: devices.Unlinked, &two: devices.Confirmed} {
				w.update(func(tx tam.Tx) error {
					return tx.PutComponentStatus(devices.ComponentStatus{
						Device: id, Component: m.Component, Manifest: m.Digest, Sequence: 1, State: state,
						Attempts: 1, Since: w.now.Now(), RetryAfter: w.now.Now().Add(time.Hour),
					})
				})
			}
			for name, image := range c.left {
				d.installed[name] = sum(image)
			}
			w.now.add(time.Second)
			d.respond(d.open(d.respond(d.connect()).Body).(*teep.QueryRequest))
			expect(t, "state", d.status("app/one").State, c.want)
		})
	}
}
