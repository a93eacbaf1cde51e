package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// prove makes the attestation payload of a QueryResponse.
type prove func(context.Context) (*teep.AttestationPayload, error)

// proof chooses what the attestation payload is made of: over a challenge, of Evidence;
// without one, of the passport (draft-ietf-teep-protocol-26 section 4.2). It returns nil
// where none was asked for, or why there can be none.
func (a *Agent) proof(q *teep.QueryRequest) (prove, *teep.ProtocolError) {
	if !q.DataItems.Has(teep.ItemAttestation) {
		return nil, nil
	}
	a.presented = false
	if q.Challenge == nil {
		passport := a.passport()
		if passport == nil {
			return nil, refusal(teep.UnsupportedFreshnessMechanisms, "evidence needs a challenge, and this agent holds no passport")
		}
		a.presented = true
		return a.sealed(passport.present), nil
	}
	if len(q.FreshnessMechanisms) > 0 && !slices.Contains(q.FreshnessMechanisms, teep.FreshnessNonce) {
		return nil, refusal(teep.UnsupportedFreshnessMechanisms, "this agent makes evidence fresh with a nonce")
	}
	return a.sealed(func(ctx context.Context) (*teep.AttestationPayload, error) {
		return a.config.Attester.Evidence(ctx, q.Challenge, a.config.Key.PublicKey())
	}), nil
}

// sealed encrypts the payload to the TAM, where the device knows a key of it
// (draft-ietf-teep-protocol-26 section 8.2). The format stays that of what is inside: a
// COSE_Encrypt tells by its tag what it is. Where it cannot be encrypted, nothing is sent.
func (a *Agent) sealed(prove prove) prove {
	return func(ctx context.Context) (*teep.AttestationPayload, error) {
		p, err := prove(ctx)
		if err != nil {
			return nil, err
		}
		kind, _, _ := strings.Cut(p.Format, ";")
		detail := fmt.Sprintf("%s, bound to key %s", kind, brief(a.config.Key.PublicKey().Thumbprint().String()))
		if a.presented {
			detail = "the passport"
		}
		if to := a.config.EvidenceTo; to != nil {
			encryption := cosekit.Encryption{Content: a.contentAlgorithm(), Context: cosekit.EATEncryption, Recipients: []cosekit.Recipient{to}}
			ciphertext, err := encryption.Seal(p.Payload)
			if err != nil {
				return nil, fmt.Errorf("encrypt to the TAM: %w", err)
			}
			p = &teep.AttestationPayload{Format: p.Format, Payload: ciphertext}
			detail += ", encrypted to the TAM"
		}
		a.observe(StepEvidence, "%s", detail)
		return p, nil
	}
}

// contentAlgorithm is that of the profile with the agent's own signature algorithm.
func (a *Agent) contentAlgorithm() cosekit.Algorithm {
	if a.config.Key.Algorithm() == cosekit.Ed25519 {
		return cosekit.ChaCha20Poly1305
	}
	return cosekit.A128GCM
}
