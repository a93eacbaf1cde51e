package tam

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
)

// ruleStore has policies, and tells who reads them.
type ruleStore struct {
	keyStore
	state    int64
	policies []policy.Policy
	groups   []devices.Group
	reading  func() // called by each reader of the policies
	fault    error
}

func (s *ruleStore) View(_ context.Context, fn func(Reader) error) error { return fn(s) }
func (s *ruleStore) PolicyState() (int64, error)                         { return s.state, s.fault }
func (s *ruleStore) Groups() ([]devices.Group, error)                    { return s.groups, nil }
func (s *ruleStore) Policies() ([]policy.Policy, error) {
	if s.reading != nil {
		s.reading()
	}
	return s.policies, nil
}

func ruling(name, expression string) policy.Policy {
	return policy.Policy{Name: name, Version: 1, Kind: policy.Appraisal, Expression: expression}
}

func decided(r rules) string {
	in := &attest.Result{Status: attest.Affirming, Claims: &attest.Claims{}, Vector: []attest.Element{{Name: attest.InstanceIdentity, Value: 2}}}
	d := r.appraise(devices.Device{}, nil, in, time.Unix(0, 0), nil)
	return string(d.Outcome) + " " + d.Policy
}

// While one compiles what was changed, all others go on at once with the rules that there
// were, and those that are compiled meanwhile are of the state that was read.
func TestOneCompilesOthersGoOn(t *testing.T) {
	s := &ruleStore{state: 1, policies: []policy.Policy{ruling("first", "true")}}
	var b rulebook
	if got := decided(b.current()); got != "reject unknown" {
		t.Errorf("before anything was compiled: %s", got)
	}
	refresh := func() {
		if err := b.refresh(t.Context(), s, s.state); err != nil {
			t.Error(err)
		}
	}
	refresh()
	s.state, s.policies = 2, []policy.Policy{ruling("second", "false")}
	began, goOn, done := make(chan bool), make(chan bool), make(chan bool)
	s.reading = func() { began <- true; <-goOn }
	go func() { defer close(done); refresh() }()
	<-began
	for range 3 {
		refresh() // would read, and never return, if it did not leave it to the other
		if got := b.current(); decided(got) != "accept first@1" || got.state != 1 {
			t.Errorf("meanwhile: %s of state %d", decided(got), got.state)
		}
	}
	close(goOn)
	<-done
	if got := b.current(); decided(got) != "reject second@1" || got.state != 2 {
		t.Errorf("then: %s of state %d", decided(got), got.state)
	}
	s.reading = func() { t.Error("reads again what has not changed") }
	refresh()
}

// What was not changed is not compiled again, unless a group was.
func TestOnlyWhatChangedIsCompiled(t *testing.T) {
	s := &ruleStore{state: 1, policies: []policy.Policy{ruling("a", `group("g")`), ruling("b", "true")}, groups: []devices.Group{{Name: "g", Selector: "true"}}}
	var b rulebook
	refresh := func() []*policy.Compiled {
		s.state++
		if err := b.refresh(t.Context(), s, s.state); err != nil {
			t.Fatal(err)
		}
		return b.current().each
	}
	first := refresh()
	s.policies = []policy.Policy{s.policies[0], ruling("b", "false")}
	second := refresh()
	if second[0] != first[0] || second[1] == first[1] || second[1].Policy.Expression != "false" {
		t.Error("another policy was changed")
	}
	s.groups = []devices.Group{{Name: "g", Selector: "false"}}
	if third := refresh(); third[0] == second[0] || decided(b.current()) != "reject a@1" {
		t.Error("a group was changed, the policy that names it is the old one")
	}
	s.groups = nil
	if refresh(); decided(b.current()) != "reject unknown" {
		t.Errorf("a group is gone: %s", decided(b.current()))
	}
}

// Where the policies cannot be read, those that there were go on to decide.
func TestRulesThatCannotBeRead(t *testing.T) {
	s := &ruleStore{state: 1, policies: []policy.Policy{ruling("first", "true")}}
	var b rulebook
	if err := b.refresh(t.Context(), s, 1); err != nil {
		t.Fatal(err)
	}
	s.fault = errors.New("disk")
	if err := b.refresh(t.Context(), s, 2); !errors.Is(err, s.fault) || decided(b.current()) != "accept first@1" {
		t.Errorf("%v, %s", err, decided(b.current()))
	}
}

// Evidence that other rules judged than those in force when it came is due again.
func TestOldRulesDoNotLast(t *testing.T) {
	for _, c := range []struct{ rules, began, want int64 }{{7, 7, 7}, {7, 8, 0}, {8, 7, 0}} {
		s := &session{exchange: &exchange{}}
		a := appraisal{under: c.began, result: &attest.Result{}}
		s.askPolicy(&a, rules{set: policy.NewSet(nil), state: c.rules})
		if a.under != c.want {
			t.Errorf("rules of %d, began under %d: %d", c.rules, c.began, a.under)
		}
	}
}
