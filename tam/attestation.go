package tam

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// attested handles the evidence of a registered agent.
func (t *TAM) attested(ctx context.Context, x *exchange, m *teep.QueryResponse) (outcome, error) {
	challenge, leave, err := t.admitEvidence(ctx, x)
	if err != nil {
		return outcome{}, err
	}
	defer leave()
	var device devices.Device
	err = t.cfg.Store.View(ctx, func(r Reader) (err error) {
		device, err = r.Device(x.device)
		return err
	})
	if err != nil {
		return outcome{}, fmt.Errorf("look up a device: %w", err)
	}
	var a appraisal
	// A challenge to this agent went out while it was not held.
	held := x.agent.HoldActive(x.now) && challenge.purpose&purposeAddressed == 0
	if device.State != devices.Rejected && device.State != devices.Retired && !held {
		a = t.appraise(ctx, x, m.Attestation, challenge, attest.Binding{Registered: true, UEID: device.UEID})
	}
	var out outcome
	err = t.cfg.Store.Update(ctx, func(tx Tx) (err error) {
		s, err := t.spend(tx, x, challenge)
		if err != nil {
			return err
		}
		if out, err = t.served(s, m, a, challenge); err != nil {
			return err
		}
		return s.finish()
	})
	return out, err
}

// served gives a registered agent what its appraised evidence earns it.
func (t *TAM) served(s *session, m *teep.QueryResponse, a appraisal, challenge token) (outcome, error) {
	switch {
	case a.result == nil && a.fault == nil && s.device.State != devices.Accepted:
		return s.sendAway(reasonOfState(s.device.State), s.device.StateReason)
	case a.result == nil && a.fault == nil:
		return s.sendAway(s.holdReason(), s.agent.HoldReason)
	case a.result == nil:
		// Nothing could be said about the device: its last state stands.
		if s.noteworthy(string(a.reason)) {
			if err := s.auditFailure(a); err != nil {
				return outcome{}, err
			}
		}
		s.ledNowhere()
		code, words := teep.TemporaryError, "the evidence could not be appraised, try again later"
		if a.reason != ReasonNotAppraised {
			code, words = teep.PermanentError, "the evidence cannot be appraised"
		}
		out := s.complain(code, a.reason, words)
		out.detail = a.fault.Error()
		return out, nil
	}
	if err := s.checkAttestationKey(&a); err != nil {
		return outcome{}, err
	}
	if a.fault != nil {
		return s.attestationFailed(a, challenge)
	}
	if err := s.attestationAccepted(a, challenge); err != nil {
		return outcome{}, err
	}
	if err := s.takeInventory(m, challenge.purpose); err != nil {
		return outcome{}, err
	}
	if err := s.confirm(a.result.Claims, challenge.issued); err != nil {
		return outcome{}, err
	}
	return t.serve(s, m, challenge.purpose, func() (string, error) { return "", nil })
}

// admitEvidence finds our challenge in the evidence, or its timestamp, and takes the
// one place there is to appraise it. A refusal here spends nothing: a copy of the
// message, sent by anybody, must not take the challenge away from the original.
func (t *TAM) admitEvidence(ctx context.Context, x *exchange) (token, func(), error) {
	challenge, err := t.freshness(x)
	if err != nil {
		return token{}, nil, err
	}
	leave, err := t.gate.enter(challenge.raw)
	if err != nil {
		return token{}, nil, err
	}
	var spent bool
	err = t.cfg.Store.View(ctx, func(r Reader) (err error) {
		spent, err = r.Spent(challenge.raw)
		return err
	})
	if err == nil && spent {
		err = refuse(ReasonTokenSpent, nil)
	}
	if err != nil {
		leave()
		return token{}, nil, err
	}
	return challenge, leave, nil
}

