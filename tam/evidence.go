package tam

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// maxEncryptedEvidence caps what is decrypted before anybody knows who sent it, in bytes.
const maxEncryptedEvidence = 256 << 10

// readClaims decodes the attestation payload as far as it takes to find key and
// challenge, once it is decrypted. A result is told apart from evidence by its format
// alone; one that is no EAT names no key, so it is left to whom is trusted to read it.
func (t *TAM) readClaims(x *exchange) error {
	payload, ok := x.evidence()
	if !ok {
		return nil
	}
	if x.hidden = isEncrypted(payload.Payload); x.hidden {
		opened, err := t.decryptEvidence(payload.Payload)
		if err != nil {
			return refuse(ReasonEvidenceEncrypted, err)
		}
		payload.Payload = opened
	}
	x.payload, x.isResult = payload, attest.IsResult(payload.Format)
	if x.isResult {
		if eat, err := attest.ParseEAT(payload.Payload); err == nil {
			x.claims = eat.UnverifiedClaims()
		}
		return nil
	}
	reading, err := evidence.Read(payload.Format, payload.Payload)
	switch {
	case err == nil:
		x.claims, x.route, x.bundled = reading.Claims, t.routeOf(reading), reading.Inner != nil
		return nil
	case x.hidden:
		// The error quotes what was encrypted so that nobody else reads it.
		return refuse(ReasonEvidenceEncrypted, errHidden)
	}
	return refuse(readReason(err), err)
}

// readReason tells why claims cannot be read: evidence may contradict itself in ways that
// have a name of their own.
func readReason(err error) Reason {
	if reason := appraisalReason(err); reason != ReasonNotAppraised {
		return reason
	}
	if reason := bindReason(err); reason != ReasonNotBound {
		return reason
	}
	return ReasonEvidenceUnreadable
}

// errHidden stands for all that is said of encrypted evidence that cannot be read.
var errHidden = errors.New("what was decrypted is not evidence that can be read")

// isEncrypted tells a COSE_Encrypt, tagged or not, from the formats of evidence and
// results: in none of those is the fourth of four elements an array.
func isEncrypted(payload []byte) bool {
	if bytes.HasPrefix(payload, []byte{0xd8, cosekit.TagEncrypt}) {
		return true
	}
	if len(payload) == 0 || len(payload) > maxEncryptedEvidence || payload[0] != 0x84 || cosekit.Validate(payload) != nil {
		return false
	}
	parts, err := cosekit.Elements(payload)
	return err == nil && len(parts) == 4 && cosekit.Major(parts[3]) == cosekit.MajorArray
}

// decryptEvidence opens evidence that is encrypted to this TAM
// (draft-ietf-teep-protocol-26 section 10). Whatever fails has one reason, as has
// what cannot be read afterwards: a sender learns nothing about a ciphertext that is
// not its own.
func (t *TAM) decryptEvidence(payload []byte) ([]byte, error) {
	if len(payload) > maxEncryptedEvidence {
		return nil, fmt.Errorf("%d bytes, at most %d", len(payload), maxEncryptedEvidence)
	}
	if t.cfg.DecryptionKeys.Empty() {
		return nil, cosekit.ErrNoDecryptionKey
	}
	message, err := cosekit.ParseEncrypted(payload)
	if err != nil {
		return nil, err
	}
	return message.Open(t.cfg.DecryptionKeys, cosekit.EATEncryption)
}

// admitted is an attestation payload that may be looked into.
type admitted struct {
	challenge token
	// result is that of a passport, which a trusted verifier has signed; nil for evidence,
	// which has not been appraised yet.
	result *attest.Result
	device devices.Device // of a registered agent, as it was before the transaction
	under  int64          // the state of the policies before anything was appraised
	leave  func()         // to be called in the end
}

// admit finds what shows that the payload is fresh, before it costs more than that.
func (t *TAM) admit(ctx context.Context, x *exchange) (admitted, error) {
	if x.isResult {
		return t.admitResult(ctx, x)
	}
	return t.admitEvidence(ctx, x)
}

