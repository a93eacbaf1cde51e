package tam

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// decide asks policy about a result that is bound to the message and the device, as they
// are in this transaction. What it does not accept is a fault from then on.
func (s *session) decide(a *appraisal, challenge token) error {
	if a.fault == nil {
		s.checkAttestationKey(a)
	}
	if a.fault == nil {
		s.checkOvertaken(a, challenge)
	}
	if a.fault == nil {
		if err := s.checkHardware(a); err != nil {
			return err
		}
	}
	if a.fault != nil {
		return nil
	}
	s.askPolicy(a, s.t.rules.current())
	return nil
}

// askPolicy leaves the decision in the appraisal. One that other rules made than those that
// were in force as the appraisal began is under none: evidence is due again.
func (s *session) askPolicy(a *appraisal, rules rules) {
	var agents []devices.Agent
	if s.agent.Key != nil {
		agents = append(agents, s.agent)
	}
	a.decision = rules.appraise(s.device, agents, a.result, s.now, nil)
	if rules.state != a.under {
		a.under = 0
	}
	if s.device.State == devices.Quarantined && s.device.QuarantinedBy == "" {
		// An operator keeps it apart, who may want the remedy though nothing looks wrong.
		a.decision.Remediation = rules.remedies[a.decision.Policy]
	}
	d := a.decision
	switch {
	case d.Outcome == policy.Accept && !d.Until.IsZero() && !s.now.Before(d.Until):
		a.fault, a.reason = fmt.Errorf("policy %s: accepted until %s only", d.Policy, d.Until.UTC().Format(time.RFC3339)), ReasonPolicyRejected
	case d.Outcome == policy.Accept:
	case d.Policy == policyByDefault:
		a.fault, a.reason = errors.New(d.Reason), ReasonNotAffirmed
	default:
		a.fault, a.reason = fmt.Errorf("policy %s: %s: %s", d.Policy, d.Outcome, d.Reason), ReasonPolicyRejected
		if d.Outcome == policy.Quarantine {
			a.reason = ReasonPolicyQuarantined
		}
	}
}

// attestationFailed keeps the device in its last state, or in quarantine where policy
// says so, and offers nothing but the remedy that policy names, now and at every further
// poll, until evidence is accepted again. A failure that repeats is not recorded again:
// the evidence is large, and whoever has the agent's key makes as much as it likes.
func (t *TAM) attestationFailed(s *session, m *teep.QueryResponse, a appraisal, challenge token) (outcome, error) {
	s.agent.AttestedAt = time.Time{}
	s.ledNowhere()
	s.countFailure(a.reason)
	if a.decision.Policy != "" {
		s.showed(challenge)
	}
	if a.decision.Outcome == policy.Quarantine {
		if err := s.quarantine(a.decision); err != nil {
			return outcome{}, err
		}
	}
	if s.noteworthyFault(a) {
		if err := s.record(a, challenge); err != nil {
			return outcome{}, err
		}
		if err := s.auditFailure(a); err != nil {
			return outcome{}, err
		}
	}
	if a.decision.Remediation != "" && (s.device.State == devices.Accepted || s.device.State == devices.Quarantined) {
		if err := s.takeMeasurements(a.result.Claims); err != nil {
			return outcome{}, err
		}
		return t.remedied(s, a, a.reason, a.fault.Error())
	}
	if s.device.State != devices.Accepted {
		return outcome{reason: reasonOfState(s.device.State), detail: a.fault.Error()}, nil
	}
	return s.demandEvidence(a.reason, a.fault.Error()), nil
}

// demandEvidence tells an agent that its attestation was not accepted.
func (s *session) demandEvidence(reason Reason, why string) outcome {
	out := s.complain(teep.AttestationRequired, reason, "attestation was not accepted: "+string(reason))
	out.detail = why
	return out
}

func (s *session) auditFailure(a appraisal) error {
	event := s.event(audit.AttestationFailed, s.device.ID)
	event.Reason = string(a.reason)
	event.Details = map[string]string{"detail": a.fault.Error()}
	return s.tx.AppendEvent(event)
}

