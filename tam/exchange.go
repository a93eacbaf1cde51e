package tam

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam/audit"
	"github.com/tamarack-tam/tamarack/teep"
)

// exchange is one message on its way through the steps of the standard.
type exchange struct {
	ep  *Endpoint
	now time.Time
	env *teep.Envelope
	// key is the candidate for the TEEP signature: the registered one, or the one
	// that unverified evidence brings.
	key *cosekit.PublicKey
	// agent is the registered owner of key; nil for an unknown key.
	agent  *devices.Agent
	device devices.ID
	// payload is the attestation payload of an answer to a challenge, decrypted; nil for
	// none. isResult says that it is an Attestation Result, not evidence.
	payload  *teep.AttestationPayload
	isResult bool
	// hidden says that the payload came encrypted.
	hidden bool
	// claims are those of the payload, as far as it is one that tells them. They are not
	// verified: good for finding the key and the challenge, nothing else.
	claims *attest.Claims
	route  string // to the verifier of the evidence
	// bundled says that software wrote the claims, and hardware vouches for their digest.
	bundled bool
	// appraised and moved are what became of the payload and of the device, for those who
	// observe.
	appraised appraisal
	moved     audit.Action
	// unreadable is what is wrong with evidence that a registered agent sends.
	unreadable *refusal
}

func (x *exchange) thumbprint() cosekit.Thumbprint { return x.key.Thumbprint() }

// actor names the agent in the audit log.
func (x *exchange) actor() string { return "agent:" + x.thumbprint().String() }

// event begins an audit event about the device.
func (x *exchange) event(action audit.Action, device devices.ID) audit.Event {
	return audit.Event{At: x.now, Actor: x.actor(), Action: action, Subject: "device:" + string(device)}
}

// process takes the steps that every message has in common: decoding, candidate
// key, signature. What the sender holds or wishes is looked at only afterwards.
func (t *TAM) process(ctx context.Context, x *exchange, wire []byte) (outcome, error) {
	if err := x.open(wire); err != nil {
		return outcome{}, err
	}
	if err := t.findKey(ctx, x); err != nil {
		return outcome{}, err
	}
	if x.key == nil && x.env.Kind() == teep.KindError {
		return t.errorOfStranger(ctx, x)
	}
	if x.key == nil {
		return t.introduce(x)
	}
	msg, err := x.env.Verify(x.key, x.ep.legacy())
	if err != nil {
		return outcome{}, refuse(reasonOf(err, ReasonSignature), err)
	}
	if x.payload == nil {
		if err := t.readClaims(x); err != nil && !errors.As(err, &x.unreadable) {
			return outcome{}, err
		}
	}
	switch msg := msg.(type) {
	case *teep.QueryResponse:
		if x.agent == nil {
			return t.firstContact(ctx, x, msg)
		}
		return t.queryResponse(ctx, x, msg)
	case *teep.Success:
		return t.success(ctx, x, msg)
	case *teep.Error:
		return t.agentError(ctx, x, msg)
	}
	return outcome{}, refuse(ReasonUnexpectedMessage, nil)
}

func (x *exchange) open(wire []byte) error {
	env, err := teep.Open(x.ep.Numbering, wire)
	if err != nil {
		return refuse(reasonOf(err, ReasonMalformed), err)
	}
	x.env = env
	switch env.Kind() {
	case teep.KindQueryResponse, teep.KindSuccess, teep.KindError:
	default:
		return refuse(ReasonUnexpectedMessage, nil)
	}
	switch env.Algorithm() {
	case cosekit.ESP256, cosekit.Ed25519:
		return nil
	case cosekit.LegacyES256, cosekit.LegacyEdDSA:
		if x.ep.LegacyAlgorithms {
			return nil
		}
	}
	return refuse(ReasonAlgorithm, errors.New(cosekit.AlgorithmName(env.Algorithm())))
}

// reasonOf picks the reason of a fault of teep or cosekit.
func reasonOf(err error, otherwise Reason) Reason {
	switch {
	case errors.Is(err, teep.ErrWrapper):
		return ReasonWrapper
	case errors.Is(err, cosekit.ErrAlgorithm):
		return ReasonAlgorithm
	case errors.Is(err, cosekit.ErrCritical):
		return ReasonCriticalHeader
	case errors.Is(err, cosekit.ErrMalformed):
		return ReasonMalformed
	}
	return otherwise
}

