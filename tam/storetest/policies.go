package storetest

import (
	"cmp"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/tam"
)

func (s suite) policies() {
	var kept []policy.Policy // in the order in which they were added
	add := func(p policy.Policy) {
		s.Helper()
		s.update(func(tx tam.Tx) error { return tx.AddPolicy(p) })
		kept = append(kept, p)
		s.wantPolicies(kept)
	}
	s.wantPolicies(nil)
	last := policyVersion("last", 1)
	last.Position = 1<<63 - 1
	add(last)
	add(policyVersion("b", 1))
	add(policyVersion("a ☃", 1)) // the same position
	moved := policyVersion("b", 2)
	moved.Kind, moved.Position, moved.Selector, moved.Remediation = policy.Admission, -8, "", ""
	add(moved)
	retired := policyVersion("last", 2)
	retired.Retired = true
	add(retired)
	again := policyVersion("last", 5)
	add(again)
	add(policyVersion("last", 3)) // a lower one is kept, and that is all
	retired.Version = 4
	add(retired)
	retired.Version = 6
	add(retired)
	add(policyVersion("last", 7))

	for _, p := range []policy.Policy{moved, policyVersion("b", 1), retired} {
		s.refused("a version that is there", tam.ErrExists, func(tx tam.Tx) error { return tx.AddPolicy(p) })
	}
	for _, p := range []policy.Policy{policyVersion("", 1), policyVersion("b", 0), policyVersion("b", -1)} {
		s.refused("a policy without a name or a number", nil, func(tx tam.Tx) error { return tx.AddPolicy(p) })
	}
	s.view(func(r tam.Reader) error {
		none, err := r.PolicyVersions("nobody's")
		s.same("versions of an unknown policy", textOf(policyText, none), "")
		return err
	})
}

// wantPolicies compares what is in force, and all versions, with what was added.
func (s suite) wantPolicies(added []policy.Policy) {
	s.Helper()
	versions := map[string][]policy.Policy{}
	for _, p := range added {
		versions[p.Name] = append(versions[p.Name], p)
	}
	var inForce []policy.Policy
	for _, of := range versions {
		slices.SortFunc(of, func(a, b policy.Policy) int { return b.Version - a.Version })
		if !of[0].Retired {
			inForce = append(inForce, of[0])
		}
	}
	slices.SortFunc(inForce, func(a, b policy.Policy) int {
		if a.Position != b.Position {
			return cmp.Compare(a.Position, b.Position)
		}
		return cmp.Compare(a.Name, b.Name)
	})
	s.view(func(r tam.Reader) error {
		got, err := r.Policies()
		s.same("Policies", textOf(policyText, got), textOf(policyText, inForce))
		for name, want := range versions {
			of, err2 := r.PolicyVersions(name)
			s.same("PolicyVersions", textOf(policyText, of), textOf(policyText, want))
			err = errors.Join(err, err2)
		}
		return err
	})
}

// oneVersion lets many add the next version of a policy at once: one of them does, and
// all the others hear of it.
func (s suite) oneVersion() {
	const racers = 8
	for version := 1; version <= 5; version++ {
		var won, lost atomic.Int32
		together(racers, func(n int) {
			p := policyVersion("strict", version)
			p.Position = n
			switch err := s.store.Update(s.Context(), func(tx tam.Tx) error { return tx.AddPolicy(p) }); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, tam.ErrExists):
				lost.Add(1)
			default:
				s.Error(err)
			}
		})
		if won.Load() != 1 || lost.Load() != racers-1 {
			s.Errorf("version %d was added by %d and refused to %d, of %d", version, won.Load(), lost.Load(), racers)
		}
		s.view(func(r tam.Reader) error {
			inForce, err := r.Policies()
			if len(inForce) != 1 || inForce[0].Version != version {
				s.Errorf("in force: %s", textOf(policyText, inForce))
			}
			return err
		})
	}
}

