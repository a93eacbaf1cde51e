package tee

import (
	"context"
	"crypto/x509"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/teep"
)

// Attester makes Evidence about a store with a key of its own (RFC 9334 section 3.1):
// an EAT with what the files measure at that moment. It is software, so its word is
// worth as much as the system that it runs on.
type Attester struct {
	store *Store
	key   cosekit.Signer
	// device holds the claims that do not change: ueid, oemid, hwmodel, hwversion.
	device attest.Claims
	clock  func() time.Time
	chain  []*x509.Certificate
}

// NewAttester makes an Attester. The device attestation key is not the key of any
// message; the TAM knows it as an anchor of purpose attester, or by the certificates, the
// key's own first.
func NewAttester(s *Store, key cosekit.Signer, device attest.Claims, clock func() time.Time, chain ...*x509.Certificate) *Attester {
	return &Attester{s, key, device, clock, chain}
}

// Evidence measures the store and signs what it found, with the challenge as the
// nonce and the agent's key in cnf (draft-ietf-teep-protocol-26 section 5).
func (a *Attester) Evidence(ctx context.Context, challenge []byte, key *cosekit.PublicKey) (*teep.AttestationPayload, error) {
	claims, err := a.store.Claims(ctx, a.device, a.clock())
	if err != nil {
		return nil, err
	}
	claims.Profile = attest.ProfileEAT
	claims.Nonce = challenge
	claims.Confirmation = attest.Confirmation{Key: key}
	token, err := attest.SignEAT(claims, a.key, a.chain...)
	if err != nil {
		return nil, err
	}
	return &teep.AttestationPayload{Format: attest.EvidenceMediaType, Payload: token}, nil
}

// Claims adds what is installed, as it measures now, to what does not change.
func (s *Store) Claims(ctx context.Context, device attest.Claims, now time.Time) (*attest.Claims, error) {
	m, err := s.measure(ctx)
	if err != nil {
		return nil, err
	}
	device.IssuedAt = now
	m.describe(&device)
	return &device, nil
}

// describe fills the claims that say what is installed.
func (m measurement) describe(claims *attest.Claims) {
	claims.Manifests = []attest.ManifestRef{} // sent also where nothing is installed
	for _, one := range m.manifests {
		ref := attest.ManifestRef{URI: one.manifest.ReferenceURI, Digest: one.digest}
		claims.Manifests = append(claims.Manifests, ref)
		if components := m.installedBy(one.id); components != nil {
			claims.Measurements = append(claims.Measurements, attest.Measurement{Manifest: ref, Components: components})
		}
	}
}

func (m measurement) installedBy(manifest suit.ComponentID) []suit.PropertyClaims {
	var claims []suit.PropertyClaims
	for _, c := range m.components {
		if contains(c.Manifests, manifest) {
			claims = append(claims, c.claims())
		}
	}
	return claims
}
