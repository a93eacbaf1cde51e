package tee

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/processor"
	"github.com/tamarack-tam/tamarack/teep"
)

// openDisk opens a store as a new process would.
func openDisk(t testing.TB, d *disk) *Store {
	t.Helper()
	s, err := open(d, identity, func() error { return nil })
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// step is a change that a scenario makes; where it returns nil it has been made.
type step struct {
	name string
	do   func(t *testing.T, s *Store) error
}

// scenario is what happens on the disk while it fails.
type scenario struct {
	base   *disk
	steps  []step
	states map[string]int // how many steps lead to a state, by its fingerprint
	// again is what must be possible afterwards, whatever state was found.
	again    func(t *testing.T, s *Store) error
	payloads map[string]string // that may be kept, by component
}

// newScenario makes the base, and learns the states from a disk that does not fail.
func newScenario(t *testing.T, prepare func(s *Store) error, again func(*testing.T, *Store) error, steps ...step) *scenario {
	t.Helper()
	sc := &scenario{base: newDisk(), steps: steps, states: map[string]int{}, again: again}
	if err := prepare(openDisk(t, sc.base)); err != nil {
		t.Fatal(err)
	}
	s := openDisk(t, sc.base.reboot(aftermaths[0]))
	sc.states[fingerprint(t, s)] = 0
	for i, step := range steps {
		if err := step.do(t, s); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		sc.states[fingerprint(t, s)] = i + 1
	}
	return sc
}

// oneManifest is the life of one: an Update is accepted, its manifest replaces an image
// and fulfils a request; then nobody needs it, and it is uninstalled.
func oneManifest(t *testing.T) *scenario {
	id := component(t, "app/hello")
	two := uint64(2)
	second := manifest(t, id, 2, []byte("the second version"))
	update := func(t *testing.T, s *Store) error { return install(t.Context(), s, second) }
	return newScenario(t, func(s *Store) error {
		_, err := s.Request(teep.RequestedTC{Component: component(t, "app/other")})
		err = errors.Join(err, install(t.Context(), s, manifest(t, id, 1, []byte("the first version"))))
		_, refused := s.Request(teep.RequestedTC{Component: id, MinSequence: &two})
		return errors.Join(err, refused)
	}, update,
		step{"accept", func(t *testing.T, s *Store) error {
			fresh, err := s.AcceptUpdate([32]byte{9})
			if fresh != (err == nil) {
				t.Errorf("fresh=%v beside %v", fresh, err)
			}
			return err
		}},
		step{"update", update},
		step{"withdraw", func(t *testing.T, s *Store) error {
			changed, err := s.Withdraw(id)
			if err == nil && !changed {
				t.Error("nothing was withdrawn")
			}
			return err
		}},
		step{"uninstall", func(t *testing.T, s *Store) error { return uninstall(t.Context(), s, second) }},
	)
}

// wholeTree is the life of a root with a dependency, shared and not, and of four
// components: payloads arrive in parts, several change in one commit, two are exchanged,
// and all of it goes.
func wholeTree(t *testing.T) *scenario {
	const large = "a payload that takes its time to arrive"
	digest := suit.SumSHA256([]byte(large))
	update := func(t *testing.T, s *Store) (err error) {
		s.checkpoint = 16
		tx, err := s.Begin(t.Context())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, tx.Rollback()) }()
		p, kept, err := resume(t, tx, component(t, "w"), digest)
		if err != nil {
			return err
		}
		_, err = io.WriteString(p, large[len(kept):])
		if err := errors.Join(err, p.Close()); err != nil {
			return err
		}
		for name, image := range map[string]string{"lib": "the envelope of the dependency", "x": "x, second", "z": "z, second"} {
			if err := put(t, tx, component(t, name), image); err != nil {
				return err
			}
		}
		return tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{
			part{"lib", 2, false, map[string]string{"z": ""}, nil}.installation(t),
			part{"app", 2, true, map[string]string{"x": "", "y": "", "w": ""}, []string{"lib"}}.installation(t),
		}})
	}
	sc := newScenario(t, func(s *Store) error {
		return errors.Join(
			commit(t, s, nil, part{"lib", 1, false, map[string]string{"z": "z"}, nil}, part{"app", 1, true, map[string]string{"x": "x", "y": "y"}, []string{"lib"}}),
			commit(t, s, nil, part{"tool", 1, true, map[string]string{"y": ""}, nil}),
		)
	}, update,
		step{"begin", func(t *testing.T, s *Store) error {
			s.checkpoint = 8
			_, err := receive(t, s, "w", digest, large[:20], false)
			return err
		}},
		step{"update", update},
		step{"swap", func(t *testing.T, s *Store) (err error) {
			tx, err := s.Begin(t.Context())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, tx.Rollback()) }()
			if err := tx.Swap(t.Context(), component(t, "x"), component(t, "y")); err != nil {
				return err
			}
			return tx.Commit(t.Context(), processor.Change{Install: []processor.Installation{
				part{"app", 3, true, map[string]string{"x": "", "y": "", "w": ""}, []string{"lib"}}.installation(t),
			}})
		}},
		step{"uninstall the tree", func(t *testing.T, s *Store) error { return commit(t, s, []string{"app"}) }},
		step{"uninstall the rest", func(t *testing.T, s *Store) error { return commit(t, s, []string{"tool"}) }},
	)
	sc.payloads = map[string]string{hashed(component(t, "w").Key()): large}
	return sc
}