// findKey finds the candidate key: the registered one that kid names, else the one
// in the cnf claim of evidence, else one that the endpoint has tried. It leaves the key
// nil where only a kid is there. A kid that is no thumbprint is as good as none.
func (t *TAM) findKey(ctx context.Context, x *exchange) error {
	kid, named := x.env.KeyID()
	if named {
		if found, err := t.lookUp(ctx, x, kid); found || err != nil {
			return err // its evidence is read once its signature is verified
		}
	}
	if _, ok := x.evidence(); !ok {
		if !named {
			return t.tryKeys(ctx, x)
		}
		if x.env.Kind() == teep.KindSuccess {
			return refuse(ReasonUnknownKey, nil)
		}
		return nil
	}
	if err := t.readClaims(x); err != nil {
		return err
	}
	switch {
	case x.isResult && t.cfg.Results == nil:
		return refuse(ReasonResultUnsupported, nil)
	case x.claims == nil: // a result that tells its claims only to who verifies it
		return refuse(ReasonCnfMissing, errors.New("the result vouches for no key"))
	}
	return t.keyFromClaims(ctx, x, kid, named)
}

func (t *TAM) keyFromClaims(ctx context.Context, x *exchange, kid cosekit.Thumbprint, named bool) error {
	cnf := x.claims.Confirmation
	candidate := cnf.Key
	var want cosekit.Thumbprint
	switch {
	case candidate != nil:
		want = candidate.Thumbprint()
	case len(cnf.KeyID) == len(want):
		want = cosekit.Thumbprint(cnf.KeyID)
	case !named && len(x.ep.TryKeys) > 0:
		return t.tryKeys(ctx, x)
	default:
		return refuse(ReasonCnfMissing, nil)
	}
	if named && kid != want {
		return refuse(ReasonCnfMismatch, nil)
	}
	if !named {
		if found, err := t.lookUp(ctx, x, want); found || err != nil {
			return err
		}
	}
	if candidate == nil {
		return refuse(ReasonCnfMissing, errors.New("a key that is not registered is only named"))
	}
	x.key = candidate
	return nil
}

// tryKeys takes the registered key of the endpoint's that verifies a message which
// names none. An Error without any may still be answered.
func (t *TAM) tryKeys(ctx context.Context, x *exchange) error {
	for _, key := range x.ep.TryKeys {
		found, err := t.lookUp(ctx, x, key)
		if err != nil {
			return err
		}
		if !found {
			continue
		}
		if _, err := x.env.Verify(x.key, x.ep.legacy()); err == nil {
			return nil
		}
		x.agent, x.key, x.device = nil, nil, ""
	}
	if x.env.Kind() == teep.KindError {
		return nil
	}
	return refuse(ReasonKeyMissing, nil)
}

// lookUp takes the registered agent of a key into the exchange.
func (t *TAM) lookUp(ctx context.Context, x *exchange, key cosekit.Thumbprint) (bool, error) {
	var agent devices.Agent
	err := t.cfg.Store.View(ctx, func(r Reader) (err error) {
		agent, err = r.Agent(key)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look up an agent: %w", err)
	}
	x.agent, x.key, x.device = &agent, agent.Key, agent.Device
	return true, nil
}

// evidence returns the attestation payload of an answer to a challenge. What comes
// along with a token was not asked for: it answers nothing.
func (x *exchange) evidence() (*teep.AttestationPayload, bool) {
	if x.env.UnverifiedToken() != nil {
		return nil, false
	}
	return x.env.UnverifiedEvidence()
}

// introduce answers an unknown key that brings no evidence: where it answers our
// token, it is asked for evidence. Nothing is verified but the token's MAC and
// nothing is written, for anybody can come here.
func (t *TAM) introduce(x *exchange) (outcome, error) {
	kid, _ := x.env.KeyID()
	raw := x.env.UnverifiedToken()
	if raw == nil {
		return outcome{}, refuse(ReasonUnknownKey, nil)
	}
	if _, err := t.tokens.open(raw, x.ep, &kid, false); err != nil {
		return outcome{}, err
	}
	request, err := t.queryRequest(x.ep, purpose(challengeItems), &kid, x.env.Algorithm())
	return outcome{reply: request, reason: ReasonAttestationWanted, detail: "the key is unknown"}, err
}
