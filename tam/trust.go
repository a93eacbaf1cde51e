package tam

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/ear"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// Trust is what operators have registered for the appraisal of evidence and results, read
// from a Store: device attestation keys, CAs and reference values for the built-in verifier
// (attest/local), keys of verifiers for [Config.Results]. What was compiled is kept until
// the store says that it changed, or a little longer than a time of validity may end.
type Trust struct {
	store Store
	clock func() time.Time
	skew  time.Duration

	mu   sync.Mutex
	last *trusted
}

var _ ResultVerifier = (*Trust)(nil)

// trusted is one state of it, which does not change.
type trusted struct {
	state     int64
	compiled  time.Time
	cas       []*x509.Certificate
	base      *corim.Base
	verifiers []anchor.Anchor
	keys      []ear.Key // of verifiers, in the same order
}

// trustFor is how long what was compiled is good: CoRIM files begin and end.
const trustFor = time.Minute

// NewTrust reads from the store. skew is what the clocks of verifiers may differ by.
func NewTrust(store Store, clock func() time.Time, skew time.Duration) *Trust {
	return &Trust{store: store, clock: clock, skew: skew}
}

// AttestationKey returns the anchor of a registered device attestation key;
// anchor.ErrUnknown where there is none.
func (t *Trust) AttestationKey(ctx context.Context, key cosekit.Thumbprint) (a anchor.Anchor, err error) {
	err = t.store.View(ctx, func(r Reader) (err error) {
		a, err = r.Anchor(key)
		return err
	})
	if errors.Is(err, ErrNotFound) {
		err = anchor.ErrUnknown
	}
	return a, err
}

// DeviceCAs returns the CAs of device attestation keys.
func (t *Trust) DeviceCAs(ctx context.Context) ([]*x509.Certificate, error) {
	now, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	return now.cas, nil
}

// References returns the reference values that are valid now.
func (t *Trust) References(ctx context.Context) (*corim.Base, error) {
	now, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	return now.base, nil
}

// Verify implements ResultVerifier with the keys of registered verifiers.
func (t *Trust) Verify(ctx context.Context, format string, data []byte) (*attest.Result, error) {
	trusted, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	o := ear.Options{Now: t.clock(), Skew: t.skew}
	for i, a := range trusted.verifiers {
		if a.Allows(anchor.Verifier, o.Now) == nil {
			o.Keys = append(o.Keys, trusted.keys[i])
		}
	}
	return ear.Verify(format, data, o)
}

// current returns what is trusted now. One caller compiles, the others wait for it.
func (t *Trust) current(ctx context.Context) (*trusted, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock()
	err := t.store.View(ctx, func(r Reader) error {
		state, err := r.ReferenceState()
		if err != nil {
			return err
		}
		if t.last != nil && t.last.state == state && now.Sub(t.last.compiled).Abs() < trustFor {
			return nil
		}
		next, err := compileTrust(r, now)
		if err != nil {
			return err
		}
		next.state, next.compiled = state, now
		t.last = next
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is trusted: %w", err)
	}
	return t.last, nil
}

func compileTrust(r Reader, now time.Time) (*trusted, error) {
	out := &trusted{}
	cas, err := r.DeviceCAs()
	if err != nil {
		return nil, err
	}
	for _, ca := range cas {
		certificate, err := x509.ParseCertificate(ca.Certificate)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", caSubject(ca.Fingerprint), err)
		}
		out.cas = append(out.cas, certificate)
	}
	stored, err := r.ReferenceFiles()
	if err != nil {
		return nil, err
	}
	files := make([]*corim.File, len(stored))
	for i, s := range stored {
		if files[i], err = corim.Read(s.Raw); err != nil {
			return nil, fmt.Errorf("%s: %w", referenceSubject(s.ID, s.Version), err)
		}
	}
	if out.base, err = corim.NewBase(files, now); err != nil {
		return nil, err
	}
	if out.verifiers, err = r.Anchors(anchor.Verifier); err != nil {
		return nil, err
	}
	for _, a := range out.verifiers {
		public, err := cryptoKey(a.Key)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", anchorSubject(a.Thumbprint()), err)
		}
		out.keys = append(out.keys, ear.Key{Name: a.Title, Public: public})
	}
	return out, nil
}

// cryptoKey is the key in the types of the standard library.
func cryptoKey(k *cosekit.PublicKey) (crypto.PublicKey, error) {
	block, _ := pem.Decode(k.PEM())
	if block == nil {
		return nil, errors.New("the key has no PEM form")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}