// freshness finds what shows that the evidence is fresh
// (draft-ietf-teep-protocol-26 section 9). The timestamp is looked at here in claims
// that nobody has verified, and again in the appraised ones, by attest.Bind.
func (t *TAM) freshness(x *exchange) (token, error) {
	key, c := x.thumbprint(), x.claims
	if c.Nonce != nil {
		return t.tokens.open(c.Nonce, x.ep, &key, true)
	}
	policy := t.cfg.Policy
	switch age := x.now.Sub(c.IssuedAt); {
	case x.ep.Freshness != teep.FreshnessTimestamp:
		return token{}, refuse(ReasonNonce, errors.New("no eat_nonce in the evidence"))
	case c.IssuedAt.IsZero():
		return token{}, refuse(ReasonEvidenceTime, errors.New("neither eat_nonce nor iat in the evidence"))
	case age > policy.EvidenceMaxAge+policy.ClockSkew || age < -policy.ClockSkew:
		return token{}, refuse(ReasonEvidenceTime, fmt.Errorf("made %s ago, at most %s allowed", age, policy.EvidenceMaxAge))
	case c.IssuedAt.Before(t.remembered()):
		return token{}, refuse(ReasonEvidenceTime, fmt.Errorf("made at %s, before the oldest token key: perhaps taken, and forgotten since", c.IssuedAt))
	case x.agent != nil && !c.IssuedAt.After(x.agent.EvidenceAt):
		return token{}, refuse(ReasonEvidenceRepeated, fmt.Errorf("made at %s, an earlier one at %s", c.IssuedAt, x.agent.EvidenceAt))
	}
	evidence, _ := x.evidence()
	digest := sha256.Sum256(evidence.Payload)
	return token{
		raw: digest[:], purpose: purpose(challengeItems), issued: c.IssuedAt, unasked: true,
		spentUntil: c.IssuedAt.Add(policy.EvidenceMaxAge + 2*policy.ClockSkew),
	}, nil
}

// remembered is the time since when the store is known to remember the evidence that
// was taken. A database that was restored has forgotten some, and new token keys then
// say so. Where they rotate, the oldest is always older than evidence may be.
func (t *TAM) remembered() time.Time {
	return (*t.tokens.ring.keys.Load())[0].CreatedAt.Add(-t.cfg.Policy.ClockSkew)
}

// appraisal is what became of evidence: nothing could be said (no result, a fault),
// found wanting or not bound (both), good (a result without fault).
type appraisal struct {
	result *attest.Result
	fault  error
	reason Reason // of the fault
}

// appraise has the evidence appraised, and checks nonce and cnf again on the very
// bytes that were.
func (t *TAM) appraise(ctx context.Context, x *exchange, p *teep.AttestationPayload, challenge token, b attest.Binding) appraisal {
	result, err := t.cfg.Verifier.Appraise(ctx, attest.Evidence{Format: p.Format, Payload: p.Payload, Challenge: challenge.nonce()})
	if err == nil && result == nil {
		err = errors.New("the verifier returned no result")
	}
	if err != nil {
		return appraisal{fault: err, reason: appraisalReason(err)}
	}
	if challenge.unasked {
		b.MaxAge = t.cfg.Policy.EvidenceMaxAge
	}
	b.Challenge, b.Key, b.Now, b.Skew = challenge.nonce(), x.key, x.now, t.cfg.Policy.ClockSkew
	err = attest.Bind(result, b)
	if err == nil {
		err = result.Affirmed()
	}
	if err != nil {
		return appraisal{result: result, fault: err, reason: bindReason(err)}
	}
	return appraisal{result: result}
}

// appraisalReason tells faults of the evidence, which stay, from those of the
// verifier, which may pass.
func appraisalReason(err error) Reason {
	switch {
	case errors.Is(err, attest.ErrFormat), errors.Is(err, attest.ErrMediaType):
		return ReasonEvidenceFormat
	case errors.Is(err, attest.ErrTooLarge):
		return ReasonEvidenceTooLarge
	case errors.Is(err, attest.ErrToken), errors.Is(err, attest.ErrClaims):
		return ReasonEvidenceUnreadable
	}
	return ReasonNotAppraised
}

// bindReasons names the faults of attest.Bind.
var bindReasons = []struct {
	fault  error
	reason Reason
}{
	{attest.ErrNonce, ReasonNonce},
	{attest.ErrStale, ReasonEvidenceTime},
	{attest.ErrNotYetValid, ReasonEvidenceTime},
	{attest.ErrExpired, ReasonEvidenceTime},
	{attest.ErrNotAffirmed, ReasonNotAffirmed},
	{attest.ErrKeyBinding, ReasonCnfMismatch},
	{attest.ErrKeyNotCarried, ReasonCnfMissing},
	{attest.ErrDevice, ReasonUEIDMismatch},
}

func bindReason(err error) Reason {
	for _, b := range bindReasons {
		if errors.Is(err, b.fault) {
			return b.reason
		}
	}
	return ReasonNotBound
}

