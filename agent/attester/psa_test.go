package attester_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/agent/attester"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var errSoftware = errors.New("disk is gone")

func newPSA(t *testing.T) *attester.PSA {
	t.Helper()
	key, err := cosekit.GenerateSigner(cosekit.ESP256)
	if err != nil {
		t.Fatal(err)
	}
	thumbprint := key.PublicKey().Thumbprint()
	return &attester.PSA{
		Key: key, ImplementationID: bytes.Repeat([]byte{7}, 32), InstanceID: append([]byte{1}, thumbprint[:]...), Lifecycle: attester.Secured,
		Software: func(context.Context) ([]evidence.SoftwareComponent, error) {
			return []evidence.SoftwareComponent{
				{Type: "app/hello", Version: "1.2.0", Value: bytes.Repeat([]byte{1}, 32), Signer: bytes.Repeat([]byte{2}, 32), Description: "sha-256"},
				{Value: bytes.Repeat([]byte{3}, 32), Signer: bytes.Repeat([]byte{2}, 32)},
			}, nil
		},
	}
}

func TestPSA(t *testing.T) {
	psa := newPSA(t)
	class := corim.Environment{ClassID: corim.ID{Kind: corim.KindImplID, Value: psa.ImplementationID}}
	refs := []corim.Reference{
		{Environment: class, Key: "app/hello", Version: "1.2.0", Signer: bytes.Repeat([]byte{2}, 32), Digests: []corim.Digest{{Algorithm: "sha-256", Value: bytes.Repeat([]byte{1}, 32)}}},
		{Environment: class, Signer: bytes.Repeat([]byte{2}, 32), Digests: []corim.Digest{{Algorithm: "sha-256", Value: bytes.Repeat([]byte{3}, 32)}}},
	}
	k := trusting(t, psa.Key.PublicKey(), refs...)
	r, err := appraise(t, psa, k)
	if err != nil || r.Affirmed() != nil {
		t.Fatalf("%v, %s", err, r.Reason())
	}
	// The instance id is made of the key, so that no other key can speak for it.
	if r.AttestationKey != sha256.Sum256(append([]byte("psa-instance-id"), psa.InstanceID...)) || len(r.Comparisons) == 0 {
		t.Errorf("result %+v", r)
	}
	software := psa.Software
	psa.Software = func(ctx context.Context) ([]evidence.SoftwareComponent, error) {
		c, err := software(ctx)
		c[0].Value = bytes.Repeat([]byte{9}, 32)
		return c, err
	}
	if r, err = appraise(t, psa, k); err != nil || r.Affirmed() == nil || !strings.Contains(r.Reason(), "app/hello") {
		t.Errorf("another component: %v, %q", err, r.Reason())
	}
}

func TestPSAErrors(t *testing.T) {
	psa := newPSA(t)
	psa.Software = func(context.Context) ([]evidence.SoftwareComponent, error) { return nil, errSoftware }
	if _, err := attester.Bound(psa, deviceClaims).Evidence(t.Context(), challenge, teepKey(t)); !errors.Is(err, errSoftware) {
		t.Errorf("software cannot be measured: %v", err)
	}
	broken := func(context.Context) (*attest.Claims, error) { return nil, errSoftware }
	if _, err := attester.Bound(newPSA(t), broken).Evidence(t.Context(), challenge, teepKey(t)); !errors.Is(err, errSoftware) {
		t.Errorf("no claims: %v", err)
	}
	wrong := func(context.Context) (*attest.Claims, error) { return &attest.Claims{UEID: []byte{1}}, nil }
	if _, err := attester.Bound(newPSA(t), wrong).Evidence(t.Context(), challenge, teepKey(t)); !errors.Is(err, attest.ErrClaims) {
		t.Errorf("claims that are none: %v", err)
	}
	psa = newPSA(t)
	var err error
	if psa.Key, err = cosekit.GenerateSigner(cosekit.Ed25519); err != nil {
		t.Fatal(err)
	}
	if _, err := psa.Quote(t.Context(), make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "P-256") {
		t.Errorf("Ed25519: %v", err)
	}
}

// TestBoundTimestamp makes evidence without a challenge, which says when it was made.
func TestBoundTimestamp(t *testing.T) {
	psa, key := newPSA(t), teepKey(t)
	p, err := attester.Bound(psa, deviceClaims).Evidence(t.Context(), nil, key)
	if err != nil {
		t.Fatal(err)
	}
	r, err := trusting(t, psa.Key.PublicKey()).verifier().Appraise(t.Context(), attest.Evidence{Format: p.Format, Payload: p.Payload})
	if err != nil {
		t.Fatal(err)
	}
	if err := attest.Bind(r, attest.Binding{Key: key, Now: now}); err != nil {
		t.Errorf("%v: %s", err, r.Reason())
	}
}
