package local

import (
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// bundle makes a bound bundle of a PSA token with whatever in it.
type bundle struct {
	inner  string // format of the evidence
	claims map[int]any
	set    []byte // instead of the claims, where not nil
	nonce  []byte // instead of the digest of the set, where not nil
	token  func(nonce []byte) []byte
}

func (b bundle) make(t *testing.T) []byte {
	t.Helper()
	set := b.set
	if set == nil {
		set = cosekit.MustMarshal(b.claims)
	}
	nonce := b.nonce
	if nonce == nil {
		var err error
		if nonce, err = evidence.BindingDigest(localtest.PSAFormat, set); err != nil {
			t.Fatal(err)
		}
	}
	payload, err := evidence.EncodeBundle(set, b.token(nonce))
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func TestBadBundles(t *testing.T) {
	device := localtest.NewPSA(deviceName)
	without := func(labels ...int) func(b *bundle) {
		return func(b *bundle) { localtest.Without(labels...)(b.claims) }
	}
	for _, test := range []struct {
		name   string
		spoil  func(b *bundle)
		reason string
		result bool // whether there is one, which does not bind
	}{
		{"digest of another claims set", func(b *bundle) { b.nonce = make([]byte, 32) }, "not the digest of the claims set", false},
		{"the challenge as nonce", func(b *bundle) { b.nonce = challenge }, "not the digest of the claims set", false},
		{"SHA-512 where SHA-256 is due", func(b *bundle) { b.nonce = make([]byte, 64) }, "not the digest of the claims set", false},
		{"a bundle in a bundle", func(b *bundle) { b.inner = evidence.BundleFormat(localtest.PSAFormat) }, "in a bound bundle", false},
		{"an EAT in a bundle", func(b *bundle) { b.inner = attest.EvidenceMediaType }, "in a bound bundle", false},
		{"another format than it says", func(b *bundle) { b.inner = localtest.CCAFormat }, "CCA token", false},
		{"another profile than it says", func(b *bundle) { b.inner = `application/eat-cwt; profile="http://arm.com/psa/2.0.0"` }, "media type has", false},
		{"no format", func(b *bundle) { b.inner = "" }, "format of the inner evidence", false},
		{"missing cnf", without(8), "needs cnf (8)", false},
		{"missing ueid", without(256), "ueid (256)", false},
		{"missing nonce", without(10), "no eat_nonce", true},
		{"other challenge", func(b *bundle) { b.claims[10] = make([]byte, 32) }, "not our challenge", true},
		{"array of nonces", func(b *bundle) { b.claims[10] = []any{challenge} }, "array of nonces", false},
		{"expired", func(b *bundle) { b.claims[4] = now.Add(-skew).Unix() }, "expired", true},
		{"not yet valid", func(b *bundle) { b.claims[5] = now.Add(skew + time.Second).Unix() }, "not yet valid", true},
		{"too old", func(b *bundle) { b.claims[6] = now.Add(-time.Hour).Unix() }, "not fresh", true},
		{"other agent's cnf", func(b *bundle) {
			b.claims[8] = map[int]any{1: localtest.NewKey(localtest.P256, "other").COSE().PublicKey()}
		}, "does not vouch", true},
		{"duplicate claims", func(b *bundle) {
			b.set = append(cosekit.MustMarshal(b.claims), 10, 0x48, 1, 2, 3, 4, 5, 6, 7, 8)
			b.set[0]++
		}, "duplicate", false},
		{"a claims set that is none", func(b *bundle) { b.set = []byte{0x80} }, "claims not acceptable", false},
		{"no evidence", func(b *bundle) { b.token = func([]byte) []byte { return nil } }, "PSA token", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &bundle{inner: localtest.PSAFormat, claims: eatClaims(teepKey, challenge), token: func(nonce []byte) []byte { return device.Token(nonce) }}
			test.spoil(b)
			trust := &localtest.Trust{}
			trust.Publish(now, device.Published("psa"))
			binding := attest.Binding{Challenge: challenge, Key: teepKey.PublicKey(), Now: now, MaxAge: time.Minute, Skew: skew}
			r, err := judge(trust, attest.Evidence{Format: evidence.BundleFormat(b.inner), Payload: b.make(t), Challenge: challenge}, binding)
			if err == nil || !strings.Contains(err.Error(), test.reason) || test.result != (r != nil) {
				t.Fatalf("%v, want %q; %+v", err, test.reason, r)
			}
		})
	}
}

// Under timestamp freshness the time of the claims set counts, to which the hardware commits.
func TestBundleWithoutChallenge(t *testing.T) {
	device, trust := localtest.NewPSA(deviceName), &localtest.Trust{}
	trust.Publish(now, device.Published("psa"))
	for age, fresh := range map[time.Duration]bool{0: true, time.Hour: false} {
		b := bundle{claims: eatClaims(teepKey, nil), token: func(nonce []byte) []byte { return device.Token(nonce) }}
		delete(b.claims, 10)
		b.claims[6] = now.Add(-age).Unix()
		_, err := judge(trust, attest.Evidence{Format: evidence.BundleFormat(localtest.PSAFormat), Payload: b.make(t)},
			attest.Binding{Key: teepKey.PublicKey(), Now: now, MaxAge: time.Minute, Skew: skew})
		if fresh != (err == nil) {
			t.Errorf("%s old: %v", age, err)
		}
	}
}

// The claims of the hardware and those that software chose stay apart.
func TestBundleDocument(t *testing.T) {
	device := localtest.NewPSA(deviceName)
	trust := &localtest.Trust{}
	trust.Publish(now, device.Published("psa"))
	claims := eatClaims(teepKey, challenge)
	lie := bundle{token: func(nonce []byte) []byte { return device.Token(nonce) }}
	set := map[any]any{"evidence": "good", "psa-security-lifecycle": "secured for ever"}
	for label, value := range claims {
		set[label] = value
	}
	lie.set = cosekit.MustMarshal(set)
	device.Lifecycle = 0x4000
	r, err := judge(trust, attest.Evidence{Format: evidence.BundleFormat(localtest.PSAFormat), Payload: lie.make(t), Challenge: challenge},
		attest.Binding{Challenge: challenge, Key: teepKey.PublicKey(), Now: now, Skew: skew})
	if err == nil || !strings.Contains(err.Error(), "non-psa-rot-debug") {
		t.Errorf("a device that is debugged: %v", err)
	}
	inner, ok := r.Document["evidence"].(map[string]any)
	if !ok || inner["psa-security-lifecycle"] != "non-psa-rot-debug" {
		t.Errorf("document %+v", r.Document)
	}
}

// A certificate that names a device binds a bundle to it.
func TestBundleOfAnotherCertifiedDevice(t *testing.T) {
	device := localtest.NewPSA(deviceName)
	ca := localtest.NewCA("maker", now)
	binding := attest.Binding{Challenge: challenge, Key: teepKey.PublicKey(), Now: now, Skew: skew}
	for _, named := range [][]byte{ueid, append([]byte{1}, make([]byte, 16)...)} {
		trust := &localtest.Trust{}
		published := device.Published("psa")
		published.Keys = nil
		trust.Publish(now, published)
		trust.CAs = append(trust.CAs, ca.Certificate)
		device.Unprotected = map[int]any{33: localtest.Chain(ca.Certify("device", device.Key.Public(), named, now))}
		b := bundle{claims: eatClaims(teepKey, challenge), token: func(nonce []byte) []byte { return device.Token(nonce) }}
		r, err := judge(trust, attest.Evidence{Format: evidence.BundleFormat(localtest.PSAFormat), Payload: b.make(t), Challenge: challenge}, binding)
		if same := string(named) == string(ueid); same != (err == nil) {
			t.Errorf("certificate of %x: %v, %+v", named, err, r)
		} else if !same && !strings.Contains(err.Error(), "the hardware is certified as device") {
			t.Error(err)
		}
	}
}