// run does it, and returns how many steps were acknowledged.
func (sc *scenario) run(t *testing.T, s *Store) (acknowledged int, err error) {
	for i, step := range sc.steps {
		if err := step.do(t, s); err != nil {
			return i, err
		}
	}
	return len(sc.steps), nil
}

func TestScenarios(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *scenario{"one manifest": oneManifest, "a tree": wholeTree, "papers": papersOfOne} {
		t.Run(name, func(t *testing.T) {
			sc := make(t)
			t.Run("killed", sc.killedBetweenAnyTwoWrites)
			t.Run("failing", sc.everyOperationFails)
		})
	}
}

// killedBetweenAnyTwoWrites lets the process die before every single operation, and the
// file system make every kind of mess of it: what is found afterwards is one whole
// state, never older than what was acknowledged, and nothing is left lying about.
func (sc *scenario) killedBetweenAnyTwoWrites(t *testing.T) {
	found := map[int]int{}
	for n := 1; ; n++ {
		died := false
		for _, a := range aftermaths {
			d := sc.base.reboot(aftermaths[0])
			s := openDisk(t, d)
			d.ops, d.fail, d.crash = 0, n, true
			acknowledged, _ := sc.run(t, s)
			died = d.crashed
			t.Run(fmt.Sprintf("operation %d/%s", n, a.name), func(t *testing.T) {
				found[sc.checkAfter(t, d.reboot(a), acknowledged)]++
			})
		}
		if !died {
			break
		}
	}
	for _, state := range sc.states {
		if found[state] == 0 {
			t.Errorf("no crash ended in state %d: the test does not reach what it is for", state)
		}
	}
}

// everyOperationFails lets every single operation fail while the process lives on.
func (sc *scenario) everyOperationFails(t *testing.T) {
	for n := 1; ; n++ {
		d := sc.base.reboot(aftermaths[0])
		s := openDisk(t, d)
		d.ops, d.fail = 0, n
		acknowledged, err := sc.run(t, s)
		if d.ops < n {
			if err != nil {
				t.Fatalf("without a fault: %v", err)
			}
			break
		}
		t.Run(fmt.Sprintf("operation %d", n), func(t *testing.T) {
			if d.open != 0 {
				t.Errorf("%d files left open", d.open)
			}
			if err != nil && !errors.Is(err, errDisk) {
				t.Errorf("failed with %v", err)
			}
			if errors.Is(err, ErrBroken) {
				if _, err := s.AcceptUpdate([32]byte{1}); !errors.Is(err, ErrBroken) {
					t.Errorf("a broken store goes on: %v", err)
				}
			} else if err != nil {
				if state, known := sc.states[fingerprint(t, s)]; !known || state < acknowledged {
					t.Errorf("state %d (known %v), acknowledged %d", state, known, acknowledged)
				}
				if !d.stuck {
					checkTidy(t, d, s)
				}
				sc.checkPayloads(t, s)
				if err := sc.again(t, s); err != nil {
					t.Errorf("the next try: %v", err)
				}
				return
			}
			for _, a := range aftermaths {
				sc.checkAfter(t, d.reboot(a), acknowledged)
			}
		})
	}
}

// checkAfter opens the disk as the next process does, and returns the state.
func (sc *scenario) checkAfter(t *testing.T, d *disk, acknowledged int) int {
	t.Helper()
	s := openDisk(t, d)
	state, known := sc.states[fingerprint(t, s)]
	if !known || state < acknowledged {
		t.Errorf("state %d (known %v), acknowledged was %d", state, known, acknowledged)
	}
	checkTidy(t, d, s)
	sc.checkPayloads(t, s)
	if err := sc.again(t, s); err != nil {
		t.Errorf("the next try: %v", err)
	}
	return state
}

// checkPayloads finds payloads that are not the beginning of what was to arrive.
func (sc *scenario) checkPayloads(t *testing.T, s *Store) {
	t.Helper()
	for _, p := range s.payloads {
		whole, got := sc.payloads[p.component], read(t, s, p.name())
		if uint64(len(got)) < p.size || !strings.HasPrefix(whole, got[:p.size]) {
			t.Errorf("%d bytes of %q are kept for %q", p.size, got, whole)
		}
	}
}

// checkTidy finds files that nothing refers to.
func checkTidy(t *testing.T, d *disk, s *Store) {
	t.Helper()
	named := s.view().files()
	for _, p := range s.payloads {
		named[p.name()] = p.size > 0 && p.by == nil
	}
	for name := range d.names {
		if name != indexName && name != reserveName && name != papersName && !named[name] {
			t.Errorf("left over: %s", name)
		}
	}
}
