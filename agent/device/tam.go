package device

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/agent"
	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// tamAttestation says how the TAM has to attest itself; nil where it need not. Its evidence
// is signed by a key that the device trusts as an attester's; a result about it, by that
// of a verifier.
func (d *Device) tamAttestation(clock func() time.Time) (*agent.TAMAttestation, error) {
	t := d.settings.TAM
	if !t.Attest {
		return nil, nil
	}
	demanded := &agent.TAMAttestation{UEID: t.UEID, MaxAge: t.attestMaxAge(), Skew: clockSkew}
	switch {
	case len(d.anchors.For(anchor.Attester, clock())) > 0:
		options := local.Options{Clock: clock, Skew: clockSkew, Legacy: cosekit.LegacyPolicy(t.Legacy)}
		demanded.Verifier = evidence.NewRouter(evidence.Route{
			Name: local.Name, Accepts: local.Accepts, Verifier: local.New(local.KeysOnly(attesters{d.anchors}), options),
		})
	case len(d.anchors.For(anchor.Verifier, clock())) == 0:
		return nil, wrong("tam.attest", "true, but the device trusts neither an attestation key of a TAM nor a verifier; make it with --tam-attestation-key or --verifier-key")
	case t.UEID == nil:
		return nil, wrong("tam.ueid", "missing: the device trusts verifiers and no attestation key of a TAM, and a verifier may know other devices than TAMs; set it to the ueid of the TAM")
	}
	return demanded, nil
}

// attesters are the attestation keys that the device trusts.
type attesters struct{ anchors anchor.Store }

// AttestationKey implements local.Keys. The verifier looks at purpose and validity.
func (a attesters) AttestationKey(_ context.Context, key cosekit.Thumbprint) (anchor.Anchor, error) {
	for _, one := range a.anchors.Anchors() {
		if one.Thumbprint() == key {
			return one, nil
		}
	}
	return anchor.Anchor{}, fmt.Errorf("%w: %s", anchor.ErrUnknown, key)
}

// results verifies attestation results with the verifiers that the device trusts; nil
// where it trusts none.
func (d *Device) results(clock func() time.Time) agent.ResultVerifier {
	if len(d.anchors.For(anchor.Verifier, clock())) == 0 {
		return nil
	}
	return verifiers{d.anchors, clock}
}

type verifiers struct {
	anchors anchor.Store
	clock   func() time.Time
}

// Verify implements agent.ResultVerifier.
func (v verifiers) Verify(_ context.Context, format string, data []byte) (*attest.Result, error) {
	now := v.clock()
	o := ear.Options{Now: now, Skew: clockSkew}
	for _, a := range v.anchors.For(anchor.Verifier, now) {
		key, err := ear.ParseKey(a.Key.PEM())
		if err != nil {
			return nil, fmt.Errorf("verifier %s: %w", a.Thumbprint(), err)
		}
		key.Name = a.Title
		o.Keys = append(o.Keys, key)
	}
	if o.Keys == nil {
		return nil, errNoVerifier
	}
	return ear.Verify(format, data, o)
}

var errNoVerifier = errors.New("no verifier that the device trusts is valid now")
