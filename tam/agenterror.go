package tam

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// reaction is what the TAM does about an error code
// (draft-ietf-teep-protocol-26 section 4.6).
type reaction struct {
	// retry: ask once more, for what both support (see narrow). These answer
	// QueryRequests.
	retry bool
	// state of the components of an Update that was answered so.
	state devices.ComponentState
	// hold: how long to wait with the next offer.
	hold func(Policy) time.Duration
}

func temporary(p Policy) time.Duration { return p.TemporaryHold }
func permanent(p Policy) time.Duration { return p.PermanentHold }
func atOnce(Policy) time.Duration      { return 0 }

// reactions has every registered code. A code that is not in it is an unknown
// error, and handled like a permanent one: held back for long, never for ever.
var reactions = map[teep.ErrorCode]reaction{
	teep.PermanentError:                 {state: devices.Failed, hold: permanent},
	teep.UnsupportedExtension:           {state: devices.Failed, hold: permanent},
	teep.UnsupportedFreshnessMechanisms: {state: devices.Failed, hold: permanent, retry: true},
	teep.UnsupportedMsgVersion:          {state: devices.Failed, hold: permanent, retry: true},
	teep.UnsupportedCipherSuites:        {state: devices.Failed, hold: permanent, retry: true},
	teep.BadCertificate:                 {state: devices.Failed, hold: permanent},
	teep.AttestationRequired:            {state: devices.Failed, hold: permanent},
	teep.UnsupportedSUITReport:          {state: devices.Failed, hold: permanent, retry: true},
	teep.CertificateExpired:             {state: devices.Failed, hold: permanent},
	teep.TemporaryError:                 {state: devices.Offered, hold: temporary},
	teep.ManifestProcessingFailed:       {state: devices.Failed, hold: atOnce},
}

func reactionTo(code teep.ErrorCode) reaction {
	if r, ok := reactions[code]; ok {
		return r
	}
	return reactions[teep.PermanentError]
}

// agentError handles the Error of a registered agent (sections 4.6 and 7.1.2). Its
// token tells what it answers: an outstanding Update, or a QueryRequest. An Error
// without a token could be a copy of an old one and changes nothing; where it can
// answer a QueryRequest, which may have had none, the agent is asked once more.
func (t *TAM) agentError(ctx context.Context, x *exchange, m *teep.Error) (outcome, error) {
	switch {
	case m.Token != nil:
	case m.Code == teep.AttestationRequired:
		// It answers a request without a token, which is one for evidence; or it is a copy
		// of an old one, which must not use up what others with a token get.
		key := x.thumbprint()
		return t.attestSelf(ctx, x, m, purpose(challengeItems), &key, "without a token "+string(key[:]), selfAttestations)
	case reactionTo(m.Code).retry:
		key := x.thumbprint()
		return t.retry(x, purpose(tokenItems), &key, m)
	default:
		return outcome{}, refuse(ReasonErrorUnmatched, errorWords(m))
	}
	out, err := t.updateRefused(ctx, x, m)
	if refused := (*refusal)(nil); errors.As(err, &refused) && refused.reason == ReasonNoUpdate {
		return t.requestRefused(ctx, x, m)
	}
	return out, err
}

func errorWords(m *teep.Error) error { return &teep.ProtocolError{Code: m.Code, Msg: m.ErrMsg} }

// saying adds the device's own words to what the TAM knows of a failure: what a report
// tells is where it was, seldom why. They are quoted, for a device may say anything in the
// 128 bytes that err-msg has.
func saying(known, own string) string {
	if own == "" {
		return known
	}
	return known + "; the device says: " + strconv.Quote(own)
}

// updateRefused settles the Update that an Error answers.
func (t *TAM) updateRefused(ctx context.Context, x *exchange, m *teep.Error) (outcome, error) {
	r := reactionTo(m.Code)
	reports, key, fault := t.openReports(m.SUITReports, m.Token, x.agent)
	var said verdicts
	if m.Code == teep.ManifestProcessingFailed {
		said = verdictsOf(reports)
	}
	otherwise := result{state: r.state, reason: saying(m.Code.String(), m.ErrMsg), words: m.ErrMsg, rest: r.hold(t.cfg.Policy)}
	return t.settle(ctx, x, m.Token, key, fault, otherwise, said)
}

