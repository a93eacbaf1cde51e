package tam

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Evidence about the TAM is signed, perhaps by slow hardware, so that agents get it a few
// times in a minute, which is more than a session needs.
const (
	selfAttestations  = 4
	selfAttestWindow  = time.Minute
	maxSelfAttestKeys = 4096
	// Strangers share these, and leave agents that are known their own.
	strangersSelfAttestations = 60
	anybody                   = ""
)

// attestSelf answers an agent that requires attestation of the TAM with another
// QueryRequest, which has evidence over the agent's challenge
// (draft-ietf-teep-protocol-26 section 7.1) and otherwise what one for this purpose has.
// The evidence vouches for the key that signs the request. key and limit bound how often.
func (t *TAM) attestSelf(ctx context.Context, x *exchange, m *teep.Error, p purpose, to *cosekit.Thumbprint, key string, limit int) (outcome, error) {
	refused := func(why error) (outcome, error) { return outcome{}, refuse(ReasonTAMAttestation, why) }
	paces, window := &t.selfAttested, selfAttestWindow
	if x.agent == nil {
		paces, window = &t.strangersAttested, max(selfAttestWindow, t.cfg.Policy.TokenLifetime)
	}
	switch {
	case t.cfg.Attester == nil:
		return refused(errors.New("this TAM has no attester; " + errorWords(m).Error()))
	case p&purposeSelfAttested != 0:
		return refused(fmt.Errorf("it had evidence of the TAM already; %w", errorWords(m)))
	case m.Challenge == nil && !slices.Contains(m.FreshnessMechanisms, teep.FreshnessTimestamp):
		return refused(errors.New("the agent sent no challenge"))
	case x.agent == nil && !paces.allow(anybody, strangersSelfAttestations, selfAttestWindow, x.now):
		return refused(errors.New("agents that are not known require attestation of the TAM too often"))
	case !paces.allow(key, limit, window, x.now):
		return refused(errors.New("the agent requires attestation of the TAM too often"))
	}
	signer := t.cfg.Signers.of(x.env.Algorithm())
	evidence, err := t.cfg.Attester.Evidence(ctx, m.Challenge, signer.PublicKey())
	if err == nil && evidence == nil {
		err = errors.New("no evidence")
	}
	if err != nil {
		return refused(fmt.Errorf("the attester of this TAM: %w", err))
	}
	request, err := t.queryRequest(x.ep, purpose(p.items())|p&purposeRetry|purposeSelfAttested, to, x.env.Algorithm())
	if err != nil {
		return outcome{}, err
	}
	request.Attestation = evidence
	return outcome{reply: request, reason: ReasonTAMAttestation, detail: errorWords(m).Error()}, nil
}

// attestToStranger attests the TAM to an agent that is not known yet: it could never
// begin otherwise. Nothing it says can be verified, so it must bring a token of ours, and
// each token does it once in this replica: evidence costs who asks for it a connect.
func (t *TAM) attestToStranger(ctx context.Context, x *exchange, m *teep.Error, tok token, from *cosekit.Thumbprint) (outcome, error) {
	return t.attestSelf(ctx, x, m, tok.purpose, from, string(tok.raw), 1)
}

// pace bounds how often something is done for one key. Each replica has its own.
type pace struct {
	mu   sync.Mutex
	seen map[string]paced
}

type paced struct {
	times int
	until time.Time
}

// allow reports whether it may be done once more, and counts it. Where there is no room
// to remember, it may not.
func (p *pace) allow(key string, limit int, window time.Duration, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := p.seen[key]
	if !ok || !now.Before(known.until) {
		known = paced{until: now.Add(window)}
	}
	if known.times >= limit {
		return false
	}
	if !ok && len(p.seen) >= maxSelfAttestKeys {
		for other, k := range p.seen {
			if !now.Before(k.until) {
				delete(p.seen, other)
			}
		}
		if len(p.seen) >= maxSelfAttestKeys {
			return false
		}
	}
	if p.seen == nil {
		p.seen = make(map[string]paced)
	}
	known.times++
	p.seen[key] = known
	return true
}
