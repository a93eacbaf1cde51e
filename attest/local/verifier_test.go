package local

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

var _ attest.Verifier = (*Verifier)(nil)

// registry is the Keys of a test: an anchor store, or a fault.
type registry struct {
	store anchor.Store
	fault error
}

func (r registry) AttestationKey(_ context.Context, key cosekit.Thumbprint) (anchor.Anchor, error) {
	if r.fault != nil {
		return anchor.Anchor{}, r.fault
	}
	for _, a := range r.store.Anchors() {
		if a.Thumbprint() == key {
			return a, nil
		}
	}
	return anchor.Anchor{}, anchor.ErrUnknown
}

func testSigner(t testing.TB, n byte) cosekit.Signer {
	t.Helper()
	s, err := cosekit.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	now       = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	challenge = bytes.Repeat([]byte{0xc4}, 32)
	ueid      = append([]byte{1}, bytes.Repeat([]byte{0xde}, 16)...)
	skew      = 30 * time.Second
)

// device is a device with registered attestation key, and the TAM that knows it.
type device struct {
	teep, attestation, stranger cosekit.Signer
	keys                        registry
	claims                      *attest.Claims
	options                     Options
}

func newDevice(t testing.TB) *device {
	t.Helper()
	d := &device{
		teep: testSigner(t, 1), attestation: testSigner(t, 2), stranger: testSigner(t, 3),
		options: Options{Clock: func() time.Time { return now }, Skew: skew},
	}
	var err error
	d.keys.store, err = anchor.NewStore(
		anchor.Anchor{Key: d.attestation.PublicKey(), Purposes: []anchor.Purpose{anchor.Attester}},
		anchor.Anchor{Key: testSigner(t, 4).PublicKey(), Purposes: []anchor.Purpose{anchor.TCSigner}},
		anchor.Anchor{Key: testSigner(t, 5).PublicKey(), Purposes: []anchor.Purpose{anchor.Attester}, NotAfter: now.Add(-time.Second)},
		anchor.Anchor{Key: testSigner(t, 6).PublicKey(), Purposes: []anchor.Purpose{anchor.Attester}, NotBefore: now.Add(time.Second)},
	)
	if err != nil {
		t.Fatal(err)
	}
	digest := suit.SumSHA256([]byte("image"))
	ref := attest.ManifestRef{URI: "https://example.com/m", Digest: suit.SumSHA256([]byte("manifest"))}
	d.claims = &attest.Claims{
		Profile: attest.ProfileEAT, Nonce: challenge, UEID: ueid, OEMID: []byte{0x43, 1, 2, 3},
		HWModel: []byte("board"), HWVersion: "1", IssuedAt: now,
		Confirmation: attest.Confirmation{Key: d.teep.PublicKey()},
		Manifests:    []attest.ManifestRef{ref},
		Measurements: []attest.Measurement{{Manifest: ref, Components: []suit.PropertyClaims{
			{Component: suit.ComponentID{[]byte("app")}, ImageDigest: &digest},
		}}},
	}
	return d
}

func (d *device) appraise(t testing.TB, e attest.Evidence) (*attest.Result, error) {
	t.Helper()
	return New(KeysOnly(d.keys), d.options).Appraise(t.Context(), e)
}

func (d *device) binding() attest.Binding {
	return attest.Binding{Challenge: challenge, Key: d.teep.PublicKey(), Now: now, MaxAge: time.Minute, Skew: skew}
}