// requestRefused handles an Error that answers a QueryRequest with a token.
func (t *TAM) requestRefused(ctx context.Context, x *exchange, m *teep.Error) (outcome, error) {
	key := x.thumbprint()
	tok, err := t.tokens.open(m.Token, x.ep, &key, false)
	if err != nil {
		if refused := (*refusal)(nil); errors.As(err, &refused) && refused.reason == ReasonTokenForeign {
			err = refuse(ReasonNoUpdate, errorWords(m))
		}
		return outcome{}, err
	}
	r := reactionTo(m.Code)
	var out outcome
	held := false
	err = t.cfg.Store.Update(ctx, func(tx Tx) error {
		s, err := t.spend(tx, x, tok)
		if err != nil {
			return err
		}
		held = s.agent.HoldActive(s.now)
		out = outcome{reason: ReasonAgentError, detail: errorWords(m).Error()}
		switch {
		case m.Code == teep.AttestationRequired:
			out.reason = ReasonTAMAttestation
			s.ledNowhere()
		case r.retry && tok.purpose.retried():
			out.reason = ReasonAlreadyRetried
			s.hold(r, m)
		case r.retry:
			if out, err = t.retry(x, tok.purpose, &key, m); err != nil {
				return err
			}
			if out.reply == nil {
				s.hold(r, m)
			}
		default:
			s.hold(r, m)
		}
		if m.Code == teep.UnsupportedExtension {
			s.agent.Extensions = nil // there are none in what we send
		}
		holds := !held && s.agent.HoldActive(s.now)
		if s.noteworthy(errorName(m.Code)) || holds {
			event := s.event(audit.AgentError, s.device.ID)
			event.Reason = m.Code.String()
			event.Details = map[string]string{"detail": m.ErrMsg}
			if err := tx.AppendEvent(event); err != nil {
				return err
			}
		}
		return s.finish()
	})
	if err == nil && m.Code == teep.AttestationRequired && !held {
		return t.attestSelf(ctx, x, m, tok.purpose, &key, string(key[:]), selfAttestations)
	}
	return out, err
}

// errorName tells the registered codes apart, and no others: an agent makes up as
// many of those as it likes.
func errorName(code teep.ErrorCode) string {
	if _, ok := reactions[code]; !ok {
		return string(ReasonAgentError)
	}
	return code.String()
}

// hold begins a back-off of the agent.
func (s *session) hold(r reaction, m *teep.Error) {
	s.agent.HoldUntil = s.now.Add(r.hold(s.t.cfg.Policy))
	s.agent.HoldReason = errorWords(m).Error()
	s.agent.Repeats = 0
}

// errorOfStranger handles the Error of a key that is not registered. Its signature
// cannot be verified, so all that it may do is what everybody may who connects: ask
// for a QueryRequest, here one that the agent understands. A retry is not retried.
func (t *TAM) errorOfStranger(ctx context.Context, x *exchange) (outcome, error) {
	var from *cosekit.Thumbprint
	reason := ReasonKeyMissing
	if kid, named := x.env.KeyID(); named {
		from, reason = &kid, ReasonUnknownKey
	}
	m, ok := x.env.UnverifiedError()
	if !ok || m.Token == nil || !reactionTo(m.Code).retry && m.Code != teep.AttestationRequired {
		return outcome{}, refuse(reason, nil)
	}
	tok, err := t.tokens.open(m.Token, x.ep, from, false)
	if err != nil {
		return outcome{}, err
	}
	switch {
	case m.Code == teep.AttestationRequired:
		return t.attestToStranger(ctx, x, m, tok, from)
	case tok.purpose.retried():
		return outcome{}, refuse(ReasonAlreadyRetried, errorWords(m))
	}
	return t.retry(x, tok.purpose, from, m)
}

// retry asks once more, for what the agent says that it supports and the TAM does
// too. That it is a retry stands in the token.
func (t *TAM) retry(x *exchange, p purpose, to *cosekit.Thumbprint, m *teep.Error) (outcome, error) {
	out := outcome{reason: ReasonAgentError, detail: errorWords(m).Error()}
	q, err := t.queryRequest(x.ep, purpose(p.items())|purposeRetry, to, x.env.Algorithm())
	if err != nil {
		return outcome{}, err
	}
	if !narrow(q, m) {
		out.reason = ReasonNothingInCommon
		return out, nil
	}
	own := func(s teep.CipherSuite) bool { return s[0].Algorithm == x.env.Algorithm() }
	if !slices.ContainsFunc(q.CipherSuites, own) {
		// The Error may be in any suite that is mandatory for a TAM (section 8.1).
		out.suite = q.CipherSuites[0][0].Algorithm
	}
	out.reply = q
	return out, nil
}

// narrow leaves in a QueryRequest what the agent says that it supports, and reports
// whether anything is left.
func narrow(q *teep.QueryRequest, m *teep.Error) bool {
	switch m.Code {
	case teep.UnsupportedFreshnessMechanisms:
		// A retry that asks for evidence does so with a nonce.
		return slices.Contains(m.FreshnessMechanisms, teep.FreshnessNonce)
	case teep.UnsupportedMsgVersion:
		return slices.ContainsFunc(m.Versions, func(v uint32) bool { return slices.Contains(q.Versions, v) })
	case teep.UnsupportedCipherSuites:
		q.CipherSuites = slices.DeleteFunc(q.CipherSuites, func(ours teep.CipherSuite) bool { return !slices.ContainsFunc(m.CipherSuites, ours.Equal) })
		return len(q.CipherSuites) > 0
	case teep.UnsupportedSUITReport:
		q.COSEProfiles = slices.DeleteFunc(slices.Clone(q.COSEProfiles), func(ours suit.COSEProfile) bool { return !slices.Contains(m.COSEProfiles, ours) })
		return len(q.COSEProfiles) > 0
	}
	return true
}