// admitEvidence finds our challenge in the evidence, or its timestamp, and takes the
// one place there is to appraise it. A refusal here spends nothing: a copy of the
// message, sent by anybody, must not take the challenge away from the original.
func (t *TAM) admitEvidence(ctx context.Context, x *exchange) (admitted, error) {
	challenge, err := t.freshness(x)
	if err != nil {
		return admitted{}, err
	}
	leave, err := t.gate.enter(challenge.raw, place{x.route, x.agent == nil})
	if err != nil {
		return admitted{}, err
	}
	in := admitted{challenge: challenge, leave: leave}
	if err := t.lookInto(ctx, x, &in); err != nil {
		leave()
		return admitted{}, err
	}
	return in, nil
}

// lookInto refuses a challenge that was answered before, and reads the device of a
// registered agent, and under which policies the evidence will be appraised: what changes
// meanwhile has perhaps not been seen by the Verifier.
func (t *TAM) lookInto(ctx context.Context, x *exchange, in *admitted) error {
	return t.cfg.Store.View(ctx, func(r Reader) (err error) {
		if in.result == nil {
			if in.under, err = r.PolicyState(); err != nil {
				return err
			}
		}
		if !in.challenge.passport {
			spent, err := r.Spent(in.challenge.raw)
			if err == nil && spent {
				err = refuse(ReasonTokenSpent, nil)
			}
			if err != nil {
				return err
			}
		}
		if x.agent == nil {
			return nil
		}
		if in.device, err = r.Device(x.device); err != nil {
			return fmt.Errorf("look up a device: %w", err)
		}
		return nil
	})
}

// freshness finds what shows that the evidence is fresh
// (draft-ietf-teep-protocol-26 section 9). The timestamp is looked at here in claims
// that nobody has verified, and again in the appraised ones, by attest.Bind.
func (t *TAM) freshness(x *exchange) (token, error) {
	key, c := x.thumbprint(), x.claims
	if c.Nonce != nil {
		return t.tokens.open(c.Nonce, x.ep, &key, true)
	}
	policy := t.cfg.Policy
	switch age := x.now.Sub(c.IssuedAt); {
	case x.ep.Freshness != teep.FreshnessTimestamp:
		return token{}, refuse(ReasonNonce, errors.New("no eat_nonce in the evidence"))
	case x.bundled:
		// Hardware that signs a digest knows no time: it may have signed long ahead of it.
		return token{}, refuse(ReasonNonce, errors.New("no eat_nonce in a bound bundle, whose iat is the word of software"))
	case c.IssuedAt.IsZero():
		return token{}, refuse(ReasonEvidenceTime, errors.New("neither eat_nonce nor iat in the evidence"))
	case age > policy.EvidenceMaxAge+policy.ClockSkew || age < -policy.ClockSkew:
		return token{}, refuse(ReasonEvidenceTime, fmt.Errorf("made %s ago, at most %s allowed", age, policy.EvidenceMaxAge))
	case c.IssuedAt.Before(t.remembered()):
		return token{}, refuse(ReasonEvidenceTime, fmt.Errorf("made at %s, before the oldest token key: perhaps taken, and forgotten since", c.IssuedAt))
	case x.agent != nil && !c.IssuedAt.After(x.agent.EvidenceAt):
		return token{}, refuse(ReasonEvidenceRepeated, fmt.Errorf("made at %s, an earlier one at %s", c.IssuedAt, x.agent.EvidenceAt))
	}
	digest := sha256.Sum256(x.payload.Payload)
	return token{
		raw: digest[:], purpose: purpose(challengeItems), issued: c.IssuedAt, unasked: true,
		spentUntil: c.IssuedAt.Add(policy.EvidenceMaxAge + 2*policy.ClockSkew),
	}, nil
}

// remembered is the time since when the store is known to remember the evidence that
// was taken. A database that was restored has forgotten some, and new token keys then
// say so. Where they rotate, the oldest is always older than evidence may be.
func (t *TAM) remembered() time.Time {
	return (*t.tokens.ring.keys.Load())[0].CreatedAt.Add(-t.cfg.Policy.ClockSkew)
}
