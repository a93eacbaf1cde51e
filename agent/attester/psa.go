package attester

import (
	"context"
	"errors"
	"fmt"

	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// PSA is a Quoter that makes PSA tokens (RFC 9783) in software: for devices whose root of
// trust is a process, and for trying out what the TAM makes of such tokens. Its word is
// worth as much as the system that it runs on.
type PSA struct {
	// Key is the initial attestation key, on P-256.
	Key cosekit.Signer
	// ImplementationID has 32 bytes; InstanceID 33, the first of them 0x01. The customary
	// instance id is 0x01 and the thumbprint of Key.
	ImplementationID []byte
	InstanceID       []byte
	// Lifecycle is the security lifecycle of RFC 9783 section 4.3.1.
	Lifecycle uint16
	// Software tells the components that were measured.
	Software func(ctx context.Context) ([]evidence.SoftwareComponent, error)
}

// Secured is the security lifecycle of a device in the field.
const Secured = 0x3000

// Labels of PSA claims (RFC 9783 section 4).
const (
	labelNonce            = 10
	labelInstanceID       = 256
	labelProfile          = 265
	labelClientID         = 2394
	labelLifecycle        = 2395
	labelImplementationID = 2396
	labelSoftware         = 2399
)

// clientID says that the caller stands in the secure world, as a TEEP agent does.
const clientID = 1

var _ Quoter = (*PSA)(nil)

// Format implements Quoter.
func (*PSA) Format() string { return `application/eat+cwt; eat_profile="` + evidence.ProfilePSA + `"` }

// Quote implements Quoter. The digest is the nonce of the token.
func (p *PSA) Quote(ctx context.Context, digest []byte) ([]byte, error) {
	if p.Key == nil || p.Key.Algorithm() != cosekit.ESP256 {
		return nil, errors.New("the attestation key of a PSA token lies on P-256")
	}
	components, err := p.Software(ctx)
	if err != nil {
		return nil, fmt.Errorf("measure software: %w", err)
	}
	claims, err := cosekit.Marshal(map[int]any{
		labelProfile: evidence.ProfilePSA, labelNonce: digest, labelClientID: clientID,
		labelInstanceID: p.InstanceID, labelImplementationID: p.ImplementationID,
		labelLifecycle: p.Lifecycle, labelSoftware: encodeComponents(components),
	})
	if err != nil {
		return nil, err
	}
	// RFC 9783 section 5.2 has ES256, which says the same of a key on P-256.
	return cosekit.Sign1(cosekit.UnderLegacyName(p.Key), claims, cosekit.Form{})
}

// encodeComponents writes psa-software-component maps (RFC 9783 section 4.4.1).
func encodeComponents(components []evidence.SoftwareComponent) []any {
	list := make([]any, len(components))
	for i, c := range components {
		m := map[int]any{2: c.Value, 5: c.Signer}
		for label, text := range map[int]string{1: c.Type, 4: c.Version, 6: c.Description} {
			if text != "" {
				m[label] = text
			}
		}
		list[i] = m
	}
	return list
}
