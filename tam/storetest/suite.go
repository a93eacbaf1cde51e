package storetest

import (
	"errors"
	"testing"

	"github.com/tamarack-tam/tamarack/tam"
)

// Run runs the conformance suite. open returns a new, empty store for each test
// and closes it with the test.
func Run(t *testing.T, open func(t *testing.T) tam.Store) {
	for name, run := range map[string]func(suite){
		"devices": suite.devices, "device changes": suite.deviceChanges, "device pages": suite.devicePages, "agents": suite.agents,
		"inventory": suite.inventory, "component statuses": suite.componentStatuses,
		"requirements": suite.requirements, "removals": suite.removals, "reports": suite.reports,
		"appraisals": suite.appraisals, "appraisal filters": suite.appraisalFilters,
		"latest appraisals": suite.latestAppraisals, "appraisal ids": suite.appraisalIDs,
		"manifests": suite.manifests, "manifest refusals": suite.manifestRefusals,
		"manifests of a component": suite.manifestsFor, "manifest pages": suite.manifestPages,
		"anchors": suite.anchors, "deleted anchors": suite.deletedAnchors,
		"policies": suite.policies, "one version": suite.oneVersion, "groups": suite.groups, "policy state": suite.policyStates,
		"reference files": suite.referenceFiles, "device CAs": suite.deviceCAs,
		"reference state": suite.referenceStates, "reference race": suite.referenceRace,
		"spent tokens": suite.spentTokens, "outstanding updates": suite.outstanding,
		"outstanding bound": suite.outstandingBound, "expiry": suite.expiry, "dropping": suite.dropping, "token keys": suite.tokenKeys,
		"old appraisals": suite.oldAppraisals, "old evidence": suite.oldEvidence, "old events": suite.oldEvents,
		"audit events":    suite.auditEvents,
		"atomic updates":  suite.atomicUpdates,
		"after the end":   suite.afterTheEnd,
		"own writes":      suite.ownWrites,
		"cancelled":       suite.cancelled,
		"lost updates":    suite.lostUpdates,
		"one spender":     suite.oneSpender,
		"snapshot":        suite.snapshot,
		"filled and read": suite.filled,
	} {
		t.Run(name, func(t *testing.T) { run(suite{t, open(t)}) })
	}
}

// suite is one test with its store.
type suite struct {
	*testing.T
	store tam.Store
}

// update must succeed.
func (s suite) update(fn func(tam.Tx) error) {
	s.Helper()
	if err := s.store.Update(s.Context(), fn); err != nil {
		s.Fatal(err)
	}
}

func (s suite) view(fn func(tam.Reader) error) {
	s.Helper()
	if err := s.store.View(s.Context(), fn); err != nil {
		s.Fatal(err)
	}
}

// refused runs an update that must fail with an error that is want, where given,
// and must leave no trace, neither of fn nor of what else the transaction did.
func (s suite) refused(what string, want error, fn func(tam.Tx) error) {
	s.Helper()
	before := Dump(s.T, s.store)
	err := s.store.Update(s.Context(), func(tx tam.Tx) error {
		if err := tx.AppendEvent(event("beside " + what)); err != nil {
			s.Fatal(err)
		}
		return fn(tx)
	})
	s.wantError(what, err, want)
	s.same("the store after "+what, Dump(s.T, s.store), before)
}

func (s suite) wantError(what string, err, want error) {
	s.Helper()
	switch {
	case err == nil:
		s.Errorf("%s: no error, want one (%v)", what, want)
	case want != nil && !errors.Is(err, want):
		s.Errorf("%s: %v, want %v", what, err, want)
	}
}

func (s suite) same(what, got, want string) {
	s.Helper()
	if got != want {
		s.Errorf("%s:\ngot  %s\nwant %s", what, got, want)
	}
}

// notFound checks each lookup in one snapshot.
func (s suite) notFound(lookups map[string]func(tam.Reader) error) {
	s.Helper()
	s.view(func(r tam.Reader) error {
		for what, lookup := range lookups {
			s.wantError(what, lookup(r), tam.ErrNotFound)
		}
		return nil
	})
}
