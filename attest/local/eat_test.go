package local

import (
	"reflect"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
	"github.com/tamarack-tam/tamarack/suit/author"
)

// A detached EAT bundle is as good as the signature on its main token, which has the
// digests of the claims sets beside it.
func TestDetachedEAT(t *testing.T) {
	key := localtest.NewKey(localtest.P256, deviceName)
	set := cosekit.MustMarshal(map[int]any{259: []byte("modem")})
	digest := suit.SumSHA256(set)
	thumb := key.COSE().PublicKey().Thumbprint()
	token := signEAT(key, map[int]any{4: thumb[:]}, challenge, func(c map[int]any) {
		c[266] = map[string]any{"modem": []any{-16, digest.Bytes}}
	})
	trust := &localtest.Trust{}
	e := attest.Evidence{Format: "application/eat-bun+cbor", Challenge: challenge,
		Payload: cosekit.MustMarshal([]any{cosekit.RawMessage(token), map[string]any{"modem": set}})}
	binding := attest.Binding{Challenge: challenge, Key: teepKey.PublicKey(), Now: now, Skew: skew}
	if r, err := judge(trust, e, binding); err == nil {
		t.Errorf("signed by nobody known: %+v", r)
	}
	trust.Register(key.COSE().PublicKey())
	r, err := judge(trust, e, binding)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"modem": map[string]any{"hwmodel": "6d6f64656d"}}
	if !reflect.DeepEqual(r.Document["submods"], want) || string(r.Claims.UEID) != string(ueid) {
		t.Errorf("document %+v", r.Document)
	}
	other := cosekit.MustMarshal(map[int]any{259: []byte("Modem")})
	e.Payload = cosekit.MustMarshal([]any{cosekit.RawMessage(token), map[string]any{"modem": other}})
	if r, err := judge(trust, e, binding); err == nil || r != nil {
		t.Errorf("another claims set: %+v", r)
	}
}

// A key that a CoRIM file endorses for a ueid signs for that device and for no other.
func TestEndorsedEATKey(t *testing.T) {
	key := localtest.NewKey(localtest.P256, deviceName)
	trust := &localtest.Trust{}
	published := localtest.NewPSA(deviceName).Published("keys")
	published.References, published.Keys[0].Environment.ClassID.Kind = nil, ""
	published.Keys[0].Environment.Instance.Value, published.Keys[0].Public = ueid, key.Public()
	trust.Publish(now, published)
	token := func(spoil func(map[int]any)) attest.Evidence {
		return attest.Evidence{Format: attest.EvidenceMediaType, Payload: signEAT(key, nil, challenge, spoil), Challenge: challenge}
	}
	binding := attest.Binding{Challenge: challenge, Key: teepKey.PublicKey(), Now: now, Skew: skew}
	if _, err := judge(trust, token(nil), binding); err != nil {
		t.Error(err)
	}
	other := func(c map[int]any) { c[256] = append([]byte{1}, make([]byte, 16)...) }
	if r, err := judge(trust, token(other), binding); err == nil || r.Claims != nil {
		t.Errorf("for another device: %v, %+v", err, r)
	}
}

// A release and what attests to it are one act: the reference values that are made of a
// manifest are those that a device with the release measures.
func TestReleaseAttests(t *testing.T) {
	publisher := localtest.NewKey(localtest.Ed25519, "publisher").COSE()
	description, err := author.Parse([]byte(`
components:
  - {id: app/motd, payload: {content: "welcome"}}
sequence-number: 7
vendor-domain: example.com
class-info: board
`))
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := author.Sign(description, publisher)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := envelope.Encode(true)
	if err != nil {
		t.Fatal(err)
	}
	statements, err := corim.FromManifest(raw, corim.ManifestOptions{Publishers: suit.KeyList{publisher.PublicKey()}})
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]int8{"welcome": approved, "Welcome": contraindicated} {
		d := newDevice(t)
		vendor := author.VendorID("example.com")
		d.claims.OEMID = cosekit.MustMarshal(vendor[:])
		image := suit.SumSHA256([]byte(content))
		d.claims.Measurements[0].Components = []suit.PropertyClaims{
			{Component: suit.ComponentID{[]byte("app"), []byte("motd")}, ImageDigest: &image},
		}
		trust := &localtest.Trust{}
		trust.Register(d.attestation.PublicKey())
		trust.Publish(now, statements)
		r := resultOf(t, trust, attest.EvidenceMediaType, sign(t, d.claims, d.attestation))
		if got := valuesOf(r, "")[attest.Executables]; got != want {
			t.Errorf("%s: executables %d, want %d: %+v", content, got, want, r.Comparisons)
		}
	}
}
