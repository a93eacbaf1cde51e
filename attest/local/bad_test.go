package local

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

var _ Trust = (*localtest.Trust)(nil)

// attester is one way for a device to attest, with the ways to spoil what it makes. A
// spoiling that the format has no place for is nil.
type attester struct {
	format string
	key    localtest.Key // that signs
	// make makes evidence of the device for the challenge. spoil changes the claims, in
	// the numbers of the format, before they are signed.
	make func(challenge []byte, spoil func(map[int]any)) []byte
	// nonce and profile are the labels of these claims, instance of the one that names
	// the device or its root of trust.
	nonce, profile, instance int
	timed                    bool // whether the claims have times
	// resign signs a changed message: the headers of the one that is signed and its
	// payload.
	resign func(evidence []byte, key localtest.Key, protected, unprotected map[int]any) []byte
	trust  *localtest.Trust
}

// payloadOf returns what a COSE_Sign1 signs.
func payloadOf(message []byte) []byte {
	token, err := evidence.ParseToken(message)
	if err != nil {
		panic(err)
	}
	return token.Payload
}

func resign(message []byte, key localtest.Key, protected, unprotected map[int]any) []byte {
	return key.Sign1(payloadOf(message), protected, unprotected)
}

const deviceName = "one"

func eatClaims(teep cosekit.Signer, challenge []byte) map[int]any {
	digest := suit.SumSHA256([]byte("manifest"))
	reference := cosekit.MustMarshal(attest.ManifestRef{URI: "https://example.com/m", Digest: digest})
	return map[int]any{
		265: attest.ProfileEAT, 10: challenge, 256: ueid, 258: []byte{1, 2, 3}, 259: []byte("board"), 260: []string{"1"},
		8: map[int]any{1: teep.PublicKey()}, 6: now.Unix(),
		272: []any{[]any{attest.ContentFormatSUITReport, reference}},
	}
}

func signEAT(key localtest.Key, unprotected map[int]any, challenge []byte, spoil func(map[int]any)) []byte {
	claims := eatClaims(teepKey, challenge)
	if spoil != nil {
		spoil(claims)
	}
	return key.Sign1(cosekit.MustMarshal(claims), nil, unprotected)
}

// teepKey signs the TEEP messages of the device.
var teepKey = localtest.NewKey(localtest.Ed25519, "TEEP").COSE()

// bundled puts a format into a bound bundle.
func bundled(inner attester) attester {
	a := inner
	a.format = evidence.BundleFormat(inner.format)
	wrap := func(challenge []byte, token func(nonce []byte) []byte) []byte {
		set := cosekit.MustMarshal(eatClaims(teepKey, challenge))
		nonce, err := evidence.BindingDigest(inner.format, set)
		if err != nil {
			panic(err)
		}
		payload, err := evidence.EncodeBundle(set, token(nonce))
		if err != nil {
			panic(err)
		}
		return payload
	}
	a.make = func(challenge []byte, spoil func(map[int]any)) []byte {
		return wrap(challenge, func(nonce []byte) []byte { return inner.make(nonce, spoil) })
	}
	a.resign = func(payload []byte, key localtest.Key, protected, unprotected map[int]any) []byte {
		parts, err := cosekit.Elements(payload)
		if err != nil {
			panic(err)
		}
		set, _ := cosekit.Bytes(parts[0])
		token, _ := cosekit.Bytes(parts[1])
		changed, err := evidence.EncodeBundle(set, inner.resign(token, key, protected, unprotected))
		if err != nil {
			panic(err)
		}
		return changed
	}
	return a
}

