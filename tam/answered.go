package tam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// success handles the Success of a registered agent (draft-ietf-teep-protocol-26
// sections 4.5 and 7.1.2). Its word makes components claimed, not confirmed.
func (t *TAM) success(ctx context.Context, x *exchange, m *teep.Success) (outcome, error) {
	switch {
	case m.Token == nil && x.ep.ReturnResults:
		// It can answer an Update that brought a result and nothing else, for which nobody
		// waits.
		return outcome{reason: ReasonNothingToDo}, nil
	case m.Token == nil:
		return outcome{}, refuse(ReasonTokenMissing, nil)
	}
	reports, key, fault := t.openReports(m.SUITReports, m.Token, x.agent)
	return t.settle(ctx, x, m.Token, key, fault, result{state: devices.Claimed}, verdictsOf(reports))
}

// result is what an answer to an Update makes of one manifest; the state is that of
// installing it.
type result struct {
	state  devices.ComponentState
	reason string
	words  string        // the device's own, of all that failed
	rest   time.Duration // before it is offered again; back-off may make it longer
}

// settle ends the outstanding Update with this token, whatever the answer says:
// the token is spent with it. A SUIT report that is not what it should be ends it
// too, and nothing else of the answer counts. Where reports tell of a manifest,
// they overrule what the message says of all.
func (t *TAM) settle(ctx context.Context, x *exchange, token []byte, reportKey *cosekit.PublicKey, fault *refusal,
	r result, said verdicts) (outcome, error) {
	if err := t.explain(ctx, x, token, said); err != nil {
		return outcome{}, err
	}
	var out outcome
	err := t.cfg.Store.Update(ctx, func(tx Tx) error {
		s, err := t.begin(tx, x)
		if err != nil {
			return err
		}
		pending, err := s.takeOutstanding(token)
		if err != nil {
			return err
		}
		fault := fault // this may run again
		if fault == nil {
			if fault, err = s.pin(reportKey); err != nil {
				return err
			}
		}
		if fault != nil {
			out = outcome{reason: fault.reason, detail: fault.detail()}
			event := s.event(audit.UpdateFailed, s.device.ID)
			event.Reason = string(fault.reason)
			return errors.Join(tx.AppendEvent(event), s.finish())
		}
		out = outcome{}
		if err := s.readStatuses(); err != nil {
			return err
		}
		if failed, err := s.settleRemovals(pending, r, said); failed != "" {
			out = outcome{reason: ReasonUpdateFailed, detail: failed}
		} else if err != nil {
			return err
		}
		for _, digest := range pending.Manifests {
			failed, err := s.settleManifest(digest, r, said)
			if err != nil {
				return err
			}
			if failed != "" {
				out = outcome{reason: ReasonUpdateFailed, detail: failed}
			}
		}
		return s.finish()
	})
	return out, err
}

// takeOutstanding spends the token of an Update: found by agent and token together.
func (s *session) takeOutstanding(token []byte) (Outstanding, error) {
	pending, err := s.tx.Outstanding(s.thumbprint(), token)
	switch {
	case errors.Is(err, ErrNotFound):
		return Outstanding{}, refuse(ReasonNoUpdate, nil)
	case err != nil:
		return Outstanding{}, err
	case !s.now.Before(pending.ExpiresAt):
		return Outstanding{}, refuse(ReasonTokenExpired, nil)
	case s.agent.Numbering != s.ep.Numbering:
		return Outstanding{}, refuse(ReasonNumbering, nil)
	}
	return pending, s.tx.DeleteOutstanding(s.thumbprint(), token)
}

// pin keeps the report key that was seen first. Another message of the agent may
// have been faster with another key.
func (s *session) pin(key *cosekit.PublicKey) (*refusal, error) {
	switch {
	case key == nil || key.Equal(s.agent.ReportKey):
		return nil, nil
	case s.agent.ReportKey != nil:
		return refuse(ReasonReportKey, fmt.Errorf("this agent's report key is %s", s.agent.ReportKey.Thumbprint())), nil
	}
	s.agent.ReportKey = key
	event := s.event(audit.ReportKeyPinned, s.device.ID)
	event.Details = map[string]string{"key": key.Thumbprint().String()}
	return nil, s.tx.AppendEvent(event)
}

// settleManifest moves the component to what the answer says, unless another
// manifest was offered since or the attester's word is there already.
func (s *session) settleManifest(digest suit.Digest, r result, said verdicts) (failed string, err error) {
	m, err := s.tx.Manifest(digest)
	if errors.Is(err, ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	status, ok := s.status(m.Component.Key())
	if !ok || !status.Manifest.Equal(digest) || status.State == devices.Confirmed || status.State.Removal() {
		return "", nil
	}
	if r, err = s.judge(said, m.Component, digest, r); err != nil {
		return "", err
	}
	if status.State != r.state {
		status.State, status.Since = r.state, s.now
	}
	status.Reason = r.reason
	event := s.event(audit.UpdateClaimed, s.device.ID)
	event.Details = manifestDetails(m)
	if r.state != devices.Claimed {
		rest := max(r.rest, s.t.cfg.Policy.backOff(status.Attempts))
		status.RetryAfter = s.now.Add(rest)
		event.Action = audit.UpdateFailed
		event.Details["detail"] = r.reason
		failed = m.Component.String() + ": " + r.reason
	}
	if err := s.tx.PutComponentStatus(status); err != nil {
		return "", err
	}
	return failed, s.tx.AppendEvent(event)
}
