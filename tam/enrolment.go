package tam

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// firstContact handles the QueryResponse of an unknown key, which its evidence
// introduced. Anybody can make a key and sign with it, so nothing is spent and
// nothing written unless the evidence is affirmed and bound.
func (t *TAM) firstContact(ctx context.Context, x *exchange, m *teep.QueryResponse) (outcome, error) {
	in, err := t.admit(ctx, x)
	if err != nil {
		return outcome{}, err
	}
	defer in.leave()
	a := t.appraise(ctx, x, in, attest.Binding{})
	if a.fault != nil {
		x.appraised = a
		return outcome{}, refuse(a.reason, a.fault)
	}
	id, err := uuid.NewRandomFromReader(t.tokens.rand)
	if err != nil {
		return outcome{}, fmt.Errorf("randomness for a device id: %w", err)
	}
	var out outcome
	var refused *refusal
	err = t.cfg.Store.Update(ctx, func(tx Tx) error {
		a := a // this may run again
		s := &session{exchange: x, t: t, tx: tx}
		if err := s.spend(in.challenge); err != nil {
			return err
		}
		if refused, err = s.enrol(devices.ID(id.String()), &a, in.challenge); err != nil {
			return err
		}
		if refused != nil {
			out = outcome{reason: refused.reason, detail: refused.detail()}
			return nil
		}
		x.device = s.device.ID
		if out, err = t.served(s, m, &a, in.challenge); err != nil {
			return err
		}
		x.appraised = a
		return s.finish()
	})
	if err == nil {
		t.passBack(x, x.appraised, &out)
	}
	if err == nil && refused != nil {
		t.strangers.note(refusedKey{x.thumbprint(), refused.reason}, x.now)
	}
	return out, err
}

// enrol makes the agent, and its device where the ueid is new, or says why policy
// does not want it. A refusal is written down: this sender is affirmed and bound.
func (s *session) enrol(id devices.ID, a *appraisal, challenge token) (*refusal, error) {
	claims := a.result.Claims
	known, err := s.tx.Agent(s.thumbprint())
	if err == nil { // another challenge of the same agent was faster
		s.agent = known
		if err := s.checkTimestamp(challenge); err != nil {
			return nil, err
		}
		if s.device, err = s.tx.Device(known.Device); err == nil && !bytes.Equal(s.device.UEID, claims.UEID) {
			return refuse(ReasonUEIDMismatch, fmt.Errorf("the agent is of device %s by now", s.device.ID)), nil
		}
		return nil, err
	}
	if !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	rules := s.t.rules.current()
	s.device, err = s.tx.DeviceByUEID(claims.UEID)
	isNew := errors.Is(err, ErrNotFound)
	switch {
	case isNew:
		s.device = newDevice(id, a.result, s.now)
	case err != nil:
		return nil, err
	}
	if s.askPolicy(a, rules); a.fault != nil { // as if it had not been affirmed: nothing is spent
		s.appraised = *a
		return nil, refuse(a.reason, a.fault)
	}
	var noted map[string]time.Time
	if isNew {
		if refused, err := s.createDevice(a.result, rules); refused != nil || err != nil {
			return refused, err
		}
		noted = map[string]time.Time{string(reasonOfState(s.device.State)): s.now} // with its creation
	} else {
		if refused, err := s.secondKey(a.result, challenge); refused != nil || err != nil {
			return refused, err
		}
		if s.checkAttestationKey(a); a.fault != nil {
			return s.refuseEnrolment(a.reason, deviceSubject(s.device.ID), a.fault)
		}
	}
	s.agent = devices.Agent{Key: s.key, Device: s.device.ID, Numbering: s.ep.Numbering, Algorithm: s.env.Algorithm(), CreatedAt: s.now, LastSeen: s.now, Noted: noted}
	if err := s.tx.PutAgent(s.agent); err != nil {
		return nil, err
	}
	return nil, s.tx.AppendEvent(s.event(audit.AgentAdded, s.device.ID))
}

// newDevice is a device as its first evidence shows it.
func newDevice(id devices.ID, r *attest.Result, now time.Time) devices.Device {
	return devices.Device{
		ID: id, UEID: r.Claims.UEID, State: devices.Pending,
		OEMID: r.Claims.OEMID, HWModel: r.Claims.HWModel, HWVersion: r.Claims.HWVersion,
		AttestationKey: r.AttestationKey, CreatedAt: now, UpdatedAt: now,
	}
}

