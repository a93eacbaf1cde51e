package attester

import (
	"context"
	"fmt"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Quoter makes the hardware's part of a bound bundle.
type Quoter interface {
	// Format is the media type of what Quote makes. It does not change.
	Format() string
	// Quote makes evidence whose nonce is the digest of the claims set, in the size that
	// the format has room for; see evidence.BindingDigest.
	Quote(ctx context.Context, digest []byte) ([]byte, error)
}

// Claims tell what a device says of itself at this moment: ueid, oemid, hwmodel, hwversion,
// iat, what is installed and what it measures. The nonce, the key and the profile are added.
type Claims func(ctx context.Context) (*attest.Claims, error)

// Bound makes an Attester that binds claims to the evidence of a Quoter.
func Bound(q Quoter, claims Claims) agent.Attester { return bound{q, claims} }

type bound struct {
	quoter Quoter
	claims Claims
}

// Evidence implements agent.Attester. The challenge is nil under timestamp freshness;
// then the iat of the claims has to show that they are new.
func (b bound) Evidence(ctx context.Context, challenge []byte, key *cosekit.PublicKey) (*teep.AttestationPayload, error) {
	measured, err := b.claims(ctx)
	if err != nil {
		return nil, fmt.Errorf("claims of the device: %w", err)
	}
	claims := *measured
	claims.Profile = attest.ProfileEAT
	claims.Nonce = challenge
	claims.Confirmation = attest.Confirmation{Key: key}
	set, err := attest.EncodeClaims(&claims)
	if err != nil {
		return nil, fmt.Errorf("claims of the device: %w", err)
	}
	format := b.quoter.Format()
	digest, err := evidence.BindingDigest(format, set)
	if err != nil {
		return nil, err
	}
	quote, err := b.quoter.Quote(ctx, digest)
	if err != nil {
		return nil, fmt.Errorf("format %s: %w", format, err)
	}
	payload, err := evidence.EncodeBundle(set, quote)
	if err != nil {
		return nil, err
	}
	return &teep.AttestationPayload{Format: evidence.BundleFormat(format), Payload: payload}, nil
}
