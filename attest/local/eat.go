package local

import (
	"context"
	"crypto"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// appraiseEAT appraises an EAT as CWT, by itself or in a detached bundle: who signed it,
// whether it says what the EAT profile of TEEP requires, in answer to our challenge and
// in its time, and whether the components that it has measured are as their maker says.
func (v *Verifier) appraiseEAT(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	token, err := readEAT(e)
	if err != nil {
		return nil, err
	}
	base, err := v.references(ctx)
	if err != nil {
		return nil, err
	}
	now := v.options.Clock()
	claims := token.UnverifiedClaims()
	a := newAppraisal("")
	s, err := v.authenticateEAT(ctx, base, token, now)
	if err != nil {
		return nil, err
	}
	a.find(attest.InstanceIdentity, s.value, "%s", s.reason)
	if s.candidate == nil {
		return conclude(e, now, nil, a), nil
	}
	if err := v.check(claims, e.Challenge, now); err != nil {
		a.find(attest.InstanceIdentity, notAcceptable, "%s", err)
	}
	if s.ueid != nil && !equal(s.ueid, claims.UEID) {
		a.find(attest.InstanceIdentity, notAcceptable, "the certificate is of device %x, the claims are of %x", s.ueid, claims.UEID)
	}
	v.measureEAT(a, base, claims)
	key, err := thumbprint(s.key)
	if err != nil {
		return nil, err
	}
	return conclude(e, now, &genuineEvidence{claims, token.document(), key}, a), nil
}

// signedEAT is an EAT with the certificates that it brings, and what it says in words.
type signedEAT struct {
	*attest.SignedEAT
	chain    [][]byte
	document func() map[string]any
}

// readEAT reads an EAT; of a detached bundle, its main token.
func readEAT(e attest.Evidence) (*signedEAT, error) {
	media, err := attest.ParseMediaType(e.Format)
	if err != nil {
		return nil, err
	}
	message, document := e.Payload, (func() map[string]any)(nil)
	if kind, _ := evidence.KindOf(media); kind == evidence.DetachedEAT {
		bundle, err := evidence.ParseDetached(e.Payload)
		if err != nil {
			return nil, err
		}
		message, document = bundle.Token, bundle.Document
	}
	token, err := attest.ParseEAT(message)
	if err != nil {
		return nil, err
	}
	frame, err := evidence.ParseToken(message)
	if err != nil {
		return nil, err
	}
	if document == nil {
		document = token.UnverifiedClaims().Document
	}
	return &signedEAT{token, frame.Chain, document}, nil
}

// authenticated is who signed evidence. The candidate is nil where nobody trusted did.
type authenticated struct {
	*candidate
	finding
}

// authenticateEAT finds the key that signed the token. It fails only where that cannot be
// found out.
func (v *Verifier) authenticateEAT(ctx context.Context, base *corim.Base, token *signedEAT, now time.Time) (authenticated, error) {
	s := signer{format: anchor.FormatEAT, chain: token.chain, environment: corim.Environment{Instance: ueidOf(token.UnverifiedClaims().UEID)}}
	if kid, ok := token.KeyID(); ok {
		s.thumbprints = []cosekit.Thumbprint{kid}
	}
	candidates, refused, err := v.candidates(ctx, base, s, now)
	if err != nil {
		return authenticated{}, err
	}
	c, f := signedBy(candidates, refused, func(key crypto.PublicKey) error {
		public, err := cosekit.NewPublicKey(key)
		if err != nil {
			return err
		}
		_, err = token.Verify(public, v.options.Legacy)
		return err
	})
	return authenticated{c, f}, nil
}

func ueidOf(ueid []byte) corim.ID {
	if ueid == nil {
		return corim.ID{}
	}
	return corim.ID{Kind: corim.KindUEID, Value: ueid}
}

func (v *Verifier) check(claims *attest.Claims, challenge []byte, now time.Time) error {
	switch claims.Profile {
	case "", attest.ProfileEAT, attest.ProfileTEEP:
	default:
		return fmt.Errorf("the claims follow profile %q, not %q", claims.Profile, attest.ProfileEAT)
	}
	if challenge == nil && claims.IssuedAt.IsZero() {
		return fmt.Errorf("%w: no iat, and no challenge to answer", attest.ErrStale)
	}
	if err := claims.CheckProfile(challenge != nil); err != nil {
		return err
	}
	if challenge != nil {
		if err := claims.CheckNonce(challenge); err != nil {
			return err
		}
	}
	return claims.CheckTime(now, v.options.Skew)
}
