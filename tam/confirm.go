package tam

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// confirm holds the attester's measurements against what was offered: a component
// is confirmed when every target of its manifest was measured with a digest that
// the manifest gives it, whether or not the agent has claimed so. A claim that
// the measurements do not bear out stays a claim, and says why; one that they
// contradict has failed, as has what was confirmed and is not measured any longer.
// issued is the latest time of which the evidence is known to be younger.
func (s *session) confirm(claims *attest.Claims, issued time.Time) error {
	if err := s.readStatuses(); err != nil {
		return err
	}
	if err := s.takeMeasurements(claims); err != nil {
		return err
	}
	for i := range s.statuses {
		status := &s.statuses[i]
		if status.State == devices.Removed {
			continue
		}
		manifest, err := s.tx.Manifest(status.Manifest)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if status.State.Removal() {
			err = s.confirmRemoval(status, manifest)
		} else {
			err = s.confirmStatus(status, manifest, issued)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeMeasurements reads what is installed from the claims of accepted evidence.
func (s *session) takeMeasurements(claims *attest.Claims) error {
	s.measured, s.versions = make(map[string]suit.Digest), make(map[string][]suit.Digest)
	for _, m := range claims.Measured() {
		if m.ImageDigest != nil {
			s.measured[m.Component.Key()] = *m.ImageDigest
		}
	}
	for _, ref := range claims.Manifests {
		m, err := s.tx.Manifest(ref.Digest)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		key := m.Component.Key()
		s.versions[key] = append(s.versions[key], m.Digest)
	}
	return nil
}

func (s *session) confirmStatus(status *devices.ComponentStatus, m Manifest, issued time.Time) error {
	doubt := s.unproven(m)
	switch {
	case doubt == nil && status.State == devices.Confirmed:
		return nil
	case doubt == nil:
		status.State, status.Since = devices.Confirmed, s.now
		status.Reason, status.Attempts, status.RetryAfter = "", 0, time.Time{}
		status.Held, status.MeasuredAt = suit.Digest{}, s.now
		return s.putMeasured(*status, m, audit.ComponentConfirmed)
	}
	contradicted, err := s.contradicted(*status, doubt, issued)
	if err != nil {
		return err
	}
	switch {
	case contradicted:
		status.State, status.Since, status.Reason = devices.Failed, s.now, doubt.words
		status.RetryAfter = s.now.Add(s.t.cfg.Policy.backOff(status.Attempts))
		if err := s.putMeasured(*status, m, audit.ComponentContradicted); err != nil {
			return err
		}
		return s.findStanding(status, m)
	case (status.State == devices.Failed || status.State == devices.Offered) && !issued.Before(status.Since.Truncate(time.Second)):
		return s.findStanding(status, m) // a challenge is dated in whole seconds
	case status.State == devices.Claimed && status.Reason != doubt.words:
		status.Reason = doubt.words
		return s.tx.PutComponentStatus(*status)
	}
	return nil
}

// contradicted reports whether a doubt ends a claim or a confirmation. Evidence that
// may be older than either does not, nor does what another manifest has to answer
// for that was offered for the same target since.
func (s *session) contradicted(status devices.ComponentStatus, doubt *doubt, issued time.Time) (bool, error) {
	switch {
	case !status.Since.Before(issued):
		return false, nil
	case status.State == devices.Claimed && doubt.contrary:
	case status.State == devices.Confirmed:
	default:
		return false, nil
	}
	for _, other := range s.statuses {
		if other.State.Removal() || other.State == devices.Failed || !other.Since.After(status.Since) {
			continue
		}
		m, err := s.tx.Manifest(other.Manifest)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(m.Targets, func(t Target) bool { return t.Component.Equal(doubt.component) }) {
			return false, nil
		}
	}
	return true, nil
}

// putMeasured keeps what the attester's word has made of a component.
func (s *session) putMeasured(status devices.ComponentStatus, m Manifest, action audit.Action) error {
	if err := s.tx.PutComponentStatus(status); err != nil {
		return err
	}
	event := s.event(action, s.device.ID)
	event.Details = manifestDetails(m)
	if status.Reason != "" {
		event.Details["detail"] = status.Reason
	}
	return s.tx.AppendEvent(event)
}

// doubt is what measurements lack to show that a manifest is installed.
type doubt struct {
	component suit.ComponentID // the target in question
	words     string
	contrary  bool // it was measured, as something else
}

// unproven returns nil where the measurements show that the manifest is installed. Neither
// it nor the manifests that it depends on need be measured, but not be others either: two
// versions may have the same images.
func (s *session) unproven(m Manifest) *doubt {
	if len(m.Targets) == 0 {
		return &doubt{words: "the manifest has no target that could be measured"}
	}
	var missing *doubt
	for c, wanted := range m.outcomes() {
		digest, ok := s.measured[c.Key()]
		switch {
		case !ok && missing == nil:
			missing = &doubt{c, fmt.Sprintf("%s was not measured", c), false}
		case ok && !slices.ContainsFunc(wanted, digest.Equal):
			return contrary(c, digest, wanted)
		}
	}
	if there := s.versions[m.Component.Key()]; len(there) > 0 && !slices.ContainsFunc(there, m.Digest.Equal) {
		return contrary(m.Component, there[0], []suit.Digest{m.Digest})
	}
	for _, d := range m.Dependencies {
		same := func(other Dependency) bool { return other.Component.Equal(d.Component) }
		digest, ok := s.measured[d.Component.Key()]
		if ok && !slices.ContainsFunc(m.Dependencies, func(other Dependency) bool { return same(other) && other.Digest.Equal(digest) }) {
			return contrary(d.Component, digest, []suit.Digest{d.Digest})
		}
	}
	return missing
}

func contrary(c suit.ComponentID, measured suit.Digest, wanted []suit.Digest) *doubt {
	words := fmt.Sprintf("%s was measured as %s, the manifest has %s", c, measured, wanted[0])
	if more := len(wanted) - 1; more > 0 {
		words += fmt.Sprintf(" or %d others", more)
	}
	return &doubt{c, words, true}
}

// holdings are the inventory as far as the attester's word, where this session has
// it, does not contradict the agent's.
func (s *session) holdings() []devices.InventoryItem {
	held := slices.Clone(s.inventory)
	for i := range held {
		if digest, ok := s.measured[held[i].Component.Key()]; ok {
			held[i].Digest = digest
		}
	}
	return held
}