// countFailure counts what went wrong, for ever, by reason codes of which there are few.
func (s *session) countFailure(reason Reason) {
	failed := maps.Clone(s.device.Attestations.Failed)
	if failed == nil {
		failed = map[string]uint64{}
	}
	failed[string(reason)]++
	s.device.Attestations.Failed = failed
	s.deviceChanged = true
}

// quarantine puts an accepted device into quarantine by policy. One that waits for an
// operator goes on waiting: evidence that a policy accepts later must not let it in.
func (s *session) quarantine(d policy.Decision) error {
	if s.device.State != devices.Accepted {
		return nil
	}
	event := s.event(audit.DeviceQuarantined, s.device.ID)
	event.Actor, event.Reason = "policy:"+d.Policy, d.Reason
	event.Details = map[string]string{"agent": s.thumbprint().String(), "from": string(s.device.State)}
	s.device.State, s.device.StateReason, s.device.QuarantinedBy = devices.Quarantined, d.Reason, d.Policy
	s.device.UpdatedAt, s.deviceChanged = s.now, true
	s.moved = audit.DeviceQuarantined
	return s.tx.AppendEvent(event)
}

// release ends a quarantine by policy, once evidence is accepted.
func (s *session) release(d policy.Decision) error {
	if s.device.State != devices.Quarantined || s.device.QuarantinedBy == "" {
		return nil
	}
	event := s.event(audit.DeviceReleased, s.device.ID)
	event.Actor = "policy:" + d.Policy
	event.Details = map[string]string{
		"agent": s.thumbprint().String(), "quarantinedBy": s.device.QuarantinedBy, "was": s.device.StateReason,
	}
	s.device.State, s.device.QuarantinedBy = devices.Accepted, ""
	s.device.StateReason = "evidence accepted by policy " + d.Policy
	s.device.UpdatedAt, s.deviceChanged = s.now, true
	s.moved = audit.DeviceReleased
	return s.tx.AppendEvent(event)
}

var errAttestationKey = errors.New("another attestation key vouched for the device first")

// checkAttestationKey holds good evidence against the key that vouched for the
// device first: an attestation key that is registered for some devices must not
// speak for others. Another is a fault of the evidence, unless policy replaces keys. A
// Verifier that does not name the key leaves it as it is.
func (s *session) checkAttestationKey(a *appraisal) {
	known, found := s.device.AttestationKey, a.result.AttestationKey
	if found == (cosekit.Thumbprint{}) || known == (cosekit.Thumbprint{}) || found == known || s.t.cfg.Policy.SecondKey != RefuseSecondKey {
		return
	}
	a.fault, a.reason = fmt.Errorf("%w: %s, this is by %s", errAttestationKey, known, found), ReasonAttestationKey
}

// checkHardware wants the hardware that a device without an attestation key on record is to
// be known by from now on to be that of no other device: what software says next to it could
// be about a neighbour.
func (s *session) checkHardware(a *appraisal) error {
	found := a.result.AttestationKey
	if found == (cosekit.Thumbprint{}) || s.device.AttestationKey != (cosekit.Thumbprint{}) {
		return nil
	}
	other, err := s.tx.DeviceAttestedBy(found)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	a.fault, a.reason = fmt.Errorf("%w: %s vouches for device %s", errAttestationKey, found, other.ID), ReasonAttestationKey
	return nil
}

// checkOvertaken refuses evidence that is proved fresh since no later time than that which
// the device showed last, where that was not accepted: it may have been withheld, and must
// not end what later evidence began. The same second will do: a device that is repaired
// shows so at once.
func (s *session) checkOvertaken(a *appraisal, challenge token) {
	if !s.agent.AttestedAt.IsZero() && s.device.QuarantinedBy == "" {
		return
	}
	if later := s.device.EvidenceAt; challenge.issued.Before(later) {
		a.fault, a.reason = fmt.Errorf("proved fresh since %s, what the device showed last since %s", challenge.issued, later), ReasonEvidenceRepeated
	}
}

