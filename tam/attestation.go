package tam

import (
	"context"
	"errors"
	"log/slog"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/policy"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/teep"
)

// attested handles the evidence of a registered agent, or the result that it brings.
func (t *TAM) attested(ctx context.Context, x *exchange, m *teep.QueryResponse) (outcome, error) {
	in, err := t.admit(ctx, x)
	if err != nil {
		return t.refuseResult(x, err)
	}
	defer in.leave()
	var a appraisal
	device := in.device
	// A challenge to this agent went out while it was not held.
	held := x.agent.HoldActive(x.now) && in.challenge.purpose&purposeAddressed == 0
	if device.State != devices.Rejected && device.State != devices.Retired && !held {
		a = t.appraise(ctx, x, in, attest.Binding{Registered: true, UEID: device.UEID, AttestationKey: device.AttestationKey})
	}
	var out outcome
	err = t.cfg.Store.Update(ctx, func(tx Tx) (err error) {
		a := a // this may run again
		s, err := t.spend(tx, x, in.challenge)
		if err != nil {
			return err
		}
		if out, err = t.served(s, m, &a, in.challenge); err != nil {
			return err
		}
		x.appraised = a
		return s.finish()
	})
	if err == nil && x.hidden && x.appraised.decision.Policy == "" {
		return x.cannotRead(ReasonEvidenceEncrypted, joinWords(string(out.reason), out.detail)), nil
	}
	if err == nil {
		t.passBack(x, x.appraised, &out)
	}
	return out, err
}

// refuseResult tells a registered agent why its result is of no use, or what it sent
// encrypted. Nothing changes.
func (t *TAM) refuseResult(x *exchange, err error) (outcome, error) {
	refused := (*refusal)(nil)
	if !errors.As(err, &refused) || !x.isResult && !x.hidden {
		return outcome{}, err
	}
	if x.hidden {
		return x.cannotRead(ReasonEvidenceEncrypted, joinWords(string(refused.reason), refused.detail())), nil
	}
	words := "the attestation result is not accepted: " + string(refused.reason)
	if refused.reason == ReasonResultUnsupported {
		words = "attestation results are not accepted here, send evidence"
	}
	out := x.complain(teep.AttestationRequired, refused.reason, words)
	if detail := refused.detail(); detail != "" {
		out.detail = detail
	}
	return out, nil
}

// served gives a registered agent what its appraised evidence earns it.
func (t *TAM) served(s *session, m *teep.QueryResponse, a *appraisal, challenge token) (outcome, error) {
	switch {
	case a.result == nil && a.fault == nil && s.device.State != devices.Accepted:
		return s.sendAway(reasonOfState(s.device.State), s.device.StateReason)
	case a.result == nil && a.fault == nil:
		return s.sendAway(s.holdReason(), s.agent.HoldReason)
	case a.result == nil:
		return s.notAppraised(*a)
	}
	if a.decision.Policy == "" { // at first contact it was asked already
		if err := s.decide(a, challenge); err != nil {
			return outcome{}, err
		}
	}
	if a.fault != nil {
		return t.attestationFailed(s, m, *a, challenge)
	}
	if err := s.attestationAccepted(*a, challenge); err != nil {
		return outcome{}, err
	}
	if err := s.takeInventory(m, challenge.purpose); err != nil {
		return outcome{}, err
	}
	if err := s.confirm(a.result.Claims, challenge.issued); err != nil {
		return outcome{}, err
	}
	if s.device.State == devices.Quarantined { // by an operator
		return t.remedied(s, *a, reasonOfState(s.device.State), s.device.StateReason)
	}
	return t.serve(s, m, challenge.purpose, func() (string, error) { return "", nil })
}

// notAppraised answers evidence about which nothing could be said: the device's last
// state stands.
func (s *session) notAppraised(a appraisal) (outcome, error) {
	s.countFailure(a.reason)
	if s.noteworthy(string(a.reason)) {
		if err := s.auditFailure(a); err != nil {
			return outcome{}, err
		}
	}
	s.ledNowhere()
	if s.device.State != devices.Accepted {
		return outcome{reason: reasonOfState(s.device.State), detail: a.fault.Error()}, nil
	}
	code, words := teep.TemporaryError, "the evidence could not be appraised, try again later"
	if a.reason != ReasonNotAppraised {
		code, words = teep.PermanentError, "the evidence cannot be appraised"
	}
	out := s.complain(code, a.reason, words)
	out.detail = a.fault.Error()
	return out, nil
}

// appraisal is what became of evidence: nothing could be said (no result, a fault),
// found wanting, not bound or not good enough (both), good (a result without fault).
type appraisal struct {
	result *attest.Result
	fault  error
	reason Reason // of the fault
	// decision is that of policy; zero where it was not asked, for a result that is not
	// bound to the message and the device.
	decision policy.Decision
	under    int64 // the state of the policies as the appraisal began
}

// appraise has evidence appraised; a result that came along was, by whom we trust. Then
// nonce and cnf are checked again on the very bytes that were.
func (t *TAM) appraise(ctx context.Context, x *exchange, in admitted, b attest.Binding) appraisal {
	result, challenge := in.result, in.challenge
	if result == nil {
		var err error
		result, err = t.cfg.Verifier.Appraise(ctx, attest.Evidence{Format: x.payload.Format, Payload: x.payload.Payload, Challenge: challenge.nonce()})
		if err == nil && result == nil {
			err = errors.New("the verifier returned no result")
		}
		if err != nil {
			return appraisal{fault: err, reason: appraisalReason(err)}
		}
	}
	switch {
	case challenge.passport:
		b.MaxAge = t.cfg.Policy.AttestationMaxAge
	case challenge.unasked:
		b.MaxAge = t.cfg.Policy.EvidenceMaxAge
	}
	b.Challenge, b.Key, b.Now, b.Skew = challenge.nonce(), x.key, x.now, t.cfg.Policy.ClockSkew
	if err := attest.Bind(result, b); err != nil {
		return appraisal{result: result, fault: err, reason: bindReason(err)}
	}
	if err := t.rules.refresh(ctx, t.cfg.Store, in.under); err != nil {
		t.cfg.Log.WarnContext(ctx, "policies were changed and cannot be read, those before are asked", slog.Any("error", err))
	}
	return appraisal{result: result, under: in.under}
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
