package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// version is the one TEEP protocol version that exists.
const version = 0

// answerQuery handles a QueryRequest (draft-ietf-teep-protocol-26 section 7.2.1).
// SUIT_Reports of the TAM are not looked at.
func (a *Agent) answerQuery(ctx context.Context, q *teep.QueryRequest, key *cosekit.PublicKey) ([]byte, error) {
	if reason := a.understand(q); reason != nil {
		return a.refuse(q.Token, reason)
	}
	if ok, answer, err := a.admit(ctx, q, key); !ok {
		return answer, err
	}
	prove, reason := a.proof(q)
	switch {
	case reason == nil:
	case a.config.Passports && q.Challenge == nil: // which is how a TAM of the passport model learns to send one
		a.observe(StepPassport, "none is held; the TAM has to send a challenge")
		return a.seal(a.errorFor(q.Token, reason))
	default:
		return a.refuse(q.Token, reason)
	}
	a.observe(StepQuery, "the TAM asks for %s", q.DataItems)
	response, err := a.response(ctx, q, prove)
	if err != nil {
		answer, refusal := a.refuse(q.Token, &teep.ProtocolError{Code: teep.TemporaryError, Msg: "the device cannot measure itself now"})
		return answer, fmt.Errorf("%w: %w", refusal, err)
	}
	answer, err := a.seal(response)
	if err == nil {
		a.observe(StepAnswer, "%d entries in tc-list, %d requested, %d unneeded",
			len(response.TCList), len(response.RequestedTCs), len(response.UnneededManifests))
	}
	return answer, err
}

// understand negotiates what every request needs: it returns why this one cannot be
// answered, or nil.
func (a *Agent) understand(q *teep.QueryRequest) *teep.ProtocolError {
	if len(q.Versions) > 0 && !slices.Contains(q.Versions, version) {
		return refusal(teep.UnsupportedMsgVersion, "this agent speaks TEEP version %d", version)
	}
	if !slices.ContainsFunc(q.CipherSuites, a.suite.Equal) {
		return refusal(teep.UnsupportedCipherSuites, "this agent signs with %s", cosekit.AlgorithmName(a.config.Key.Algorithm()))
	}
	err := q.Check()
	if err == nil {
		return nil
	}
	var reason *teep.ProtocolError
	if !errors.As(err, &reason) {
		reason = refusal(teep.PermanentError, "%v", err)
	}
	return reason
}

func refusal(code teep.ErrorCode, format string, args ...any) *teep.ProtocolError {
	return &teep.ProtocolError{Code: code, Msg: fmt.Sprintf(format, args...)}
}

// response answers each data item that was asked for. The token is an echo; a
// challenge goes into the evidence and nowhere else. A list that would be empty is
// left out, as its CDDL has no empty form.
func (a *Agent) response(ctx context.Context, q *teep.QueryRequest, prove prove) (*teep.QueryResponse, error) {
	r := &teep.QueryResponse{
		Token: q.Token, RequestedTCs: a.config.Memory.Requests(), UnneededManifests: a.config.Memory.Unneeded(),
	}
	var err error
	if prove != nil {
		if r.Attestation, err = prove(ctx); err != nil {
			return nil, fmt.Errorf("make evidence: %w", err)
		}
	}
	if q.DataItems.Has(teep.ItemTrustedComponents) {
		if r.TCList, err = a.config.Components.Measure(ctx); err != nil {
			return nil, fmt.Errorf("measure components: %w", err)
		}
	}
	if q.DataItems.Has(teep.ItemSUITReports) {
		reports, err := a.examine(ctx)
		if err != nil {
			return nil, fmt.Errorf("examine what is installed: %w", err)
		}
		r.SUITReports = a.signReports(q.Token, reports)
	}
	return r, nil
}

// examine runs the validate section of every installed manifest that has one, as a boot
// would, and returns the reports. A failure is a finding, not an error.
func (a *Agent) examine(ctx context.Context) ([]*suit.Report, error) {
	var reports []*suit.Report
	for _, manifest := range a.config.Components.Roots() {
		envelope, err := a.installed(manifest)
		if err != nil {
			return nil, err
		}
		verified, rights, err := a.authority(envelope)
		if err != nil {
			reports = append(reports, a.unauthenticated(envelope, err))
			continue
		}
		if _, ok := verified.Manifest().Section(suit.SectionValidate); !ok {
			continue
		}
		outcome, _ := a.processor.Validate(ctx, verified, rights)
		reports = append(reports, outcome.Report)
	}
	return reports, ctx.Err()
}