func sign(t testing.TB, claims *attest.Claims, s cosekit.Signer) []byte {
	t.Helper()
	token, err := attest.SignEAT(claims, s)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func answer(payload []byte) attest.Evidence {
	return attest.Evidence{Format: attest.EvidenceMediaType, Payload: payload, Challenge: challenge}
}

func TestAppraise(t *testing.T) {
	d := newDevice(t)
	e := answer(sign(t, d.claims, d.attestation))
	r, err := d.appraise(t, e)
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != attest.Affirming || r.Verifier != Name || !r.AppraisedAt.Equal(now) || r.Raw != nil {
		t.Errorf("result %+v", r)
	}
	if !reflect.DeepEqual(r.Claims, d.claims) || !reflect.DeepEqual(r.Evidence, e) {
		t.Errorf("claims %+v of evidence %+v", r.Claims, r.Evidence)
	}
	if len(r.Vector) != len(attest.ElementNames) {
		t.Fatalf("vector %+v", r.Vector)
	}
	for i, element := range r.Vector {
		want := int8(0)
		if element.Name == attest.InstanceIdentity {
			want = recognized
		}
		if element.Name != attest.ElementNames[i] || element.Value != want || element.Reason == "" {
			t.Errorf("element %+v, want value %d and a reason", element, want)
		}
	}
	if err := attest.Bind(r, d.binding()); err != nil {
		t.Error(err)
	}
}

// anonymous takes the kid out of a COSE_Sign1 that has nothing else unprotected.
func anonymous(t testing.TB, token []byte) []byte {
	t.Helper()
	parts, err := cosekit.Elements(token)
	if err != nil {
		t.Fatal(err)
	}
	parts[1] = cosekit.RawMessage{0xa0}
	return cosekit.MustMarshal(parts)
}

// TestBadEvidence is the table of bad evidence: each row is refused at its own step.
func TestBadEvidence(t *testing.T) {
	signRaw := func(t *testing.T, d *device, claims map[int]any) []byte {
		for label, value := range map[int]any{
			256: ueid, 258: []byte{1, 2, 3}, 259: []byte("b"), 260: []string{"1"}, 272: []any{},
			8: map[int]any{1: d.teep.PublicKey()},
		} {
			claims[label] = value
		}
		token, err := cosekit.Sign1(d.attestation, cosekit.MustMarshal(claims), cosekit.Form{Untagged: true})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for _, test := range []struct {
		name string
		// make returns the evidence. It may change the device, the TAM's keys and the binding.
		make func(t *testing.T, d *device, b *attest.Binding) []byte
		// One of three: the appraisal fails; the result is contraindicated with the
		// value; or it affirms, and the binding fails.
		fails  error
		value  int8
		binds  error
		reason string
	}{
		{name: "wrong signer", value: notGenuine, reason: "signature does not verify",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				forged, err := cosekit.Elements(sign(t, d.claims, d.stranger))
				if err != nil {
					t.Fatal(err)
				}
				kid := d.attestation.PublicKey().Thumbprint()
				forged[1] = cosekit.MustMarshal(map[int][]byte{4: kid[:]})
				return cosekit.MustMarshal(forged)
			}},
		{name: "changed after signing", value: notGenuine, reason: "signature does not verify",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				return bytes.Replace(sign(t, d.claims, d.attestation), []byte("board"), []byte("Board"), 1)
			}},
		{name: "unregistered key", value: notRecognized, reason: "is not registered",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte { return sign(t, d.claims, d.stranger) }},
		{name: "its own TEEP key", value: notRecognized, reason: "is not registered",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte { return sign(t, d.claims, d.teep) }},
		{name: "no kid", value: notRecognized, reason: "names no key",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				return anonymous(t, sign(t, d.claims, d.attestation))
			}},
		{name: "key of a publisher", value: notTrustworthy, reason: "not trusted for this purpose",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte { return sign(t, d.claims, testSigner(t, 4)) }},
		{name: "key whose trust has ended", value: notTrustworthy, reason: "has ended",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte { return sign(t, d.claims, testSigner(t, 5)) }},
		{name: "key whose trust has not begun", value: notTrustworthy, reason: "has not begun",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte { return sign(t, d.claims, testSigner(t, 6)) }},
		{name: "keys cannot be looked up", fails: errBroken, reason: "look up attestation key",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				d.keys.fault = errBroken
				return sign(t, d.claims, d.attestation)
			}},

		{name: "wrong nonce", value: notAcceptable, reason: "nonce is not our challenge",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				d.claims.Nonce = bytes.Repeat([]byte{1}, 32)
				return sign(t, d.claims, d.attestation)
			}},
		{name: "no nonce", value: notAcceptable, reason: "eat_nonce (10)",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				d.claims.Nonce = nil
				return sign(t, d.claims, d.attestation)
			}},
		{name: "array of nonces", fails: attest.ErrClaims, reason: "an array of nonces",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				return signRaw(t, d, map[int]any{10: [][]byte{challenge, challenge}})
			}},
		{name: "expired", value: notAcceptable, reason: "evidence expired",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				d.claims.Expires = now.Add(-skew)
				return sign(t, d.claims, d.attestation)
			}},
		{name: "not yet valid", value: notAcceptable, reason: "not yet valid: not before",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				d.claims.NotBefore = now.Add(skew + time.Second)
				return sign(t, d.claims, d.attestation)
			}},
		{name: "from the future", value: notAcceptable, reason: "not yet valid: issued at",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				d.claims.IssuedAt = now.Add(skew + time.Second)
				return sign(t, d.claims, d.attestation)
			}},
		{name: "too old", binds: attest.ErrStale,
			make: func(t *testing.T, d *device, b *attest.Binding) []byte {
				d.claims.IssuedAt = now.Add(-b.MaxAge - skew - time.Second)
				return sign(t, d.claims, d.attestation)
			}},
		{name: "a result as evidence", value: notAcceptable, reason: "follow profile",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				d.claims.Profile = attest.ProfileEAR03
				return sign(t, d.claims, d.attestation)
			}},

		{name: "cnf of another key", binds: attest.ErrKeyBinding,
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				d.claims.Confirmation.Key = d.stranger.PublicKey()
				return sign(t, d.claims, d.attestation)
			}},
		{name: "message by another key", binds: attest.ErrKeyBinding,
			make: func(t *testing.T, d *device, b *attest.Binding) []byte {
				b.Key = d.stranger.PublicKey()
				return sign(t, d.claims, d.attestation)
			}},
		{name: "cnf kid only at first contact", binds: attest.ErrKeyNotCarried,
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				kid := d.teep.PublicKey().Thumbprint()
				d.claims.Confirmation = attest.Confirmation{KeyID: kid[:]}
				return sign(t, d.claims, d.attestation)
			}},
		{name: "ueid of another device", binds: attest.ErrDevice,
			make: func(t *testing.T, d *device, b *attest.Binding) []byte {
				b.UEID, b.Registered = append([]byte{1}, make([]byte, 16)...), true
				return sign(t, d.claims, d.attestation)
			}},

		{name: "duplicate claims", fails: attest.ErrClaims, reason: "duplicate map key",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				payload, err := attest.EncodeClaims(d.claims)
				if err != nil {
					t.Fatal(err)
				}
				payload[0]++
				token, err := cosekit.Sign1(d.attestation, append(payload, 10, 0x48, 1, 2, 3, 4, 5, 6, 7, 8), cosekit.Form{Untagged: true})
				if err != nil {
					t.Fatal(err)
				}
				return token
			}},
		{name: "trailing byte", fails: attest.ErrToken, reason: "behind the end",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				return append(sign(t, d.claims, d.attestation), 0)
			}},
		{name: "unsigned", fails: attest.ErrToken, reason: "without a signature",
			make: func(t *testing.T, d *device, _ *attest.Binding) []byte {
				payload, err := attest.EncodeClaims(d.claims)
				if err != nil {
					t.Fatal(err)
				}
				return payload
			}},
		{name: "oversize", fails: attest.ErrTooLarge, reason: "at most",
			make: func(*testing.T, *device, *attest.Binding) []byte { return make([]byte, attest.MaxTokenSize+1) }},
		{name: "empty", fails: attest.ErrToken, reason: "truncated",
			make: func(*testing.T, *device, *attest.Binding) []byte { return nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDevice(t)
			b := d.binding()
			payload := test.make(t, d, &b)
			r, err := d.appraise(t, answer(payload))
			if test.fails != nil {
				if !errors.Is(err, test.fails) || !strings.Contains(err.Error(), test.reason) || r != nil {
					t.Fatalf("got %v, want %v with %q", err, test.fails, test.reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.binds != nil {
				if r.Status != attest.Affirming {
					t.Fatalf("not affirmed: %s", r.Reason())
				}
				if err := attest.Bind(r, b); !errors.Is(err, test.binds) {
					t.Fatalf("bound with %v, want %v", err, test.binds)
				}
				return
			}
			checkRefused(t, r, b, test.value, test.reason)
		})
	}
}

var errBroken = errors.New("store is gone")

func checkRefused(t *testing.T, r *attest.Result, b attest.Binding, value int8, reason string) {
	t.Helper()
	if r.Status != attest.Contraindicated || r.Vector[0].Value != value || !strings.Contains(r.Reason(), reason) {
		t.Errorf("%s, %+v, want value %d with %q", r.Status, r.Vector[0], value, reason)
	}
	if err := r.Affirmed(); err == nil {
		t.Error("a contraindicated result is affirmed")
	}
	if signed := value == notAcceptable; signed != (r.Claims != nil) {
		t.Errorf("claims %+v of evidence that is not genuine", r.Claims)
	}
}

func TestMissingClaims(t *testing.T) {
	for name, spoil := range map[string]func(*attest.Claims){
		"ueid (256)":      func(c *attest.Claims) { c.UEID = nil },
		"oemid (258)":     func(c *attest.Claims) { c.OEMID = nil },
		"hwmodel (259)":   func(c *attest.Claims) { c.HWModel = nil },
		"hwversion (260)": func(c *attest.Claims) { c.HWVersion = "" },
		"manifests (272)": func(c *attest.Claims) { c.Manifests = nil },
		"cnf (8)":         func(c *attest.Claims) { c.Confirmation = attest.Confirmation{} },
	} {
		d := newDevice(t)
		spoil(d.claims)
		r, err := d.appraise(t, answer(sign(t, d.claims, d.attestation)))
		if err != nil {
			t.Fatal(err)
		}
		checkRefused(t, r, d.binding(), notAcceptable, "required claim missing: "+name)
	}
}

func TestTruncatedEvidence(t *testing.T) {
	d := newDevice(t)
	payload := sign(t, d.claims, d.attestation)
	for n := range payload {
		if r, err := d.appraise(t, answer(payload[:n])); err == nil {
			t.Fatalf("cut at %d: %+v", n, r)
		}
	}
}

func TestFormats(t *testing.T) {
	d := newDevice(t)
	e := answer(sign(t, d.claims, d.attestation))
	for format, reads := range map[string]bool{
		attest.EvidenceMediaType:                                      true,
		"application/eat+cwt; eat_profile=urn:ietf:rfc:rfc9711":       true,
		"application/eat+cwt":                                         true,
		"application/eat+cwt; eat_profile=urn:ietf:rfc:rfcXXXX":       false,
		"application/eat+cwt; eat_profile=tag:example.com,2026:other": false,
		"application/eat+jwt":                                         false,
		"":                                                            false,
		"eat":                                                         false,
	} {
		e.Format = format
		r, err := d.appraise(t, e)
		if reads != (err == nil) || !reads && (!errors.Is(err, attest.ErrFormat) || r != nil) {
			t.Errorf("%q: %v", format, err)
		}
	}
}

func TestTimestampFreshness(t *testing.T) {
	d := newDevice(t)
	d.claims.Nonce = nil
	e := answer(sign(t, d.claims, d.attestation))
	e.Challenge = nil
	r, err := d.appraise(t, e)
	if err != nil || r.Status != attest.Affirming {
		t.Fatalf("%+v, %v", r, err)
	}
	d.claims.IssuedAt = time.Time{}
	e.Payload = sign(t, d.claims, d.attestation)
	if r, err = d.appraise(t, e); err != nil {
		t.Fatal(err)
	}
	checkRefused(t, r, d.binding(), notAcceptable, "no iat")
}

// es256 signs as the polymorphic ES256 of older agents.
type es256 struct{ cosekit.Signer }

func (es256) Algorithm() cosekit.Algorithm { return cosekit.LegacyES256 }

func TestLegacyAlgorithms(t *testing.T) {
	d := newDevice(t)
	seed := sha256.Sum256([]byte("attestation key"))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed[:])
	if err != nil {
		t.Fatal(err)
	}
	signer, err := cosekit.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	d.keys.store, err = d.keys.store.With(anchor.Anchor{Key: signer.PublicKey(), Purposes: []anchor.Purpose{anchor.Attester}})
	if err != nil {
		t.Fatal(err)
	}
	e := answer(sign(t, d.claims, es256{signer}))
	r, err := d.appraise(t, e)
	if err != nil {
		t.Fatal(err)
	}
	checkRefused(t, r, d.binding(), notGenuine, "algorithm not acceptable")
	d.options.Legacy = cosekit.AllowLegacy
	if r, err = d.appraise(t, e); err != nil || r.Status != attest.Affirming {
		t.Fatalf("%+v, %v", r, err)
	}
}

func TestDefaultClock(t *testing.T) {
	d := newDevice(t)
	d.claims.Expires = time.Unix(0, 0)
	d.options.Clock = nil
	r, err := d.appraise(t, answer(sign(t, d.claims, d.attestation)))
	if err != nil {
		t.Fatal(err)
	}
	checkRefused(t, r, d.binding(), notAcceptable, "evidence expired")
}
