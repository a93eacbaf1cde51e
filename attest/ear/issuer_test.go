package ear

import (
	"bytes"
	"crypto"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

func appraised() *attest.Result {
	ref := attest.ManifestRef{URI: "https://example.com/m", Digest: suit.SumSHA256([]byte("manifest"))}
	return &attest.Result{
		Status: attest.Affirming,
		Vector: []attest.Element{
			{Name: attest.InstanceIdentity, Value: 2, Reason: "registered"},
			{Name: attest.Executables, Value: 3, Reason: "as in the CoRIM"},
			{Name: attest.Hardware, Reason: "no claim"},
		},
		Claims: &attest.Claims{
			Profile: attest.ProfileEAT, Nonce: challenge, UEID: ueid, OEMID: []byte{0x43, 1, 2, 3},
			HWModel: []byte("board"), HWVersion: "1", IssuedAt: now.Add(-time.Minute), Expires: now.Add(time.Minute),
			Confirmation:   attest.Confirmation{Key: testSigner(1).PublicKey()},
			Manifests:      []attest.ManifestRef{ref},
			OtherManifests: []attest.ContentEntry{{ContentFormat: 258, Body: cosekit.MustMarshal([]byte("coswid"))}},
			Measurements: []attest.Measurement{{Manifest: ref, Components: []suit.PropertyClaims{
				{Component: suit.ComponentID{[]byte("app")}, ImageDigest: &ref.Digest},
			}}},
			Unknown: map[int64]cosekit.RawMessage{-70001: {0x01}},
		},
	}
}

func issuer(t testing.TB, f Form, key crypto.Signer) *Issuer {
	t.Helper()
	signer, err := cosekit.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return &Issuer{
		Signer: signer, Form: f, Lifetime: time.Hour, Clock: func() time.Time { return now },
		Developer: "https://tam.example", Build: "1.0",
	}
}

// TestIssue verifies what was issued, and wants what was passed on and nothing else.
func TestIssue(t *testing.T) {
	for _, alg := range []string{"ES256", "EdDSA"} {
		for _, f := range []Form{FormTEEP, FormCWT, FormJWT} {
			key := testKeys()[alg]
			payload, err := issuer(t, f, key).Issue(appraised())
			if err != nil {
				t.Fatal(err)
			}
			if !attest.IsResult(payload.Format) {
				t.Errorf("%s is no format of a result", payload.Format)
			}
			o := options()
			o.Keys = []Key{{Public: key.Public()}}
			r, err := Verify(payload.Format, payload.Payload, o)
			if err != nil {
				t.Fatalf("form %d, %s: %v", f, alg, err)
			}
			if err := believe(r); err != nil {
				t.Errorf("form %d: %v", f, err)
			}
			want, c := appraised().Claims, r.Claims
			if !bytes.Equal(c.Nonce, want.Nonce) || !bytes.Equal(c.UEID, want.UEID) || !bytes.Equal(c.OEMID, want.OEMID) ||
				!bytes.Equal(c.HWModel, want.HWModel) || c.HWVersion != want.HWVersion ||
				!slices.EqualFunc(c.Manifests, want.Manifests, func(a, b attest.ManifestRef) bool { return a.URI == b.URI }) || len(c.OtherManifests) != 1 {
				t.Errorf("form %d: claims %+v", f, c)
			}
			if c.Measurements != nil || c.Unknown != nil {
				t.Errorf("form %d: more was passed on than is anybody's business: %+v", f, c)
			}
			if (c.Confirmation.Key != nil) != (f == FormTEEP) {
				t.Errorf("form %d: cnf %+v", f, c.Confirmation)
			}
			if !r.Expires.Equal(now.Add(time.Hour)) || !r.AppraisedAt.Equal(now) {
				t.Errorf("form %d: from %s to %s", f, r.AppraisedAt, r.Expires)
			}
			if i := slices.IndexFunc(r.Vector, func(e attest.Element) bool { return e.Name == attest.Executables }); f != FormTEEP && r.Vector[i].Value != 3 {
				t.Errorf("form %d: vector %+v", f, r.Vector)
			}
			o.Now = now.Add(time.Hour + skew)
			if _, err := Verify(payload.Format, payload.Payload, o); !errors.Is(err, attest.ErrExpired) {
				t.Errorf("form %d, after its lifetime: %v", f, err)
			}
			o.Now, o.Keys = now, options().Keys
			o.Keys[0].Public = testKeys()["stranger"].Public()
			if _, err := Verify(payload.Format, payload.Payload, o); !errors.Is(err, ErrSignature) {
				t.Errorf("form %d, under another key: %v", f, err)
			}
		}
	}
}

// TestPassport: another TAM can bind a result in the TEEP profile at first contact.
func TestPassport(t *testing.T) {
	payload, err := issuer(t, FormTEEP, testKeys()["ES256"]).Issue(appraised())
	if err != nil {
		t.Fatal(err)
	}
	r, err := Verify(payload.Format, payload.Payload, options())
	if err != nil {
		t.Fatal(err)
	}
	b := binding()
	b.Registered, b.UEID, b.Challenge = false, nil, nil
	if err := attest.Bind(r, b); err != nil {
		t.Error(err)
	}
	b.Key = testSigner(2).PublicKey()
	if err := attest.Bind(r, b); !errors.Is(err, attest.ErrKeyBinding) {
		t.Errorf("another agent's message: %v", err)
	}
}

func TestIssueRefuses(t *testing.T) {
	for name, spoil := range map[string]func(*attest.Result, *Issuer){
		"attestation not affirmed: contraindicated": func(r *attest.Result, _ *Issuer) { r.Vector[1].Value = 96 },
		"attestation not affirmed: ":                func(r *attest.Result, _ *Issuer) { r.Status = attest.None },
		"no verified claims":                        func(r *attest.Result, _ *Issuer) { r.Claims = nil },
		"cnf (8)":                                   func(r *attest.Result, i *Issuer) { r.Claims.Confirmation, i.Form = attest.Confirmation{}, FormTEEP },
		"ueid (256)":                                func(r *attest.Result, i *Issuer) { r.Claims.UEID, i.Form = nil, FormTEEP },
		"form 7":                                    func(_ *attest.Result, i *Issuer) { i.Form = 7 },
		"nothing that AR4SI": func(r *attest.Result, _ *Issuer) {
			r.Vector = []attest.Element{{Submod: "A", Name: "own", Value: 2}, {Submod: "B", Name: attest.Hardware, Value: 2}}
		},
	} {
		for _, f := range []Form{FormCWT, FormJWT} {
			r, i := appraised(), issuer(t, f, testKeys()["ES256"])
			spoil(r, i)
			if payload, err := i.Issue(r); !errors.Is(err, ErrIssue) || payload != nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %+v, %v", name, payload, err)
			}
		}
	}
}

// TestIssueSubmods keeps the attesters of a composite device apart.
func TestIssueSubmods(t *testing.T) {
	for _, f := range []Form{FormCWT, FormJWT} {
		r := appraised()
		r.Vector = []attest.Element{
			{Submod: "realm", Name: attest.InstanceIdentity, Value: 2},
			{Submod: "platform", Name: attest.InstanceIdentity, Value: 2},
			{Submod: "platform", Name: attest.Hardware, Value: 2},
		}
		payload, err := issuer(t, f, testKeys()["ES256"]).Issue(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Verify(payload.Format, payload.Payload, options())
		if err != nil {
			t.Fatal(err)
		}
		if err := believe(back); err != nil {
			t.Error(err)
		}
		if len(back.Vector) != 16 || back.Vector[0].Submod != "platform" || back.Vector[8].Submod != "realm" {
			t.Errorf("vector %+v", back.Vector)
		}
	}
}
