package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// TAMAttestation is for an agent that answers only a TAM that has attested itself
// (draft-ietf-teep-protocol-26 section 7.2.1). Until it has, the agent sends nothing but
// the demand, and does nothing that an Update asks for.
type TAMAttestation struct {
	// Verifier appraises Evidence of the TAM; nil: none is taken, only results are, by
	// Config.Results. What it says has to be affirming in every part.
	Verifier attest.Verifier
	// UEID is that of the TAM, which a result has to be about: a verifier that knows TAMs
	// may know any device, and who has stolen a TAM's key could show one of its own. Nil: no
	// results are taken. Evidence is signed by a key that vouches for TAMs only.
	UEID []byte
	// MaxAge is how long a TAM is believed after it has attested itself.
	MaxAge time.Duration
	// Skew is what the clocks of the two may differ by.
	Skew time.Duration
}

// ResultVerifier checks who signed an Attestation Result and what it says. Results are
// about anybody: whom this one is about is for the agent to find out.
type ResultVerifier interface {
	// Verify takes the media type as attestation-payload-format has it, empty for the EAT
	// profile of TEEP.
	Verify(ctx context.Context, format string, data []byte) (*attest.Result, error)
}

// AttestedTAM remembers which key of a TAM was vouched for, and when.
type AttestedTAM struct {
	Key cosekit.Thumbprint
	At  time.Time
}

// challengeSize is what every known peer takes, within 8..512 bytes.
const challengeSize = 32

// demand is what the agent has asked of the TAM in this session.
type demand struct {
	challenge []byte // nil where none waits for an answer
	made      bool   // and the TAM has not attested itself since
}

// Begin tells the agent that a session begins. A challenge of the last one that nobody
// has answered is not waited for any more.
func (a *Agent) Begin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.demand, a.presented = demand{}, false
}

// admit holds a QueryRequest against what the TAM has to show. It returns true for one
// to be answered now; else the demand for evidence, or why the TAM is not told anything.
// A TAM is asked once in a session, so neither side can keep the other busy.
func (a *Agent) admit(ctx context.Context, q *teep.QueryRequest, key *cosekit.PublicKey) (ok bool, answer []byte, err error) {
	challenge := a.demand.challenge
	a.demand.challenge = nil // whatever comes of it, it is not answered twice
	switch {
	case a.config.TAMAttestation == nil:
		return true, nil, nil
	case challenge != nil && q.Attestation != nil:
		err = a.appraiseTAM(ctx, q.Attestation, challenge, key)
	case a.tamAttested(key):
		return true, nil, nil
	case !a.demand.made:
		answer, err = a.demandAttestation(q.Token)
		return false, answer, err
	case q.Attestation == nil:
		err = errNoTAMAttestation
	default:
		err = errUnaskedAttestation
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrTAMAttestation, err)
		a.observe(StepRefused, "%v", err)
		return false, nil, err
	}
	a.demand.made = false
	a.rememberTAM(key)
	a.observe(StepAttested, "the TAM, key %s", brief(key.Thumbprint().String()))
	return true, nil, nil
}

var (
	errNoTAMAttestation   = errors.New("it was asked for evidence and sent none")
	errUnaskedAttestation = errors.New("its evidence answers no challenge of this session")
)

// demandAttestation asks the TAM for evidence over a new challenge. An attestation
// payload that came without one is not looked at: it could be anybody's, of any age.
func (a *Agent) demandAttestation(token []byte) ([]byte, error) {
	challenge := make([]byte, challengeSize)
	rand.Read(challenge) // never fails
	e := a.errorFor(token, &teep.ProtocolError{Code: teep.AttestationRequired, Msg: "this device answers a TAM that has attested itself"})
	e.Challenge = challenge
	answer, err := a.seal(e)
	if err != nil {
		return nil, err
	}
	a.demand = demand{challenge, true}
	a.observe(StepDemand, "the TAM has to attest itself before it is told anything")
	return answer, nil
}

// appraiseTAM returns nil for evidence, or a result, that is fresh, affirming and about
// the holder of the key that signed the message.
func (a *Agent) appraiseTAM(ctx context.Context, p *teep.AttestationPayload, challenge []byte, key *cosekit.PublicKey) error {
	result, err := a.appraisedTAM(ctx, attest.Evidence{Format: p.Format, Payload: p.Payload, Challenge: challenge})
	if err != nil {
		return err
	}
	// The key is known, as an anchor; that evidence names none would pass for one.
	if result != nil && result.Claims != nil && result.Claims.Confirmation.Key == nil && result.Claims.Confirmation.KeyID == nil {
		return fmt.Errorf("%w: no cnf", attest.ErrKeyBinding)
	}
	binding := attest.Binding{Challenge: challenge, Key: key, Registered: true, Now: a.config.Clock(), Skew: a.config.TAMAttestation.Skew}
	if result != nil {
		binding.AttestationKey = result.AttestationKey // there is no record of TAMs' hardware to compare it with
	}
	if err := attest.Bind(result, binding); err != nil {
		return err
	}
	return result.Affirmed()
}

// appraisedTAM asks whoever can tell: an Attestation Result is known by its format
// (section 7.2.1), everything else is Evidence. Both have caps of their own.
func (a *Agent) appraisedTAM(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	switch verifier := a.config.TAMAttestation.Verifier; {
	case attest.IsResult(e.Format) && a.config.Results == nil:
		return nil, fmt.Errorf("%w: an attestation result, and this device trusts no verifier", attest.ErrFormat)
	case attest.IsResult(e.Format):
		return a.resultOfTAM(ctx, e)
	case verifier == nil:
		return nil, fmt.Errorf("%w: evidence, and this device takes attestation results only", attest.ErrFormat)
	default:
		return verifier.Appraise(ctx, e)
	}
}

// resultOfTAM takes a result only if it is about the hardware that the TAM is known to run on.
func (a *Agent) resultOfTAM(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	ueid := a.config.TAMAttestation.UEID
	if ueid == nil {
		return nil, fmt.Errorf("%w: an attestation result, and this device does not know the ueid of its TAM", attest.ErrFormat)
	}
	result, err := a.config.Results.Verify(ctx, e.Format, e.Payload)
	if err != nil || result == nil || result.Claims == nil {
		return result, err
	}
	if !bytes.Equal(result.Claims.UEID, ueid) {
		return nil, fmt.Errorf("%w: the result is about ueid %x, the TAM has %x", attest.ErrDevice, result.Claims.UEID, ueid)
	}
	return result, nil
}

// tamAttested reports whether the key was vouched for within MaxAge. A moment that lies
// in the future does not count.
func (a *Agent) tamAttested(key *cosekit.PublicKey) bool {
	return slices.ContainsFunc(a.papers.TAMs, func(t AttestedTAM) bool {
		return t.Key == key.Thumbprint() && a.recent(t)
	})
}

func (a *Agent) recent(t AttestedTAM) bool {
	age := a.config.Clock().Sub(t.At)
	return age >= 0 && age < a.config.TAMAttestation.MaxAge
}

// rememberTAM keeps the moment, and forgets those that do not count any more. Where that
// cannot be made durable it holds for this process.
func (a *Agent) rememberTAM(key *cosekit.PublicKey) {
	list := []AttestedTAM{{key.Thumbprint(), a.config.Clock()}}
	for _, t := range a.papers.TAMs {
		if t.Key != key.Thumbprint() && a.recent(t) {
			list = append(list, t)
		}
	}
	if err := a.keep(func(p *Papers) { p.TAMs = list }); err != nil {
		a.papers.TAMs = list
		a.observe(StepAttested, "not remembered beyond this process: %v", err)
	}
}
