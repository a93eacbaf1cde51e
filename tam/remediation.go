package tam

import (
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
)

// remedied offers a device that is not trusted, or kept apart, the one manifest that
// policy names against that, and nothing else (draft-ietf-teep-protocol-26 section
// 7.1.1). reason and why say what it would be told otherwise.
func (t *TAM) remedied(s *session, a appraisal, reason Reason, why string) (outcome, error) {
	if s.agent.HoldActive(s.now) && s.holdReason() == ReasonAgentHeld {
		return s.sendAway(ReasonAgentHeld, s.agent.HoldReason) // it said itself that it can do nothing now
	}
	offer, obstacle, err := s.remedy(a.decision.Remediation)
	if err != nil {
		return outcome{}, err
	}
	if offer == nil {
		if obstacle != "" {
			why = joinWords(why, "no remedy: "+obstacle)
			if err := s.auditObstacle(a, obstacle); err != nil {
				return outcome{}, err
			}
		}
		if s.device.State == devices.Quarantined {
			return s.sendAway(reasonOfState(s.device.State), why)
		}
		return s.demandEvidence(reason, why), nil
	}
	s.agent.Repeats, s.agent.HoldUntil, s.agent.HoldReason = 0, time.Time{}, ""
	event := s.event(audit.RemediationOffered, s.device.ID)
	event.Actor, event.Reason = "policy:"+a.decision.Policy, string(reason)
	event.Details = manifestDetails(offer.Manifest)
	if err := s.tx.AppendEvent(event); err != nil {
		return outcome{}, err
	}
	out, err := t.send(s, Plan{Offers: []Offer{*offer}})
	out.reason, out.detail = reason, why
	return out, err
}

// auditObstacle says, once in an hour, why a device does not get the remedy that policy names.
func (s *session) auditObstacle(a appraisal, obstacle string) error {
	if !s.noteworthy(string(audit.RemediationMissing) + " " + a.decision.Policy) {
		return nil
	}
	event := s.event(audit.RemediationMissing, s.device.ID)
	event.Actor, event.Reason = "policy:"+a.decision.Policy, obstacle
	return s.tx.AppendEvent(event)
}

// remedy finds the newest manifest with a manifest component id that publishers may have
// devices install, or why there is none to offer now.
func (s *session) remedy(component string) (*Offer, string, error) {
	if component == "" {
		return nil, "", nil
	}
	id, err := suit.ParseComponentID(component)
	if err != nil {
		return nil, fmt.Sprintf("%q is no component id", component), nil
	}
	if err := s.readStatuses(); err != nil {
		return nil, "", err
	}
	l := lookout{
		r: s.tx, maxBytes: defaultMaxBytes, anchors: make(map[cosekit.Thumbprint]anchor.Anchor),
		in: PlanInput{Device: s.device, Agent: s.agent, Now: s.now},
	}
	obstacle := "no manifest of " + component + " is published"
	for m, err := range l.candidates(id) {
		if err != nil {
			return nil, "", err
		}
		if !m.Component.Equal(id) {
			continue
		}
		fault, err := l.signerFault(m)
		if err != nil {
			return nil, "", err
		}
		if fault != "" {
			obstacle = fmt.Sprintf("%s, sequence %d: %s", component, m.Sequence, fault)
			continue
		}
		if why := s.remedyObstacle(m, l.maxBytes); why != "" {
			return nil, fmt.Sprintf("%s, sequence %d: %s", component, m.Sequence, why), nil
		}
		return &Offer{Manifest: m}, "", nil
	}
	return nil, obstacle, nil
}

// remedyObstacle says why the manifest is not offered now. What the evidence shows to be
// installed has not helped; that the agent lists it counts for nothing here.
func (s *session) remedyObstacle(m Manifest, maxBytes int64) string {
	status, _ := s.status(m.Component.Key())
	switch {
	case m.Size > maxBytes:
		return fmt.Sprintf("envelope of %d bytes, an Update takes %d; publish its payload apart", m.Size, maxBytes)
	case status.Manifest.Equal(m.Digest) && !status.State.Removal() && s.now.Before(status.RetryAfter):
		return fmt.Sprintf("rests until %s after %d offers", status.RetryAfter.UTC().Format(time.RFC3339), status.Attempts)
	case (status.State == devices.Claimed || status.State == devices.Confirmed) && status.Sequence > m.Sequence:
		return fmt.Sprintf("below the installed %d", status.Sequence)
	case len(m.Targets) > 0 && s.unproven(m) == nil:
		return "is installed"
	}
	return ""
}
