package tam

import (
	"errors"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// standing is what the device holds while a manifest is offered, as far as its
// evidence has shown: the one that was confirmed before, or what stood already.
func (s *session) standing(offered Manifest) (held suit.Digest, measured time.Time) {
	old, ok := s.status(offered.Component.Key())
	switch {
	case !ok || old.State.Removal():
		return suit.Digest{}, time.Time{}
	case old.State == devices.Confirmed:
		held = old.Manifest
	default:
		held = old.Held
	}
	if held.Equal(offered.Digest) {
		held = suit.Digest{}
	}
	return held, old.MeasuredAt
}

// findStanding looks for what the measurements show instead of a manifest that is not
// installed: after an update that failed, the version before is confirmed again.
func (s *session) findStanding(status *devices.ComponentStatus, m Manifest) error {
	before := *status
	found, err := s.instead(before.Held, m)
	if err != nil {
		return err
	}
	status.Held, status.MeasuredAt = found.Digest, s.now
	if err := s.tx.PutComponentStatus(*status); err != nil {
		return err
	}
	switch {
	case !found.Digest.IsZero() && (!found.Digest.Equal(before.Held) || before.MeasuredAt.Before(before.Since)):
		return s.auditStanding(found, audit.ComponentConfirmed)
	case found.Digest.IsZero() && !before.Held.IsZero():
		lost, err := s.tx.Manifest(before.Held)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		return s.auditStanding(lost, audit.ComponentContradicted)
	}
	return nil
}

// instead returns the published manifest with the id of another that the measurements
// show to be installed, that which stood before first; zero for none.
func (s *session) instead(before suit.Digest, than Manifest) (Manifest, error) {
	list, err := s.tx.ManifestsFor(than.Component, maxCandidates)
	if err != nil {
		return Manifest{}, err
	}
	if !before.IsZero() {
		known, err := s.tx.Manifest(before)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return Manifest{}, err
		}
		list = append([]Manifest{known}, list...)
	}
	for _, m := range list {
		if m.Component.Equal(than.Component) && !m.Digest.Equal(than.Digest) && s.unproven(m) == nil {
			return m, nil
		}
	}
	return Manifest{}, nil
}

func (s *session) auditStanding(m Manifest, action audit.Action) error {
	event := s.event(action, s.device.ID)
	event.Details = manifestDetails(m)
	if doubt := s.unproven(m); doubt != nil {
		event.Details["detail"] = doubt.words
	}
	return s.tx.AppendEvent(event)
}