func (s *session) createDevice(r *attest.Result, rules rules) (*refusal, error) {
	if refused, err := s.admission(r, rules); refused != nil || err != nil {
		return refused, err
	}
	if err := s.tx.PutDevice(s.device); err != nil {
		return nil, err
	}
	event := s.event(audit.DeviceCreated, s.device.ID)
	event.Details = map[string]string{"ueid": fmt.Sprintf("%x", s.device.UEID), "state": string(s.device.State)}
	event.Reason = s.device.StateReason
	if r.AttestationKey != (cosekit.Thumbprint{}) {
		event.Details["attestationKey"] = r.AttestationKey.String()
	}
	return nil, s.tx.AppendEvent(event)
}

// admission decides what becomes of a new device: a policy that speaks of it does, else
// what is configured.
func (s *session) admission(r *attest.Result, rules rules) (*refusal, error) {
	subject := fmt.Sprintf("ueid:%x", s.device.UEID)
	d, spoken := rules.admit(s.device, r, s.now, nil)
	switch {
	case spoken && d.Outcome == policy.Accept:
		return nil, s.admit("admitted by policy " + d.Policy)
	case spoken && d.Outcome == policy.Reject:
		return s.refuseEnrolment(ReasonPolicyRejected, subject, fmt.Errorf("policy %s: %s", d.Policy, d.Reason))
	case spoken:
		s.device.StateReason = fmt.Sprintf("policy %s: %s", d.Policy, d.Reason)
		return nil, nil
	}
	switch s.t.cfg.Policy.Admission {
	case AdmitPreregistered:
		return s.refuseEnrolment(ReasonNotRegistered, subject, fmt.Errorf("no device with ueid %x", s.device.UEID))
	case AdmitAffirming:
		return nil, s.admit("policy: admitted when affirming")
	}
	return nil, nil
}

// admit accepts a new device, unless the attestation key vouches for another
// already: with one that leaked, or is in many devices, there would be no end of them.
func (s *session) admit(why string) error {
	s.device.State, s.device.StateReason = devices.Accepted, why
	if s.device.AttestationKey == (cosekit.Thumbprint{}) {
		return nil // the Verifier knows devices by other means
	}
	other, err := s.tx.DeviceAttestedBy(s.device.AttestationKey)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil
	case err != nil:
		return err
	}
	s.device.State = devices.Pending
	s.device.StateReason = fmt.Sprintf("its attestation key %s vouches for device %s already", s.device.AttestationKey, other.ID)
	return nil
}

// secondKey decides about a key for a device that is known. One without agents was
// registered ahead and takes its first. A replacing key needs evidence that is later
// than all that the device was accepted with: a response of a key that was replaced
// may have been withheld, and must not take the device back.
func (s *session) secondKey(r *attest.Result, challenge token) (*refusal, error) {
	agents, err := s.tx.AgentsOf(s.device.ID)
	if err != nil {
		return nil, err
	}
	if len(agents) > 0 && s.t.cfg.Policy.SecondKey == RefuseSecondKey {
		return s.refuseEnrolment(ReasonSecondKey, deviceSubject(s.device.ID),
			fmt.Errorf("device %s has agent %s; attestation key %s vouches for another", s.device.ID, agents[0].Key.Thumbprint(), r.AttestationKey))
	}
	if !challenge.issued.After(s.device.EvidenceAt) {
		return s.refuseEnrolment(ReasonEvidenceRepeated, deviceSubject(s.device.ID),
			fmt.Errorf("proved fresh since %s, that of device %s since %s", challenge.issued, s.device.ID, s.device.EvidenceAt))
	}
	for _, old := range agents {
		if err := s.tx.DeleteAgent(old.Key.Thumbprint()); err != nil {
			return nil, err
		}
		event := s.event(audit.AgentReplaced, s.device.ID)
		event.Details = map[string]string{"replaced": old.Key.Thumbprint().String()}
		if err := s.tx.AppendEvent(event); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// refuseEnrolment writes a refusal to the record, the first time, and returns it.
func (s *session) refuseEnrolment(reason Reason, subject string, why error) (*refusal, error) {
	refused := refuse(reason, why)
	if !s.t.strangers.noteworthy(refusedKey{s.thumbprint(), reason}, s.now) {
		return refused, nil
	}
	event := s.event(audit.EnrolmentRefused, "")
	event.Subject, event.Reason = subject, string(reason)
	event.Details = map[string]string{"detail": shortened(why.Error(), maxAudited)}
	return refused, s.tx.AppendEvent(event)
}
