package tee

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tamarack-tam/tamarack/suit"
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

// scenario is what happens on the disk while it fails: an Update is accepted, its
// manifest replaces an image and fulfils a request; then nobody needs it, and it is
// uninstalled.
type scenario struct {
	base   *disk // version 1 is installed, version 2 requested
	second *suit.Verified
	states map[string]string // the states that may be found, by fingerprint
}

func newScenario(t *testing.T) *scenario {
	id := component(t, "app/hello")
	two := uint64(2)
	sc := &scenario{base: newDisk(), second: manifest(t, id, 2, []byte("the second version")), states: map[string]string{}}
	s := openDisk(t, sc.base)
	if err := install(t.Context(), s, manifest(t, id, 1, []byte("the first version"))); err != nil {
		t.Fatal(err)
	}
	if added, err := s.Request(teep.RequestedTC{Component: id, MinSequence: &two}); !added || err != nil {
		t.Fatal(added, err)
	}
	sc.states[fingerprint(t, s)] = "old"
	model := openDisk(t, sc.base.reboot(aftermaths[0]))
	if _, err := model.AcceptUpdate([32]byte{9}); err != nil {
		t.Fatal(err)
	}
	sc.states[fingerprint(t, model)] = "accepted"
	if err := install(t.Context(), model, sc.second); err != nil {
		t.Fatal(err)
	}
	if len(model.Requests()) != 0 {
		t.Fatal("the request is not fulfilled")
	}
	sc.states[fingerprint(t, model)] = "new"
	if _, err := model.Withdraw(id); err != nil {
		t.Fatal(err)
	}
	sc.states[fingerprint(t, model)] = "unneeded"
	if err := uninstall(t.Context(), model, sc.second); err != nil {
		t.Fatal(err)
	}
	if len(model.Unneeded()) != 0 {
		t.Fatal("the withdrawal is not fulfilled")
	}
	sc.states[fingerprint(t, model)] = "gone"
	return sc
}

// order is how far the scenario has come in each state.
var order = map[string]int{"old": 0, "accepted": 1, "new": 2, "unneeded": 3, "gone": 4}

// run does it, and returns the last state that was acknowledged.
func (sc *scenario) run(t *testing.T, s *Store) (acknowledged string, err error) {
	fresh, err := s.AcceptUpdate([32]byte{9})
	if fresh != (err == nil) {
		t.Errorf("fresh=%v beside %v", fresh, err)
	}
	if err != nil {
		return "old", err
	}
	if err := install(t.Context(), s, sc.second); err != nil {
		return "accepted", err
	}
	if changed, err := s.Withdraw(component(t, "app/hello")); !changed || err != nil {
		return "new", err
	}
	if err := uninstall(t.Context(), s, sc.second); err != nil {
		return "unneeded", err
	}
	return "gone", nil
}

// TestKilledBetweenAnyTwoWrites lets the process die before every single operation
// of an update, and the file system make every kind of mess of it: what is found
// afterwards is one whole state, never older than what was acknowledged, and nothing
// is left lying about.
func TestKilledBetweenAnyTwoWrites(t *testing.T) {
	sc := newScenario(t)
	found := map[string]int{}
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
			t.Errorf("no crash ended in state %q: the test does not reach what it is for", state)
		}
	}
}

// TestEveryOperationFails lets every single operation fail while the process lives on.
func TestEveryOperationFails(t *testing.T) {
	sc := newScenario(t)
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
				if got := sc.states[fingerprint(t, s)]; got != acknowledged {
					t.Errorf("state %q, acknowledged %q", got, acknowledged)
				}
				if !d.stuck {
					checkTidy(t, d, s)
				}
				if err := install(t.Context(), s, sc.second); err != nil {
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

// checkAfter opens the disk as the next process does, and returns the state's name.
func (sc *scenario) checkAfter(t *testing.T, d *disk, acknowledged string) string {
	t.Helper()
	s := openDisk(t, d)
	state, known := sc.states[fingerprint(t, s)]
	if !known || order[state] < order[acknowledged] {
		t.Errorf("state %q (known %v), acknowledged was %q", state, known, acknowledged)
	}
	checkTidy(t, d, s)
	if err := install(t.Context(), s, sc.second); err != nil {
		t.Errorf("the next try: %v", err)
	}
	return state
}

// checkTidy finds files that nothing refers to.
func checkTidy(t *testing.T, d *disk, s *Store) {
	t.Helper()
	named := s.view().files()
	for _, p := range s.payloads {
		named[p.name()] = p.size > 0 && p.by == nil
	}
	for name := range d.names {
		if name != indexName && !named[name] {
			t.Errorf("left over: %s", name)
		}
	}
}