func attesters() map[string]attester {
	eat := attester{format: attest.EvidenceMediaType, key: localtest.NewKey(localtest.P256, deviceName),
		nonce: 10, profile: 265, instance: 256, timed: true, resign: resign}
	thumb := eat.key.COSE().PublicKey().Thumbprint()
	eat.trust = &localtest.Trust{}
	eat.trust.Register(eat.key.COSE().PublicKey())
	eat.make = func(challenge []byte, spoil func(map[int]any)) []byte {
		return signEAT(eat.key, map[int]any{4: thumb[:]}, challenge, spoil)
	}

	certified := eat
	ca := localtest.NewCA("maker", now)
	certified.trust = &localtest.Trust{CAs: []*x509.Certificate{ca.Certificate}}
	chain := localtest.Chain(ca.Certify(deviceName, eat.key.Public(), ueid, now))
	certified.make = func(challenge []byte, spoil func(map[int]any)) []byte {
		return signEAT(eat.key, map[int]any{33: chain}, challenge, spoil)
	}

	psa := localtest.NewPSA(deviceName)
	psa1 := attester{format: localtest.PSA1Format, key: psa.Key, nonce: -75008, profile: -75000, instance: -75009,
		trust: &localtest.Trust{}, resign: resign}
	psa1.trust.Publish(now, psa.Published("psa"))
	psa1.make = func(challenge []byte, spoil func(map[int]any)) []byte { return psa.Token1(challenge, edits(spoil)...) }
	psa2 := psa1
	psa2.format, psa2.nonce, psa2.profile, psa2.instance = localtest.PSAFormat, 10, 265, 256
	psa2.make = func(challenge []byte, spoil func(map[int]any)) []byte { return psa.Token(challenge, edits(spoil)...) }

	cca := localtest.NewCCA(deviceName)
	realm := attester{format: localtest.CCAFormat, key: cca.Platform.Key, nonce: 10, profile: 265, instance: 256, trust: &localtest.Trust{}}
	realm.trust.Publish(now, cca.Published("cca"))
	realm.make = func(challenge []byte, spoil func(map[int]any)) []byte {
		// The nonce is the realm's, all else the platform's.
		return cca.Token(challenge, func(c map[int]any) {
			commitment := c[10]
			if spoil != nil {
				spoil(c)
			}
			c[10] = commitment
		}, func(c map[int]any) {
			profile := c[265]
			if spoil != nil {
				spoil(c)
			}
			c[265] = profile
			delete(c, 256)
		})
	}
	realm.resign = func(payload []byte, key localtest.Key, protected, unprotected map[int]any) []byte {
		token, err := evidence.ParseCCA(attest.MediaType{}, payload)
		if err != nil {
			panic(err)
		}
		realmToken := cca.RealmKey.Sign1(token.RealmToken.Payload, nil, nil)
		return cca.Collect(key.Sign1(token.PlatformToken.Payload, protected, unprotected), realmToken)
	}

	return map[string]attester{
		"EAT by kid": eat, "EAT by x5chain": certified, "PSA 1": psa1, "PSA 2": psa2, "CCA": realm,
		"bundled PSA 1": bundled(psa1), "bundled PSA 2": bundled(psa2), "bundled CCA": bundled(realm),
	}
}

func edits(spoil func(map[int]any)) []func(map[int]any) {
	if spoil == nil {
		return nil
	}
	return []func(map[int]any){spoil}
}

// judge brings evidence before a TAM that knows what trust has, as a TAM does: routed,
// appraised, bound.
func judge(trust Trust, e attest.Evidence, b attest.Binding) (*attest.Result, error) {
	v := New(trust, Options{Clock: func() time.Time { return now }, Skew: skew, Legacy: cosekit.AllowLegacy})
	router := evidence.NewRouter(evidence.Route{Name: Name, Accepts: Accepts, Verifier: v})
	r, err := router.Appraise(context.Background(), e)
	if err != nil {
		return nil, err
	}
	if err := attest.Bind(r, b); err != nil {
		return r, err
	}
	return r, r.Affirmed()
}

// bindingOf is what the TAM knows: of evidence without cnf and ueid only what it has
// registered before.
func bindingOf(name string, a attester) attest.Binding {
	b := attest.Binding{Challenge: challenge, Key: teepKey.PublicKey(), Now: now, MaxAge: time.Minute, Skew: skew}
	if name == "PSA 1" || name == "PSA 2" || name == "CCA" {
		reading, err := evidence.Read(a.format, a.make(challenge, nil))
		if err != nil {
			panic(err)
		}
		b.Registered, b.AttestationKey, b.UEID = true, reading.Hardware, ueid
	}
	return b
}

func TestGoodEvidence(t *testing.T) {
	for name, a := range attesters() {
		t.Run(name, func(t *testing.T) {
			r, err := judge(a.trust, attest.Evidence{Format: a.format, Payload: a.make(challenge, nil), Challenge: challenge}, bindingOf(name, a))
			if err != nil {
				t.Fatalf("%v; %+v", err, r)
			}
			for _, e := range r.Vector {
				if e.Reason == "" {
					t.Errorf("element %+v without a reason", e)
				}
			}
			if len(r.Vector)%len(attest.ElementNames) != 0 || r.Document == nil || r.AttestationKey == (cosekit.Thumbprint{}) {
				t.Errorf("result %+v", r)
			}
		})
	}
}

