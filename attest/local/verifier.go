package local

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Name says in a result who appraised, for people.
const Name = "tamarack (built in)"

// Keys finds the registered device attestation keys.
type Keys interface {
	// AttestationKey returns the anchor of the key. An error that is
	// anchor.ErrUnknown says that there is none; any other, that nobody knows.
	AttestationKey(ctx context.Context, key cosekit.Thumbprint) (anchor.Anchor, error)
}

// Trust is all that evidence is held against. An error of its methods says that nobody
// knows, and ends the appraisal without a result.
type Trust interface {
	Keys
	// DeviceCAs returns the certificates of the authorities that makers let certify
	// device attestation keys for evidence of the format.
	DeviceCAs(ctx context.Context, format anchor.Format) ([]*x509.Certificate, error)
	// References returns the reference values and endorsed keys in force; nil for none.
	References(ctx context.Context) (*corim.Base, error)
}

// KeysOnly is the Trust in registered keys and nothing else.
func KeysOnly(keys Keys) Trust { return keysOnly{keys} }

type keysOnly struct{ Keys }

func (keysOnly) DeviceCAs(context.Context, anchor.Format) ([]*x509.Certificate, error) {
	return nil, nil
}
func (keysOnly) References(context.Context) (*corim.Base, error) { return nil, nil }

// Options tell a Verifier its time and its tolerance.
type Options struct {
	Clock  func() time.Time     // nil for time.Now
	Skew   time.Duration        // what clocks may differ by
	Legacy cosekit.LegacyPolicy // whether ES256 and EdDSA are accepted in EATs; hardware has no others
	// Strict wants an EAT to measure a component, and a reference value for every one that
	// it measures, where there are reference values at all; and a PSA or CCA token to have
	// every component that reference values name.
	Strict  bool
	Vendors VendorRoots // of processors, beside those that are known
}

// Verifier appraises evidence with the keys, certificates and reference values of its
// Trust. It implements attest.Verifier and may be used by many goroutines.
type Verifier struct {
	trust   Trust
	options Options
}

// New makes a Verifier that holds evidence against trust; see [KeysOnly] for one that knows
// registered keys and nothing else.
func New(trust Trust, options Options) *Verifier {
	if options.Clock == nil {
		options.Clock = time.Now
	}
	return &Verifier{trust, options}
}

// Appraise implements attest.Verifier. See the package comment for what is an error
// and what is a result.
func (v *Verifier) Appraise(ctx context.Context, e attest.Evidence) (*attest.Result, error) {
	media, err := attest.ParseMediaType(e.Format)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrFormat, err)
	}
	if len(e.Payload) > evidence.MaxSize {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", attest.ErrTooLarge, len(e.Payload), evidence.MaxSize)
	}
	kind, known := evidence.KindOf(media)
	for _, f := range formats {
		if known && f.kind == kind {
			return f.appraise(v, ctx, e)
		}
	}
	return nil, fmt.Errorf("%w: %s; the built-in verifier reads %s", attest.ErrFormat, media, names())
}

// references returns the reference values in force, never nil.
func (v *Verifier) references(ctx context.Context) (*corim.Base, error) {
	base, err := v.trust.References(ctx)
	if err != nil {
		return nil, fmt.Errorf("look up reference values: %w", err)
	}
	if base == nil {
		base = &corim.Base{}
	}
	return base, nil
}
