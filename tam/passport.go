package tam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/teep"
)

// admitResult has an Attestation Result that an agent brings along (RFC 9334 section
// 5.1, draft-ietf-teep-protocol-26 section 7.1.1) verified, and finds what shows that it
// is fresh. What is wrong with one is not counted for the agent: whoever has a copy
// of the message could send it again, since nothing in it is known to be ours.
func (t *TAM) admitResult(ctx context.Context, x *exchange) (admitted, error) {
	if t.cfg.Results == nil {
		return admitted{}, refuse(ReasonResultUnsupported, nil)
	}
	var under int64
	err := t.cfg.Store.View(ctx, func(r Reader) (err error) {
		under, err = r.PolicyState() // before it is verified, as lookInto does it for evidence
		return err
	})
	if err != nil {
		return admitted{}, err
	}
	result, err := t.cfg.Results.Verify(ctx, x.payload.Format, x.payload.Payload)
	if err == nil && result == nil {
		err = errors.New("no result")
	}
	if err != nil {
		return admitted{}, refuse(resultReason(err), err)
	}
	if result.Claims == nil {
		return admitted{}, refuse(ReasonNotAffirmed, fmt.Errorf("the result says nothing about its evidence: %s", result.Reason()))
	}
	challenge, err := t.resultFreshness(x, result)
	if err != nil {
		return admitted{}, err
	}
	in := admitted{challenge: challenge, result: result, under: under, leave: func() {}}
	return in, t.lookInto(ctx, x, &in)
}

// resultReason tells what is wrong with a result that is not taken.
func resultReason(err error) Reason {
	switch {
	case errors.Is(err, ear.ErrSignature):
		return ReasonResultSignature
	case errors.Is(err, ear.ErrResult), errors.Is(err, attest.ErrToken), errors.Is(err, attest.ErrClaims),
		errors.Is(err, attest.ErrMediaType), errors.Is(err, attest.ErrFormat), errors.Is(err, attest.ErrTooLarge):
		return ReasonResultUnreadable
	case errors.Is(err, attest.ErrExpired), errors.Is(err, attest.ErrNotYetValid):
		return ReasonEvidenceTime
	case errors.Is(err, ErrUnavailable):
		return ReasonNotAppraised
	}
	return ReasonResultUnreadable
}

// byTime reports whether the endpoint takes results that were issued for no challenge of
// ours and are in their time.
func (e *Endpoint) byTime() bool { return e.Passport || e.Freshness == teep.FreshnessTimestamp }

// resultFreshness finds our challenge in a result or, on an endpoint for passports, a
// time of issue that policy allows. The same passport may come again while it is good;
// an earlier one than the last may not.
func (t *TAM) resultFreshness(x *exchange, r *attest.Result) (token, error) {
	if r.Claims.Nonce != nil {
		key := x.thumbprint()
		challenge, err := t.tokens.open(r.Claims.Nonce, x.ep, &key, true)
		if err == nil || !x.ep.byTime() {
			return challenge, err
		}
	} else if !x.ep.byTime() {
		return token{}, refuse(ReasonNonce, errors.New("no eat_nonce in the result"))
	}
	issued := r.AppraisedAt
	if issued.IsZero() {
		issued = r.Claims.IssuedAt
	}
	policy := t.cfg.Policy
	switch age := x.now.Sub(issued); {
	case issued.IsZero():
		return token{}, refuse(ReasonEvidenceTime, errors.New("the result does not say when it was issued"))
	case age > policy.AttestationMaxAge+policy.ClockSkew:
		return token{}, refuse(ReasonEvidenceTime, fmt.Errorf("the result was issued %s ago, at most %s allowed", age.Round(time.Second), policy.AttestationMaxAge))
	case age < -policy.ClockSkew:
		return token{}, refuse(ReasonEvidenceTime, fmt.Errorf("the result is from the future, issued at %s", issued))
	case x.agent != nil && issued.Before(x.agent.EvidenceAt):
		return token{}, refuse(ReasonEvidenceRepeated, fmt.Errorf("the result was issued at %s, a later one is known from %s", issued, x.agent.EvidenceAt))
	}
	r.Claims.IssuedAt = issued // attest.Bind looks for it there
	return token{purpose: purpose(challengeItems), issued: issued, passport: true}, nil
}

// returned is the result to pass back to the agent in an Update
// (draft-ietf-teep-protocol-26 section 4.4): as a remote verifier issued it, or
// issued here. It is made after the transaction, for it may be signed.
func (t *TAM) returned(x *exchange, r *attest.Result) (*teep.AttestationPayload, error) {
	switch {
	case r.Raw != nil:
		return &teep.AttestationPayload{Format: r.Format, Payload: r.Raw}, nil
	case t.cfg.Issuer == nil:
		return nil, nil
	}
	return t.cfg.Issuer.Issue(r)
}

// passBack puts the result of an accepted appraisal into the answer, where the endpoint
// is set to: into the Update, or alone where there is nothing to do. A result that
// cannot be issued is no reason to keep an Update from a device.
func (t *TAM) passBack(x *exchange, a appraisal, out *outcome) {
	update, ok := out.reply.(*teep.Update)
	alone := out.reply == nil && out.reason == ReasonNothingToDo
	switch {
	case !x.ep.ReturnResults || a.result == nil || a.fault != nil || x.isResult:
		return
	case !alone && (!ok || update.ErrCode != 0):
		return
	}
	payload, err := t.returned(x, a.result)
	switch {
	case err != nil:
		out.detail = joinWords(out.detail, "the result is not passed back: "+err.Error())
	case payload == nil:
	case alone:
		out.reply = &teep.Update{Attestation: payload}
	default:
		update.Attestation = payload
	}
}

func joinWords(known, more string) string {
	if known == "" {
		return more
	}
	return known + "; " + more
}