// crossing is one kind of bad evidence, made of any good one.
type crossing struct {
	name string
	// make returns the evidence; nil for a format that cannot be bad in this way.
	make   func(a attester, b *attest.Binding) []byte
	reason string // in the error or the reasons of the vector
	fails  bool   // whether the appraisal ends without a result
}

func badEvidence() []crossing {
	other := bytes.Repeat([]byte{0x77}, 32)
	stranger := localtest.NewKey(localtest.P256, "stranger")
	setTime := func(label int, at time.Time) func(a attester, _ *attest.Binding) []byte {
		return func(a attester, _ *attest.Binding) []byte {
			if !a.timed {
				return nil
			}
			return a.make(challenge, func(c map[int]any) { c[label] = at.Unix() })
		}
	}
	return []crossing{
		{name: "wrong signer", reason: "signature does not verify", make: func(a attester, _ *attest.Binding) []byte {
			return a.resign(a.make(challenge, nil), a.sibling(), nil, a.headers())
		}},
		{name: "signer that nobody knows", reason: "not registered|no attestation key is endorsed|names no key", make: func(a attester, _ *attest.Binding) []byte {
			a.trust.Base, a.trust.CAs, a.trust.Anchors = nil, nil, nil
			return a.resign(a.make(challenge, nil), stranger, nil, nil)
		}},
		{name: "expired", reason: "expired", make: setTime(4, now.Add(-skew))},
		{name: "not yet valid", reason: "not yet valid", make: setTime(5, now.Add(skew+time.Second))},
		{name: "wrong nonce", reason: "nonce is not", make: func(a attester, _ *attest.Binding) []byte { return a.make(other, nil) }},
		{name: "no nonce", reason: "missing|eat_nonce", make: func(a attester, _ *attest.Binding) []byte {
			return a.make(challenge, localtest.Without(a.nonce))
		}},
		{name: "array nonce", reason: "array", fails: true, make: func(a attester, _ *attest.Binding) []byte {
			return a.make(challenge, func(c map[int]any) { c[a.nonce] = []any{c[a.nonce], c[a.nonce]} })
		}},
		{name: "array of one nonce", reason: "array", fails: true, make: func(a attester, _ *attest.Binding) []byte {
			return a.make(challenge, func(c map[int]any) { c[a.nonce] = []any{c[a.nonce]} })
		}},
		{name: "other device's evidence", reason: "another device|on record", make: func(a attester, b *attest.Binding) []byte {
			b.Registered, b.UEID = true, append([]byte{1}, bytes.Repeat([]byte{9}, 16)...)
			b.AttestationKey = cosekit.Thumbprint{1}
			return a.make(challenge, nil)
		}},
		{name: "other agent's key", reason: "does not vouch", make: func(a attester, b *attest.Binding) []byte {
			if b.Registered {
				return nil // the format binds no key
			}
			b.Key = stranger.COSE().PublicKey()
			return a.make(challenge, nil)
		}},
		{name: "unregistered key and evidence without cnf", reason: "not registered", make: func(a attester, b *attest.Binding) []byte {
			if !b.Registered {
				return nil
			}
			b.Registered = false
			return a.make(challenge, nil)
		}},
		{name: "unknown profile", reason: "profile", make: func(a attester, _ *attest.Binding) []byte {
			return a.make(challenge, func(c map[int]any) { c[a.profile] = "tag:example.com,2026:other" })
		}},
		{name: "alg none", reason: "algorithm", make: func(a attester, _ *attest.Binding) []byte {
			return a.resign(a.make(challenge, nil), a.key, map[int]any{1: 0}, a.headers())
		}},
		{name: "no alg", reason: "alg", fails: true, make: func(a attester, _ *attest.Binding) []byte {
			return a.resign(a.make(challenge, nil), a.key, map[int]any{1: nil}, a.headers())
		}},
		{name: "HMAC under the public key", reason: "algorithm", make: func(a attester, _ *attest.Binding) []byte {
			return a.resign(a.make(challenge, nil), localtest.Key{Private: confused{a.key.Private}}, map[int]any{1: 5}, a.headers())
		}},
		{name: "another algorithm", reason: "algorithm", make: func(a attester, _ *attest.Binding) []byte {
			return a.resign(a.make(challenge, nil), a.key, map[int]any{1: -36}, a.headers())
		}},
		{name: "critical header", reason: "critical", fails: true, make: func(a attester, _ *attest.Binding) []byte {
			return a.resign(a.make(challenge, nil), a.key, map[int]any{2: []any{99}, 99: 1}, a.headers())
		}},
		{name: "oversize", reason: "at most", fails: true, make: func(attester, *attest.Binding) []byte {
			return make([]byte, evidence.MaxSize+1)
		}},
		{name: "oversize token", reason: "at most", fails: true, make: func(a attester, _ *attest.Binding) []byte {
			return a.make(challenge, func(c map[int]any) { c[70000] = make([]byte, attest.MaxTokenSize) })
		}},
		{name: "trailing byte", reason: "behind", fails: true, make: func(a attester, _ *attest.Binding) []byte {
			return append(a.make(challenge, nil), 0)
		}},
		{name: "empty", reason: "", fails: true, make: func(attester, *attest.Binding) []byte { return []byte{} }},
	}
}

