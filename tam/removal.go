package tam

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// putRemoving counts the order to unlink a manifest. It rests as an offer does
// where it goes unanswered, or fails, too often.
func (s *session) putRemoving(m Manifest) error {
	next := devices.ComponentStatus{
		Device: s.device.ID, Component: m.Component, Manifest: m.Digest, Sequence: m.Sequence,
		State: devices.Removing, Attempts: 1, Since: s.now,
	}
	if old, ok := s.status(m.Component.Key()); ok {
		// What was installed here is more than what is the newest now.
		next.Manifest, next.Sequence = old.Manifest, old.Sequence
		if old.State.Removal() { // Removed has none
			next.Attempts = old.Attempts + 1
		}
		if old.State == devices.Removing {
			next.Since = old.Since
		}
	}
	if rest := s.t.cfg.Policy.backOff(next.Attempts); rest > 0 {
		next.RetryAfter = s.now.Add(rest)
	}
	return s.putRemoval(next, audit.RemovalOffered)
}

// putRemoval keeps a status of unlinking, and says so in the audit log.
func (s *session) putRemoval(status devices.ComponentStatus, action audit.Action) error {
	if err := s.tx.PutComponentStatus(status); err != nil {
		return err
	}
	event := s.event(action, s.device.ID)
	event.Details = map[string]string{"component": status.Component.String()}
	if status.Reason != "" {
		event.Details["detail"] = status.Reason
	}
	return s.tx.AppendEvent(event)
}

// settleRemovals moves what an Update had the agent unlink to what its answer says.
// An agent processes no manifest before all is unlinked
// (draft-ietf-teep-protocol-26 section 7.2.2), so a report about one of the
// Update's manifests says that the unlinking went well, whatever the answer is.
func (s *session) settleRemovals(pending Outstanding, r result, said verdicts) (failed string, err error) {
	if slices.ContainsFunc(pending.Manifests, func(d suit.Digest) bool { _, ok := said[d.String()]; return ok }) {
		r = result{state: devices.Claimed}
	}
	for _, id := range pending.Unneeded {
		status, ok := s.status(id.Key())
		if !ok || !status.State.Removal() || status.State == devices.Removed {
			continue // something newer happened
		}
		own, err := s.judge(said, id, status.Manifest, r)
		if err != nil {
			return "", err
		}
		why, err := s.settleRemoval(status, own)
		if err != nil {
			return "", err
		}
		if why != "" {
			failed = why
		}
	}
	return failed, nil
}

// removalStates are what the states of an answered Update mean for what it unlinks.
var removalStates = map[devices.ComponentState]devices.ComponentState{
	devices.Claimed: devices.Unlinked,
	devices.Offered: devices.Removing,
	devices.Failed:  devices.RemovalFailed,
}

func (s *session) settleRemoval(status devices.ComponentStatus, r result) (failed string, err error) {
	state := removalStates[r.state]
	if status.State != state {
		status.State, status.Since = state, s.now
	}
	status.Reason = r.reason
	if state == devices.Unlinked {
		return "", s.putRemoval(status, audit.RemovalClaimed)
	}
	status.RetryAfter = s.now.Add(max(r.rest, s.t.cfg.Policy.backOff(status.Attempts)))
	return fmt.Sprintf("%s is not unlinked: %s", status.Component, r.reason), s.putRemoval(status, audit.RemovalFailed)
}

// confirmRemoval believes a removal where neither the attester measures nor the
// agent lists anything of the manifest. Until then it stays what it is, and says why.
func (s *session) confirmRemoval(status *devices.ComponentStatus, m Manifest) error {
	remains, err := s.remains(m)
	if err != nil {
		return err
	}
	if remains != "" {
		if status.State != devices.Unlinked || status.Reason == remains {
			return nil
		}
		status.Reason = remains
		return s.tx.PutComponentStatus(*status)
	}
	status.State, status.Since = devices.Removed, s.now
	status.Reason, status.Attempts, status.RetryAfter = "", 0, time.Time{}
	return s.putRemoval(*status, audit.RemovalConfirmed)
}

// remains says what of a manifest the device still has, and no other manifest has to
// answer for; empty for nothing.
func (s *session) remains(m Manifest) (string, error) {
	for _, c := range m.touches() {
		_, measured := s.measured[c.Key()]
		listed := slices.ContainsFunc(s.inventory, func(i devices.InventoryItem) bool { return i.Component.Equal(c) })
		if !measured && !listed {
			continue
		}
		others, err := shared(s.tx, slices.Values(s.statuses), c, m)
		switch {
		case err != nil:
			return "", err
		case others:
		case measured:
			return c.String() + " is still measured", nil
		default:
			return c.String() + " is still listed", nil
		}
	}
	return "", nil
}

// shared reports whether another manifest that the device should have is about the
// component too: what two manifests share, or what is a dependency of another as well,
// stays when one of them goes.
func shared(r ManifestReader, statuses iter.Seq[devices.ComponentStatus], c suit.ComponentID, m Manifest) (bool, error) {
	for status := range statuses {
		held := status.Held
		if status.State == devices.Claimed || status.State == devices.Confirmed {
			held = status.Manifest
		}
		if held.IsZero() || status.Component.Equal(m.Component) {
			continue
		}
		other, err := r.Manifest(held)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil || slices.ContainsFunc(other.touches(), c.Equal) {
			return err == nil, err
		}
	}
	return false, nil
}
