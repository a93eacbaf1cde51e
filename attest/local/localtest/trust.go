package localtest

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Trust is what a verifier believes. It implements local.Trust.
type Trust struct {
	Anchors []anchor.Anchor
	CAs     []*x509.Certificate
	Base    *corim.Base
	Fault   error // of every look-up; nil for none
}

// Publish makes Base of what makers say, each of them signing for itself.
func (t *Trust) Publish(now time.Time, statements ...*corim.Unsigned) {
	var files []*corim.File
	for i, u := range statements {
		raw, err := u.Encode()
		must(err)
		f, err := corim.Read(raw)
		must(err)
		f.Signer = fmt.Sprintf("maker %d", i)
		files = append(files, f)
	}
	base, err := corim.NewBase(files, now)
	must(err)
	t.Base = base
}

// Register registers keys of devices, for evidence of every format.
func (t *Trust) Register(keys ...*cosekit.PublicKey) {
	for _, k := range keys {
		t.Anchors = append(t.Anchors, anchor.Anchor{
			Key: k, Purposes: []anchor.Purpose{anchor.Attester}, Constraints: anchor.Constraints{Formats: anchor.Formats()},
		})
	}
}

// AttestationKey implements local.Keys.
func (t *Trust) AttestationKey(_ context.Context, key cosekit.Thumbprint) (anchor.Anchor, error) {
	if t.Fault != nil {
		return anchor.Anchor{}, t.Fault
	}
	for _, a := range t.Anchors {
		if a.Thumbprint() == key {
			return a, nil
		}
	}
	return anchor.Anchor{}, anchor.ErrUnknown
}

// DeviceCAs implements local.Trust.
func (t *Trust) DeviceCAs(context.Context, anchor.Format) ([]*x509.Certificate, error) {
	return t.CAs, t.Fault
}

// References implements local.Trust.
func (t *Trust) References(context.Context) (*corim.Base, error) { return t.Base, t.Fault }