// showed remembers since when the latest evidence that policy was asked about is fresh.
func (s *session) showed(challenge token) {
	if challenge.issued.After(s.device.EvidenceAt) {
		s.device.EvidenceAt, s.deviceChanged = challenge.issued, true
	}
}

// pinAttestationKey keeps the key that vouched for a device in the evidence that was
// accepted first, or that may take its place.
func (s *session) pinAttestationKey(a appraisal) error {
	known, found := s.device.AttestationKey, a.result.AttestationKey
	if found == (cosekit.Thumbprint{}) || found == known {
		return nil
	}
	event := s.event(audit.AttestationKeyPinned, s.device.ID)
	event.Details = map[string]string{"key": found.String()}
	if known != (cosekit.Thumbprint{}) {
		event.Details["replaced"] = known.String()
	}
	s.device.AttestationKey, s.device.UpdatedAt, s.deviceChanged = found, s.now, true
	return s.tx.AppendEvent(event)
}

// attestationAccepted notes that the agent attested. Its age runs from the issue
// of the challenge, the latest time of which the evidence is known to be younger, or
// from so much earlier that fresh evidence is due when the acceptance ends. A device that
// nobody accepted has one such note in an hour.
func (s *session) attestationAccepted(a appraisal, challenge token) error {
	attested := challenge.issued
	if until := a.decision.Until; !until.IsZero() {
		if end := until.Add(-s.t.cfg.Policy.AttestationMaxAge); end.Before(attested) {
			attested = end
		}
		s.agent.AttestedAt = attested
	} else if attested.After(s.agent.AttestedAt) {
		s.agent.AttestedAt = attested
	}
	s.agent.AcceptedUnder = a.under
	s.showed(challenge)
	s.device.Attestations.Accepted++
	s.deviceChanged = true
	if err := s.pinAttestationKey(a); err != nil {
		return err
	}
	if err := s.release(a.decision); err != nil {
		return err
	}
	if s.device.State != devices.Quarantined {
		if s.holdReason() == ReasonAgentRepeating {
			s.agent.HoldUntil, s.agent.HoldReason = time.Time{}, ""
		}
		s.agent.Repeats = 0
	}
	if s.device.State != devices.Accepted && !s.noteworthy(string(audit.AttestationAccepted)) {
		return nil
	}
	if err := s.record(a, challenge); err != nil {
		return err
	}
	event := s.event(audit.AttestationAccepted, s.device.ID)
	event.Details = map[string]string{"verifier": a.result.Verifier}
	if a.decision.Policy != policyByDefault {
		event.Details["policy"] = a.decision.Policy
	}
	return s.tx.AppendEvent(event)
}

// record adds the appraisal to the history of the device.
func (s *session) record(a appraisal, challenge token) error {
	r := a.result
	vector, err := json.Marshal(r.Vector)
	if err != nil {
		return fmt.Errorf("trust vector: %w", err)
	}
	row := devices.Appraisal{
		Device: s.device.ID, Agent: s.thumbprint(), At: s.now, Accepted: a.fault == nil,
		Code: string(a.reason), Status: int8(r.Status), Vector: vector, Verifier: r.Verifier,
		Outcome: string(a.decision.Outcome), Policy: a.decision.Policy,
		Format: s.payload.Format, Challenge: challenge.nonce(), ResultFormat: r.Format,
		Evidence: s.kept(r.Evidence.Payload), Result: s.kept(r.Raw),
	}
	if a.fault != nil {
		row.Reason = a.fault.Error()
	}
	if r.Claims != nil {
		if row.Claims, err = claimsJSON(r.Document); err != nil {
			return fmt.Errorf("claims: %w", err)
		}
		if row.Comparisons, err = comparisonsJSON(r.Comparisons); err != nil {
			return fmt.Errorf("comparisons: %w", err)
		}
	}
	return s.tx.AddAppraisal(row)
}

// kept is what is kept of raw bytes: all of them, or nothing.
func (s *session) kept(raw []byte) []byte {
	if len(raw) > s.t.cfg.Policy.KeepEvidence {
		return nil
	}
	return raw
}
