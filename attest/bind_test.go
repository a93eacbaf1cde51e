package attest

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

func TestBind(t *testing.T) {
	key, other := testSigner(t, 1).PublicKey(), testSigner(t, 9).PublicKey()
	thumbprint, foreign := key.Thumbprint(), other.Thumbprint()
	affirming := []Element{element(InstanceIdentity, 2, "registered"), element(Executables, 0, "not appraised")}
	for _, test := range []struct {
		name  string
		want  error
		spoil func(*Result, *Binding)
	}{
		{"first contact", nil, func(*Result, *Binding) {}},
		{"known device", nil, func(_ *Result, b *Binding) { b.UEID, b.Registered = ueid, true }},
		{"kid names a registered key", nil, func(r *Result, b *Binding) { r.Claims.Confirmation.Key, b.Registered = nil, true }},
		{"cnf without kid", nil, func(r *Result, _ *Binding) { r.Claims.Confirmation.KeyID = nil }},
		{"no iat, but a nonce", nil, func(r *Result, _ *Binding) { r.Claims.IssuedAt = time.Time{} }},
		{"timestamp freshness", nil, func(r *Result, b *Binding) { r.Claims.Nonce, b.Challenge = nil, nil }},
		{"no cnf from a registered key", nil, func(r *Result, b *Binding) {
			r.Claims.Confirmation, b.Registered, b.UEID = Confirmation{}, true, ueid
		}},
		{"neither cnf nor ueid, but hardware on record", nil, func(r *Result, b *Binding) {
			r.Claims.Confirmation, r.Claims.UEID, b.Registered, b.UEID = Confirmation{}, nil, true, ueid
			r.AttestationKey, b.AttestationKey = foreign, foreign
		}},
		{"within the skew of a result's end", nil, func(r *Result, b *Binding) { r.Expires = b.Now.Add(1 - b.Skew) }},
		{"within the skew of exp", nil, func(r *Result, b *Binding) { b.Now, b.MaxAge = r.Claims.Expires.Add(b.Skew-1), 0 }},
		{"within the skew of the greatest age", nil, func(_ *Result, b *Binding) { b.Now = issued.Add(b.MaxAge + b.Skew) }},
		{"within the skew of nbf", nil, func(r *Result, b *Binding) { r.Claims.NotBefore = b.Now.Add(b.Skew) }},

		{"wrong nonce", ErrNonce, func(_ *Result, b *Binding) { b.Challenge = bytes.Repeat([]byte{1}, 32) }},
		{"part of the nonce", ErrNonce, func(_ *Result, b *Binding) { b.Challenge = challenge[:31] }},
		{"empty challenge", ErrNonce, func(_ *Result, b *Binding) { b.Challenge = []byte{} }},
		{"no nonce", ErrNonce, func(r *Result, _ *Binding) { r.Claims.Nonce = nil }},
		{"no nonce for an empty challenge", ErrNonce, func(r *Result, b *Binding) { r.Claims.Nonce, b.Challenge = nil, []byte{} }},
		{"neither nonce nor iat", ErrStale, func(r *Result, b *Binding) { r.Claims.IssuedAt, b.Challenge = time.Time{}, nil }},
		{"too old", ErrStale, func(_ *Result, b *Binding) { b.Now, b.Challenge = b.Now.Add(b.MaxAge+b.Skew+1), nil }},
		{"too old, with nonce", ErrStale, func(_ *Result, b *Binding) { b.Now = b.Now.Add(b.MaxAge + b.Skew + 1) }},
		{"expired", ErrExpired, func(r *Result, b *Binding) { b.Now, b.MaxAge = r.Claims.Expires.Add(b.Skew), 0 }},
		{"expired result", ErrExpired, func(r *Result, b *Binding) { r.Expires = b.Now.Add(-b.Skew) }},
		{"not yet valid", ErrNotYetValid, func(r *Result, b *Binding) { r.Claims.NotBefore = b.Now.Add(b.Skew + 1) }},
		{"from the future", ErrNotYetValid, func(r *Result, b *Binding) { r.Claims.IssuedAt = b.Now.Add(b.Skew + 1) }},

		{"no result", ErrNotAffirmed, func(r *Result, _ *Binding) { *r = Result{} }},
		{"no claims", ErrNotAffirmed, func(r *Result, _ *Binding) { r.Claims = nil }},
		{"status none", ErrNotAffirmed, func(r *Result, _ *Binding) { r.Status = None }},
		{"status warning", ErrNotAffirmed, func(r *Result, _ *Binding) { r.Status = Warning }},
		{"status contraindicated", ErrNotAffirmed, func(r *Result, _ *Binding) { r.Status = Contraindicated }},
		{"status better than its vector", ErrNotAffirmed, func(r *Result, _ *Binding) { r.Vector[1].Value = 33 }},
		{"vector with a failure", ErrNotAffirmed, func(r *Result, _ *Binding) { r.Vector[1].Value = 1 }},
		{"status without a vector", ErrNotAffirmed, func(r *Result, _ *Binding) { r.Vector = nil }},

		{"no cnf", ErrKeyNotCarried, func(r *Result, _ *Binding) { r.Claims.Confirmation = Confirmation{} }},
		{"cnf of another key", ErrKeyBinding, func(_ *Result, b *Binding) { b.Key, b.Registered = other, true }},
		{"key of this message, kid of another", ErrKeyBinding, func(r *Result, _ *Binding) { r.Claims.Confirmation.KeyID = foreign[:] }},
		{"kid of this message, key of another", ErrKeyBinding, func(r *Result, _ *Binding) {
			r.Claims.Confirmation = Confirmation{Key: other, KeyID: thumbprint[:]}
		}},
		{"kid of another, registered", ErrKeyBinding, func(r *Result, b *Binding) {
			r.Claims.Confirmation, b.Registered = Confirmation{KeyID: foreign[:]}, true
		}},
		{"kid only at first contact", ErrKeyNotCarried, func(r *Result, _ *Binding) { r.Claims.Confirmation.Key = nil }},
		{"message without a key", ErrKeyBinding, func(_ *Result, b *Binding) { b.Key = nil }},

		{"another device", ErrDevice, func(_ *Result, b *Binding) { b.UEID = bytes.Repeat([]byte{1}, 17) }},
		{"no ueid", ErrDevice, func(r *Result, _ *Binding) { r.Claims.UEID = nil }},
		{"no ueid, other hardware", ErrDevice, func(r *Result, b *Binding) {
			r.Claims.UEID, b.UEID, r.AttestationKey, b.AttestationKey = nil, ueid, foreign, thumbprint
		}},
		{"no ueid, no hardware on record", ErrDevice, func(r *Result, b *Binding) {
			r.Claims.UEID, b.UEID, r.AttestationKey = nil, ueid, foreign
		}},
		{"no ueid, known device", ErrDevice, func(r *Result, b *Binding) { r.Claims.UEID, b.UEID = nil, ueid }},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := &Result{Status: Affirming, Vector: append([]Element(nil), affirming...), Claims: goodClaims(t)}
			b := Binding{
				Challenge: challenge, Key: key, Now: issued.Add(time.Minute), MaxAge: 5 * time.Minute, Skew: 30 * time.Second,
			}
			test.spoil(r, &b)
			if err := believe(r, b); !errors.Is(err, test.want) || err != nil && test.want == nil {
				t.Fatalf("got %v, want %v", err, test.want)
			}
		})
	}
	if err := Bind(nil, Binding{Key: key}); !errors.Is(err, ErrNotAffirmed) {
		t.Errorf("nil result: %v", err)
	}
}

