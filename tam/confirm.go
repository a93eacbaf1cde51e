package tam

import (
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// confirm holds the attester's measurements against what was offered: a component
// is confirmed when every target of its manifest was measured with the digest that
// the manifest gives it, whether or not the agent has claimed so. A claim that
// the measurements do not bear out stays a claim, and says why.
func (s *session) confirm(measured []suit.PropertyClaims) error {
	if err := s.readStatuses(); err != nil {
		return err
	}
	digests := make(map[string]suit.Digest, len(measured))
	for _, m := range measured {
		if m.ImageDigest != nil {
			digests[m.Component.Key()] = *m.ImageDigest
		}
	}
	for i := range s.statuses {
		status := &s.statuses[i]
		if status.State == devices.Confirmed || status.State == devices.Removed {
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
			err = s.confirmRemoval(status, manifest, s.remains(manifest, digests))
		} else {
			err = s.confirmStatus(status, manifest, unproven(manifest, digests))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *session) confirmStatus(status *devices.ComponentStatus, m Manifest, doubt string) error {
	if doubt != "" {
		if status.State != devices.Claimed || status.Reason == doubt {
			return nil
		}
		status.Reason = doubt
		return s.tx.PutComponentStatus(*status)
	}
	status.State, status.Since = devices.Confirmed, s.now
	status.Reason, status.Attempts, status.RetryAfter = "", 0, time.Time{}
	if err := s.tx.PutComponentStatus(*status); err != nil {
		return err
	}
	event := s.event(audit.ComponentConfirmed, s.device.ID)
	event.Details = manifestDetails(m)
	return s.tx.AppendEvent(event)
}

// unproven says what the measurements lack to show that the manifest is installed;
// empty for nothing.
func unproven(m Manifest, measured map[string]suit.Digest) string {
	if len(m.Targets) == 0 {
		return "the manifest has no target that could be measured"
	}
	for _, target := range m.Targets {
		digest, ok := measured[target.Component.Key()]
		switch {
		case !ok:
			return fmt.Sprintf("%s was not measured", target.Component)
		case !digest.Equal(target.ImageDigest):
			return fmt.Sprintf("%s was measured as %s, the manifest has %s", target.Component, digest, target.ImageDigest)
		}
	}
	return ""
}