// attestationFailed keeps the device in its last state and offers nothing, now and
// at every further poll, until evidence is accepted again. The place of a
// remediation manifest is here. A failure that repeats is not recorded again: the
// evidence is large, and whoever has the agent's key makes as much as it likes.
func (s *session) attestationFailed(a appraisal, challenge token) (outcome, error) {
	s.agent.AttestedAt = time.Time{}
	s.ledNowhere()
	if s.noteworthy(string(a.reason)) {
		if err := s.record(a, challenge); err != nil {
			return outcome{}, err
		}
		if err := s.auditFailure(a); err != nil {
			return outcome{}, err
		}
	}
	out := s.complain(teep.AttestationRequired, a.reason, "attestation was not accepted: "+string(a.reason))
	out.detail = a.fault.Error()
	return out, nil
}

func (s *session) auditFailure(a appraisal) error {
	event := s.event(audit.AttestationFailed, s.device.ID)
	event.Reason = string(a.reason)
	event.Details = map[string]string{"detail": a.fault.Error()}
	return s.tx.AppendEvent(event)
}

var errAttestationKey = errors.New("another attestation key vouched for the device first")

// checkAttestationKey holds good evidence against the key that vouched for the
// device first: an attestation key that is registered for some devices must not
// speak for others. The first is kept; another is a fault of the evidence, or takes
// its place where policy replaces keys. A Verifier that does not name the key leaves
// it as it is.
func (s *session) checkAttestationKey(a *appraisal) error {
	if a.fault != nil || a.result.AttestationKey == (cosekit.Thumbprint{}) || a.result.AttestationKey == s.device.AttestationKey {
		return nil
	}
	event := s.event(audit.AttestationKeyPinned, s.device.ID)
	event.Details = map[string]string{"key": a.result.AttestationKey.String()}
	if known := s.device.AttestationKey; known != (cosekit.Thumbprint{}) {
		if s.t.cfg.Policy.SecondKey == RefuseSecondKey {
			a.fault, a.reason = fmt.Errorf("%w: %s, this is by %s", errAttestationKey, known, a.result.AttestationKey), ReasonAttestationKey
			return nil
		}
		event.Details["replaced"] = known.String()
	}
	s.device.AttestationKey, s.device.UpdatedAt = a.result.AttestationKey, s.now
	if err := s.tx.PutDevice(s.device); err != nil {
		return err
	}
	return s.tx.AppendEvent(event)
}

// attestationAccepted notes that the agent attested. Its age runs from the issue
// of the challenge, the latest time of which the evidence is known to be younger.
// A device that nobody accepted has one such note in an hour.
func (s *session) attestationAccepted(a appraisal, challenge token) error {
	if challenge.issued.After(s.agent.AttestedAt) {
		s.agent.AttestedAt = challenge.issued
	}
	if challenge.issued.After(s.device.EvidenceAt) {
		s.device.EvidenceAt = challenge.issued
		if err := s.tx.PutDevice(s.device); err != nil {
			return err
		}
	}
	if s.holdReason() == ReasonAgentRepeating {
		s.agent.HoldUntil, s.agent.HoldReason = time.Time{}, ""
	}
	s.agent.Repeats = 0
	if s.device.State != devices.Accepted && !s.noteworthy(string(audit.AttestationAccepted)) {
		return nil
	}
	if err := s.record(a, challenge); err != nil {
		return err
	}
	event := s.event(audit.AttestationAccepted, s.device.ID)
	event.Details = map[string]string{"verifier": a.result.Verifier}
	return s.tx.AppendEvent(event)
}

// record adds the appraisal to the history of the device.
func (s *session) record(a appraisal, challenge token) error {
	vector, err := json.Marshal(a.result.Vector)
	if err != nil {
		return fmt.Errorf("trust vector: %w", err)
	}
	row := devices.Appraisal{
		Device: s.device.ID, Agent: s.thumbprint(), At: s.now, Accepted: a.fault == nil,
		Status: int8(a.result.Status), Vector: vector, Verifier: a.result.Verifier,
		Evidence: a.result.Evidence.Payload, Format: a.result.Evidence.Format, Challenge: challenge.nonce(),
	}
	if a.fault != nil {
		row.Reason = a.fault.Error()
	}
	return s.tx.AddAppraisal(row)
}
