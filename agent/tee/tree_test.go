package tee

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
)

// part is a manifest of a tree, with what is written of its components.
type part struct {
	name     string
	sequence uint64
	root     bool
	images   map[string]string // by component; "" for one that it lists and does not write
	needs    []string
}

func ids(t testing.TB, names ...string) []suit.ComponentID {
	t.Helper()
	var out []suit.ComponentID
	for _, name := range names {
		out = append(out, component(t, name))
	}
	return out
}

func (p part) installation(t testing.TB) processor.Installation {
	t.Helper()
	id := component(t, p.name)
	in := installation(t, named(t, p.name, append(id, []byte("x")), p.sequence, []byte(fmt.Sprint(p))))
	in.Root = p.root
	in.Components = ids(t, slices.Sorted(maps.Keys(p.images))...)
	in.Dependencies = ids(t, p.needs...)
	return in
}

// commit does what a processor does in one procedure, as far as the store sees it.
func commit(t testing.TB, s *Store, remove []string, parts ...part) (err error) {
	t.Helper()
	tx, err := s.Begin(t.Context())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tx.Rollback()) }()
	change := processor.Change{Uninstall: ids(t, remove...)}
	for _, p := range parts {
		change.Install = append(change.Install, p.installation(t))
		for _, name := range slices.Sorted(maps.Keys(p.images)) {
			if image := p.images[name]; image != "" {
				if err := put(t, tx, component(t, name), image); err != nil {
					return err
				}
			}
		}
	}
	return tx.Commit(t.Context(), change)
}

func put(t testing.TB, tx processor.Transaction, id suit.ComponentID, image string) error {
	t.Helper()
	w, err := tx.Create(t.Context(), id)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, image)
	return errors.Join(err, w.Close())
}

func mustCommit(t testing.TB, s *Store, remove []string, parts ...part) {
	t.Helper()
	if err := commit(t, s, remove, parts...); err != nil {
		t.Fatal(err)
	}
}