func (s suite) groups() {
	want := []devices.Group{{Name: "B ☃", Selector: "true"}, {Name: "a"}, {Name: "b", Selector: "device.name == ''"}}
	wanted := func() {
		s.Helper()
		s.view(func(r tam.Reader) error {
			got, err := r.Groups()
			s.same("Groups", textOf(groupText, got), textOf(groupText, want))
			return err
		})
	}
	s.update(func(tx tam.Tx) error {
		return errors.Join(tx.PutGroup(want[2]), tx.PutGroup(want[0]), tx.PutGroup(want[1]))
	})
	wanted()
	want[1].Selector = "false"
	s.update(func(tx tam.Tx) error { return tx.PutGroup(want[1]) })
	wanted()
	s.update(func(tx tam.Tx) error { return tx.DeleteGroup(want[0].Name) })
	s.refused("to delete a group twice", tam.ErrNotFound, func(tx tam.Tx) error { return tx.DeleteGroup("B ☃") })
	want = want[1:]
	wanted()
	s.refused("a group without a name", nil, func(tx tam.Tx) error { return tx.PutGroup(devices.Group{Selector: "true"}) })
}

func (s suite) policyState() (state int64) {
	s.Helper()
	s.view(func(r tam.Reader) (err error) {
		state, err = r.PolicyState()
		return err
	})
	return state
}

// The state of the policies changes with each of their changes and those of groups, and
// with those of references by which trust may end; never to one that was there, and with
// nothing else.
func (s suite) policyStates() {
	retired := policyVersion("a", 3)
	retired.Retired = true
	seen := []int64{s.policyState()}
	for _, step := range []struct {
		what    string
		changes bool
		do      func(tam.Tx) error
	}{
		{"add a policy", true, func(tx tam.Tx) error { return tx.AddPolicy(policyVersion("a", 1)) }},
		{"add a version", true, func(tx tam.Tx) error { return tx.AddPolicy(policyVersion("a", 2)) }},
		{"retire it", true, func(tx tam.Tx) error { return tx.AddPolicy(retired) }},
		{"put a group", true, func(tx tam.Tx) error { return tx.PutGroup(devices.Group{Name: "g", Selector: "true"}) }},
		{"change it", true, func(tx tam.Tx) error { return tx.PutGroup(devices.Group{Name: "g", Selector: "false"}) }},
		{"delete it", true, func(tx tam.Tx) error { return tx.DeleteGroup("g") }},
		{"put a device", false, func(tx tam.Tx) error { return tx.PutDevice(device(1)) }},
		{"add a file", true, func(tx tam.Tx) error { return tx.AddReferenceFile(referenceFile("a", 1)) }},
		{"delete a file", true, func(tx tam.Tx) error { return tx.DeleteReferenceFile("a", 1) }},
		{"add a CA", false, func(tx tam.Tx) error { return tx.AddDeviceCA(deviceCA(1)) }},
		{"delete a CA", true, func(tx tam.Tx) error { return tx.DeleteDeviceCA(deviceCA(1).Fingerprint) }},
		{"add an attester", false, func(tx tam.Tx) error { return tx.AddAnchor(trusted(1, anchor.Attester)) }},
		{"delete an attester", true, func(tx tam.Tx) error { return tx.DeleteAnchor(publicKey(1).Thumbprint()) }},
		{"add a publisher", false, func(tx tam.Tx) error { return tx.AddAnchor(trusted(2, anchor.TCSigner)) }},
		{"delete a publisher", false, func(tx tam.Tx) error { return tx.DeleteAnchor(publicKey(2).Thumbprint()) }},
		{"try what is refused", false, func(tx tam.Tx) error {
			s.wantError("a known version", tx.AddPolicy(policyVersion("a", 1)), tam.ErrExists)
			s.wantError("an unknown group", tx.DeleteGroup("g"), tam.ErrNotFound)
			return nil
		}},
	} {
		undone := errors.New("undone")
		s.refused(step.what+", undone", undone, func(tx tam.Tx) error {
			err := step.do(tx)
			state, stateErr := tx.PolicyState()
			if step.changes {
				seen = append(seen, state) // and never again
			}
			return errors.Join(err, stateErr, undone)
		})
		before := s.policyState()
		s.update(func(tx tam.Tx) error { return step.do(tx) })
		after := s.policyState()
		switch {
		case !step.changes && after != before:
			s.Errorf("%s: state %d, before it %d", step.what, after, before)
		case step.changes && slices.Contains(seen, after):
			s.Errorf("%s: state %d, which was there: %d", step.what, after, seen)
		}
		seen = append(seen, after)
	}
}