// headers are the unprotected headers that the attester's tokens have.
func (a attester) headers() map[int]any {
	payload := a.make(challenge, nil)
	token, err := evidence.ParseToken(payload)
	if err != nil {
		return nil
	}
	headers := map[int]any{}
	if token.KeyID != nil {
		headers[4] = token.KeyID
	}
	if token.Chain != nil {
		headers[33] = token.Chain[0]
	}
	return headers
}

// sibling is another key of the same kind as the attester's.
func (a attester) sibling() localtest.Key {
	return localtest.NewKey(a.key.Public().(*ecdsa.PublicKey).Params().Name, "stranger")
}

// confused "signs" with HMAC under the bytes of the public key, which everybody knows.
type confused struct{ crypto.Signer }

func (c confused) Sign(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(c.Public())
	if err != nil {
		return nil, err
	}
	h := hmac.New(sha256.New, der)
	h.Write(message)
	return h.Sum(nil), nil
}

func TestBadEvidenceOfEveryFormat(t *testing.T) {
	for _, bad := range badEvidence() {
		for name := range attesters() {
			t.Run(bad.name+"/"+name, func(t *testing.T) {
				a := attesters()[name]
				b := bindingOf(name, a)
				payload := bad.make(a, &b)
				if payload == nil {
					return
				}
				r, err := judge(a.trust, attest.Evidence{Format: a.format, Payload: payload, Challenge: challenge}, b)
				checkNeverTrusted(t, bad, r, err)
			})
		}
	}
}

func checkNeverTrusted(t *testing.T, bad crossing, r *attest.Result, err error) {
	t.Helper()
	if err == nil {
		t.Fatalf("trusted: %+v", r)
	}
	if bad.fails && r != nil {
		t.Errorf("a result %+v, want none", r)
	}
	told := err.Error()
	if r != nil {
		told += " " + r.Reason()
	}
	for _, reason := range strings.Split(bad.reason, "|") {
		if strings.Contains(told, reason) {
			return
		}
	}
	t.Errorf("refused with %q, want %q", told, bad.reason)
}

func TestLookUpFails(t *testing.T) {
	for name, a := range attesters() {
		e := attest.Evidence{Format: a.format, Payload: a.make(challenge, nil), Challenge: challenge}
		a.trust.Fault = errBroken
		if r, err := judge(a.trust, e, bindingOf(name, a)); !errors.Is(err, errBroken) || r != nil {
			t.Errorf("%s: %v, %+v", name, err, r)
		}
	}
}

// Every cut of good evidence is refused, and so is every change of one bit that is
// signed.
func TestSpoiltBytes(t *testing.T) {
	for name, a := range attesters() {
		payload := a.make(challenge, nil)
		e := attest.Evidence{Format: a.format, Challenge: challenge}
		b := bindingOf(name, a)
		for n := range payload {
			e.Payload = payload[:n]
			if r, err := judge(a.trust, e, b); err == nil || r != nil {
				t.Fatalf("%s cut at %d: %v, %+v", name, n, err, r)
			}
		}
		step := 1
		if testing.Short() || len(payload) > 1024 {
			step = 17 // a signature on P-384 costs ten on P-256
		}
		for i := 0; i < len(payload); i += step {
			e.Payload = bytes.Clone(payload)
			e.Payload[i] ^= 1 << (i % 8)
			if r, err := judge(a.trust, e, b); err == nil && !sameContent(payload, e.Payload) {
				t.Fatalf("%s changed at %d: %+v", name, i, r)
			}
		}
	}
}

// sameContent reports whether a change is in a part that nothing signs: a tag, or an
// unprotected header.
func sameContent(good, changed []byte) bool {
	a, errA := evidence.ParseToken(good)
	b, errB := evidence.ParseToken(changed)
	return errA == nil && errB == nil && bytes.Equal(a.Payload, b.Payload)
}
