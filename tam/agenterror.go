package tam

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// reaction is what the TAM does about an error code
// (draft-ietf-teep-protocol-26 section 4.6).
type reaction struct {
	// retry: ask once more, if the agent supports something that the TAM does. The
	// refined retries of each code have their place here.
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
// without a token could be a copy of an old one and changes nothing.
func (t *TAM) agentError(ctx context.Context, x *exchange, m *teep.Error) (outcome, error) {
	if m.Token == nil {
		if m.Code == teep.AttestationRequired {
			// The answer will be a QueryRequest with the TAM's own attestation-payload.
			return outcome{}, refuse(ReasonTAMAttestation, errorWords(m))
		}
		return outcome{}, refuse(ReasonErrorUnmatched, errorWords(m))
	}
	out, err := t.updateRefused(ctx, x, m)
	if refused := (*refusal)(nil); errors.As(err, &refused) && refused.reason == ReasonNoUpdate {
		return t.requestRefused(ctx, x, m)
	}
	return out, err
}

func errorWords(m *teep.Error) error { return &teep.ProtocolError{Code: m.Code, Msg: m.ErrMsg} }

// updateRefused settles the Update that an Error answers.
func (t *TAM) updateRefused(ctx context.Context, x *exchange, m *teep.Error) (outcome, error) {
	r := reactionTo(m.Code)
	words := errorWords(m).Error()
	reports, key, fault := openReports(m.SUITReports, m.Token, x.agent)
	var said map[string]verdict
	if m.Code == teep.ManifestProcessingFailed {
		said = verdicts(reports)
	}
	return t.settle(ctx, x, m.Token, key, fault, result{state: r.state, reason: words, rest: r.hold(t.cfg.Policy)}, said)
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
	err = t.cfg.Store.Update(ctx, func(tx Tx) error {
		s, err := t.spend(tx, x, tok)
		if err != nil {
			return err
		}
		out = outcome{reason: ReasonAgentError, detail: errorWords(m).Error()}
		switch {
		case m.Code == teep.AttestationRequired:
			out.reason = ReasonTAMAttestation
		case r.retry && !tok.purpose.retried() && inCommon(m):
			out.reply, err = t.queryRequest(x.ep, purpose(tok.purpose.items())|purposeRetry, &key)
		case r.retry && tok.purpose.retried():
			out.reason = ReasonAlreadyRetried
			s.hold(r, m)
		case r.retry:
			out.reason = ReasonNothingInCommon
			s.hold(r, m)
		default:
			s.hold(r, m)
		}
		if err != nil {
			return err
		}
		if s.firstOfHour() {
			event := s.event(audit.AgentError, s.device.ID)
			event.Reason = m.Code.String()
			event.Details = map[string]string{"detail": m.ErrMsg}
			if err := tx.AppendEvent(event); err != nil {
				return err
			}
		}
		return s.finish()
	})
	return out, err
}

// hold begins a back-off of the agent.
func (s *session) hold(r reaction, m *teep.Error) {
	s.agent.HoldUntil = s.now.Add(r.hold(s.t.cfg.Policy))
	s.agent.HoldReason = errorWords(m).Error()
}

// inCommon reports whether the TAM does anything of what the agent says it
// supports. The retry offers all that the TAM has, so there is nothing to choose.
func inCommon(m *teep.Error) bool {
	switch m.Code {
	case teep.UnsupportedFreshnessMechanisms:
		return slices.Contains(m.FreshnessMechanisms, teep.FreshnessNonce)
	case teep.UnsupportedMsgVersion:
		return slices.Contains(m.Versions, 0)
	case teep.UnsupportedCipherSuites:
		return slices.ContainsFunc(m.CipherSuites, teep.CipherSuite.Supported)
	case teep.UnsupportedSUITReport:
		return slices.ContainsFunc(teep.TEEPProfiles, func(p suit.COSEProfile) bool { return slices.Contains(m.COSEProfiles, p) })
	}
	return false
}
