package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
)

// appraiseEAT appraises an EAT as CWT: who signed it, and whether it says what the
// EAT profile of TEEP requires, in answer to our challenge and in its time.
func (v *Verifier) appraiseEAT(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	token, err := attest.ParseEAT(e.Payload)
	if err != nil {
		return nil, err
	}
	now := v.options.Clock()
	claims, f, err := v.authenticate(ctx, token, now)
	if err != nil {
		return nil, err
	}
	if claims != nil {
		if err := v.check(claims, e.Challenge, now); err != nil {
			f = finding{notAcceptable, err.Error()}
		}
	}
	result := v.result(e, now, claims, f)
	if claims != nil {
		result.AttestationKey, _ = token.KeyID()
	}
	return result, nil
}

// authenticate returns the claims if a registered key has signed them, and what that
// says about the Attester. It fails only where that cannot be found out.
func (v *Verifier) authenticate(ctx context.Context, token *attest.SignedEAT, now time.Time) (*attest.Claims, finding, error) {
	kid, ok := token.KeyID()
	if !ok {
		return nil, finding{notRecognized, "the evidence names no key: kid must be the thumbprint of a registered attestation key"}, nil
	}
	key, err := v.keys.AttestationKey(ctx, kid)
	switch {
	case errors.Is(err, anchor.ErrUnknown):
		return nil, finding{notRecognized, fmt.Sprintf("attestation key %s is not registered", kid)}, nil
	case err != nil:
		return nil, finding{}, fmt.Errorf("look up attestation key %s: %w", kid, err)
	}
	if err := key.Allows(anchor.Attester, now); err != nil {
		return nil, finding{notTrustworthy, err.Error()}, nil
	}
	claims, err := token.Verify(key.Key, v.options.Legacy)
	if err != nil {
		return nil, finding{notGenuine, err.Error()}, nil
	}
	return claims, finding{recognized, fmt.Sprintf("signed by registered attestation key %s", kid)}, nil
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