// believe is what a relying party without a policy does.
func believe(r *Result, b Binding) error {
	if err := Bind(r, b); err != nil {
		return err
	}
	return r.Affirmed()
}

func element(name string, value int8, reason string) Element {
	return Element{Name: name, Value: value, Reason: reason}
}

// TestBindOrder spoils everything, then mends one fault after the other: the faults
// come in the order of the checks.
func TestBindOrder(t *testing.T) {
	r := &Result{Status: None, Claims: goodClaims(t), Vector: []Element{element(InstanceIdentity, 2, "")}}
	b := Binding{Challenge: []byte("other challenge"), Key: testSigner(t, 9).PublicKey(), UEID: []byte("another"), Now: issued}
	for _, step := range []struct {
		want error
		mend func()
	}{
		{ErrNonce, func() { b.Challenge = challenge }},
		{ErrKeyBinding, func() { b.Key = testSigner(t, 1).PublicKey() }},
		{ErrDevice, func() { b.UEID = ueid }},
		{ErrNotAffirmed, func() { r.Status = Affirming }},
	} {
		if err := believe(r, b); !errors.Is(err, step.want) {
			t.Fatalf("got %v, want %v", err, step.want)
		}
		step.mend()
	}
	if err := Bind(r, b); err != nil {
		t.Fatal(err)
	}
}