// contents is what the store holds: every manifest with "*" for a root, and every
// component with its image.
func contents(t testing.TB, s *Store) string {
	t.Helper()
	roots := s.Roots()
	var out []string
	for _, id := range s.Manifests() {
		mark := ""
		if contains(roots, id) {
			mark = "*"
		}
		out = append(out, id.String()+mark)
	}
	for _, c := range s.view().Components {
		out = append(out, fmt.Sprintf("%s=%s", c.ID, read(t, s, c.File)))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func read(t testing.TB, s *Store, name string) string {
	t.Helper()
	r, size, err := s.files.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || uint64(len(data)) != size {
		t.Fatal(err, size)
	}
	return string(data)
}

// TestTrees installs and uninstalls trees of manifests, and tells what is left.
func TestTrees(t *testing.T) {
	app := part{"app", 5, true, map[string]string{"x": "1"}, []string{"lib"}}
	tool := part{"tool", 6, true, map[string]string{"y": "2"}, []string{"lib"}}
	lib := part{"lib", 2, false, map[string]string{"z": "3"}, nil}
	with := func(p part, edit func(*part)) part { edit(&p); return p }
	type step struct {
		remove []string
		parts  []part
		err    error
		want   string
	}
	for name, steps := range map[string][]step{
		"a dependency goes with its last dependent": {
			{parts: []part{lib, app}, want: "app* lib x=1 z=3"},
			{parts: []part{lib, tool}, want: "app* lib tool* x=1 y=2 z=3"},
			{remove: []string{"app"}, want: "lib tool* y=2 z=3"},
			{remove: []string{"tool"}, want: ""},
		},
		"a dependency is not uninstalled": {
			{parts: []part{lib, app}, want: "app* lib x=1 z=3"},
			{remove: []string{"lib"}, err: processor.ErrNotInstalled, want: "app* lib x=1 z=3"},
			{remove: []string{"other"}, err: processor.ErrNotInstalled, want: "app* lib x=1 z=3"},
			{remove: []string{"app", "app"}, err: processor.ErrNotInstalled, want: "app* lib x=1 z=3"},
		},
		"a root stays one when it becomes a dependency": {
			{parts: []part{with(lib, func(p *part) { p.root = true })}, want: "lib* z=3"},
			{parts: []part{lib, app}, want: "app* lib* x=1 z=3"},
			{remove: []string{"app"}, want: "lib* z=3"},
			{remove: []string{"lib"}, want: ""},
		},
		"a root that is needed stays as a dependency": {
			{parts: []part{with(lib, func(p *part) { p.root = true }), app}, want: "app* lib* x=1 z=3"},
			{remove: []string{"lib"}, want: "app* lib x=1 z=3"},
			{remove: []string{"lib"}, err: processor.ErrNotInstalled, want: "app* lib x=1 z=3"},
			{remove: []string{"app"}, want: ""},
		},
		"an update gives up a dependency and a component": {
			{parts: []part{lib, app}, want: "app* lib x=1 z=3"},
			{parts: []part{{"app", 6, true, map[string]string{"w": "4"}, nil}}, want: "app* w=4"},
		},
		"dependencies that need each other do not keep each other": {
			{parts: []part{
				{"a", 1, false, map[string]string{"x": "1"}, []string{"b"}}, {"b", 1, false, nil, []string{"a", "b"}},
				{"app", 1, true, nil, []string{"a"}},
			}, want: "a app* b x=1"},
			{remove: []string{"app"}, want: ""},
		},
		"a chain": {
			{parts: []part{lib, {"mid", 1, false, nil, []string{"lib"}}, {"app", 1, true, nil, []string{"mid"}}}, want: "app* lib mid z=3"},
			{parts: []part{{"app", 2, true, nil, []string{"lib"}}}, want: "app* lib z=3"},
		},
		"one change installs, replaces and removes": {
			{parts: []part{lib, app}, want: "app* lib x=1 z=3"},
			{remove: []string{"app"}, parts: []part{{"lib", 3, false, map[string]string{"z": "9"}, nil}, tool}, want: "lib tool* y=2 z=9"},
		},
		"an image that another lists stays": {
			{parts: []part{app}, want: "app* x=1"},
			{parts: []part{{"tool", 1, true, map[string]string{"x": ""}, nil}}, want: "app* tool* x=1"},
			{remove: []string{"app"}, want: "tool* x=1"},
		},
		"what nobody needs is not installed": {
			{parts: []part{lib}, want: ""},
		},
		"one name for two things": {
			{parts: []part{lib, app}, want: "app* lib x=1 z=3"},
			{parts: []part{{"z", 1, true, nil, nil}}, err: ErrAmbiguous, want: "app* lib x=1 z=3"},
			{parts: []part{{"tool", 1, true, map[string]string{"lib": "2"}, nil}}, err: ErrAmbiguous, want: "app* lib x=1 z=3"},
			{parts: []part{{"own", 1, true, map[string]string{"own": "2"}, nil}}, want: "app* lib own* own=2 x=1 z=3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDisk()
			s := openDisk(t, d)
			for i, step := range steps {
				before := fingerprint(t, s)
				if err := commit(t, s, step.remove, step.parts...); !errors.Is(err, step.err) || (err == nil) != (step.err == nil) {
					t.Fatalf("step %d: %v, want %v", i, err, step.err)
				}
				if step.err != nil && fingerprint(t, s) != before {
					t.Errorf("step %d was refused and changed something", i)
				}
				if got := contents(t, s); got != step.want {
					t.Errorf("step %d leaves %q, want %q", i, got, step.want)
				}
				checkTidy(t, d, s)
				s = openDisk(t, d)
			}
		})
	}
}

// TestSequenceOutlivesTheDependency: its number and the floors of its components stay
// when it goes with its root.
func TestSequenceOutlivesTheDependency(t *testing.T) {
	s := openDisk(t, newDisk())
	mustCommit(t, s, nil, part{"lib", 4, false, map[string]string{"z": "3"}, nil}, part{"app", 7, true, map[string]string{"x": "1"}, []string{"lib"}})
	mustCommit(t, s, []string{"app"})
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	for name, want := range map[string]uint64{"lib": 4, "app": 7} {
		if n, known, err := tx.Sequence(t.Context(), component(t, name)); n != want || !known || err != nil {
			t.Errorf("%s: %d, %v, %v", name, n, known, err)
		}
	}
	for name, want := range map[string]uint64{"z": 4, "x": 7} {
		if n, err := tx.Floor(t.Context(), component(t, name)); n != want || err != nil {
			t.Errorf("floor of %s: %d, %v", name, n, err)
		}
	}
}

// TestDependencyIsAComponent: a processor fetches its envelope like an image, reads it,
// and finds it again later; what is stored of it is the envelope that was committed.
func TestDependencyIsAComponent(t *testing.T) {
	d := newDisk()
	s := openDisk(t, d)
	tx, err := s.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	lib, app := component(t, "lib"), component(t, "app")
	if _, _, err := tx.Open(t.Context(), lib); !errors.Is(err, processor.ErrNoImage) {
		t.Errorf("before it is fetched: %v", err)
	}
	if err := put(t, tx, lib, "as it was fetched"); err != nil {
		t.Fatal(err)
	}
	if got := open1(t, tx, lib); got != "as it was fetched" {
		t.Errorf("the candidate reads %q", got)
	}
	dependency := part{"lib", 1, false, nil, nil}.installation(t)
	change := processor.Change{Install: []processor.Installation{dependency, part{"app", 1, true, nil, []string{"lib"}}.installation(t)}}
	if err := tx.Commit(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	checkTidy(t, d, s)
	if tx, err = s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	e, err := suit.Decode([]byte(open1(t, tx, lib)))
	if err != nil || !e.Tagged() || len(e.IntegratedNames()) > 0 {
		t.Fatalf("stored as %+v, %v", e, err)
	}
	if digest, err := e.MeasureDigest(); err != nil || !digest.Equal(dependency.Digest) {
		t.Errorf("the stored manifest has %s, %v", digest, err)
	}
	for _, name := range []string{"lib", "app"} {
		m, known, err := tx.Installed(t.Context(), component(t, name))
		if !known || err != nil || m.Root != (name == "app") || m.Sequence != 1 {
			t.Errorf("%s is installed as %+v, %v, %v", name, m, known, err)
		}
	}
	if by, err := tx.References(t.Context(), lib); err != nil || len(by) != 1 || !by[0].Equal(app) {
		t.Errorf("%v reference it, %v", by, err)
	}
	if err := put(t, tx, lib, "newer"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Rollback()); err != nil {
		t.Fatal(err)
	}
	checkTidy(t, d, s)
}

func open1(t testing.TB, tx processor.Transaction, id suit.ComponentID) string {
	t.Helper()
	r, size, err := tx.Open(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil || uint64(len(data)) != size {
		t.Fatal(err, size)
	}
	return string(data)
}

// TestDependenciesAreMeasuredOnce, however many roots need them, and vouched for in
// evidence with what they installed.
func TestDependenciesAreMeasuredOnce(t *testing.T) {
	s := openDisk(t, newDisk())
	lib := part{"lib", 2, false, map[string]string{"z": "3"}, nil}
	mustCommit(t, s, nil, lib, part{"app", 5, true, map[string]string{"x": "1"}, []string{"lib"}})
	mustCommit(t, s, nil, part{"tool", 5, true, map[string]string{"z": ""}, []string{"lib"}})
	claims, err := s.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range claims {
		got = append(got, c.Component.String())
	}
	if slices.Sort(got); strings.Join(got, " ") != "app lib tool x z" {
		t.Errorf("tc-list names %v", got)
	}
	at := slices.IndexFunc(claims, func(c suit.PropertyClaims) bool { return c.Component.String() == "lib" })
	if want := lib.installation(t).Digest; !claims[at].ImageDigest.Equal(want) || claims[at].ImageSize != nil {
		t.Errorf("the dependency measures %s, want %s", claims[at].ImageDigest, want)
	}
	m, err := s.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var e attest.Claims
	m.describe(&e)
	if len(e.Manifests) != 3 || len(e.Measurements) != 3 || len(e.Measurements[2].Components) != 1 {
		t.Errorf("evidence names %d manifests and measures %+v", len(e.Manifests), e.Measurements)
	}
}

// TestRequestsAndDependencies: what a dependency has counts as installed; who gives it up
// does not give up what depends on it, and who needs it needs that too.
func TestRequestsAndDependencies(t *testing.T) {
	s := openDisk(t, newDisk())
	mustCommit(t, s, nil, part{"lib", 2, false, map[string]string{"z": "3"}, nil}, part{"app", 5, true, map[string]string{"x": "1"}, []string{"lib"}})
	for _, name := range []string{"z", "lib"} {
		if added, err := s.Request(wish(t, name, 2)); added || err != nil {
			t.Errorf("%s is installed as a dependency: added %v, %v", name, added, err)
		}
		if changed, err := s.Withdraw(component(t, name)); changed || err != nil {
			t.Errorf("%s is given up: %v, %v", name, changed, err)
		}
	}
	if added, err := s.Request(wish(t, "z", 5)); !added || err != nil {
		t.Errorf("a newer one: %v, %v", added, err)
	}
	mustCommit(t, s, nil, part{"lib", 5, false, map[string]string{"z": "4"}, nil})
	if r := s.Requests(); len(r) != 0 {
		t.Errorf("requests after the update: %v", r)
	}
	if changed, err := s.Withdraw(component(t, "x")); !changed || err != nil {
		t.Error(changed, err)
	}
	if u := s.Unneeded(); len(u) != 1 || u[0].String() != "app" {
		t.Errorf("unneeded %v", u)
	}
	if added, err := s.Request(wish(t, "z", 1)); added || err != nil || len(s.Unneeded()) != 0 {
		t.Errorf("what the library is needed for is needed: added %v, %v, unneeded %v", added, err, s.Unneeded())
	}
	// One that lists it too is a root of its own.
	mustCommit(t, s, nil, part{"other", 1, true, map[string]string{"z": ""}, nil})
	if changed, err := s.Withdraw(component(t, "z")); !changed || err != nil {
		t.Error(changed, err)
	}
	if u := s.Unneeded(); len(u) != 1 || u[0].String() != "other" {
		t.Errorf("unneeded %v", u)
	}
	mustCommit(t, s, []string{"other"})
	mustCommit(t, s, nil, part{"tool", 1, true, nil, []string{"app"}})
	if _, err := s.Withdraw(component(t, "app")); err != nil {
		t.Fatal(err)
	}
	mustCommit(t, s, []string{"app"})
	if got := contents(t, s); len(s.Unneeded()) != 0 || got != "app lib tool* x=1 z=4" {
		t.Errorf("unneeded %v of %s", s.Unneeded(), got)
	}
}
