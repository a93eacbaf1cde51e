package tam

import (
	"context"
	"crypto"
	"crypto/sha256"
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
// the store says that it changed, or until a file of reference values begins or ends.
//
// Reference values count as long as their signer is registered and may speak about all that
// the file is about, by what is registered now. Until when a signer is valid says how long
// it may sign, which is looked at as a file is imported.
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
	state       int64
	from, until time.Time // when it is what is valid; until is zero for ever
	cas         []deviceCA
	files       map[[sha256.Size]byte]*corim.File // that were read, by their digest
	base        *corim.Base
	verifiers   []anchor.Anchor
	keys        []ear.Key // of verifiers, in the same order
}

type deviceCA struct {
	certificate *x509.Certificate
	formats     []anchor.Format
}

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

// DeviceCAs returns the CAs of device attestation keys for evidence of the format.
func (t *Trust) DeviceCAs(ctx context.Context, format anchor.Format) ([]*x509.Certificate, error) {
	now, err := t.current(ctx)
	if err != nil {
		return nil, err
	}
	var cas []*x509.Certificate
	for _, ca := range now.cas {
		if anchor.InFormats(ca.formats, format) {
			cas = append(cas, ca.certificate)
		}
	}
	return cas, nil
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
		if t.last != nil && t.last.state == state && t.last.validAt(now) {
			return nil
		}
		next, err := compileTrust(r, t.last, now)
		if err != nil {
			return err
		}
		next.state = state
		t.last = next
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what is trusted: %w", err)
	}
	return t.last, nil
}

func (t *trusted) validAt(now time.Time) bool {
	return !now.Before(t.from) && (t.until.IsZero() || now.Before(t.until))
}

// compileTrust takes files that were read before from last, which is nil at first: of many
// files one is new.
func compileTrust(r Reader, last *trusted, now time.Time) (*trusted, error) {
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
		out.cas = append(out.cas, deviceCA{certificate, ca.Formats})
	}
	if err := out.compileReferences(r, last, now); err != nil {
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

// compileReferences takes together the files whose signers may still speak.
func (t *trusted) compileReferences(r Reader, last *trusted, now time.Time) error {
	stored, err := r.ReferenceFiles()
	if err != nil {
		return err
	}
	scopes, err := signerScopes(r)
	if err != nil {
		return err
	}
	var before map[[sha256.Size]byte]*corim.File
	if last != nil {
		before = last.files
	}
	if t.files, err = readReferences(stored, before); err != nil {
		return err
	}
	var counting []*corim.File
	for _, s := range stored {
		file := t.files[sha256.Sum256(s.Raw)]
		if scope, known := scopes[s.Signer]; known && scope.Check(file) == nil {
			counting = append(counting, file)
		}
	}
	t.from, t.until = corim.Unchanged(counting, now)
	t.base, err = corim.NewBase(counting, now)
	return err
}

// signerScopes is what each signer of reference values may speak about, by thumbprint.
func signerScopes(r AnchorReader) (map[string]corim.Scope, error) {
	anchors, err := r.Anchors(anchor.ReferenceValues)
	if err != nil {
		return nil, err
	}
	scopes := make(map[string]corim.Scope, len(anchors))
	for _, a := range anchors {
		if scopes[a.Thumbprint().String()], err = corim.ParseScope(a.Constraints.Products); err != nil {
			return nil, fmt.Errorf("%s: %w", anchorSubject(a.Thumbprint()), err)
		}
	}
	return scopes, nil
}

// cryptoKey is the key in the types of the standard library.
func cryptoKey(k *cosekit.PublicKey) (crypto.PublicKey, error) {
	block, _ := pem.Decode(k.PEM())
	if block == nil {
		return nil, errors.New("the key has no PEM form")
	}
	return x509.ParsePKIXPublicKey(block.Bytes)
}
