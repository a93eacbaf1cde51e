package local

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/devices/anchor"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// registerFor registers the keys of a device for formats.
func registerFor(t *testing.T, trust *localtest.Trust, key localtest.Key, formats ...anchor.Format) *cosekit.PublicKey {
	t.Helper()
	public, err := cosekit.NewPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	trust.Anchors = []anchor.Anchor{{Key: public, Purposes: []anchor.Purpose{anchor.Attester}, Constraints: anchor.Constraints{Formats: formats}}}
	return public
}

// TestKeysSpeakInTheirFormats has a key that was registered for some formats sign each of
// them: one that is kept by software must not pass for a root of trust or a TPM.
func TestKeysSpeakInTheirFormats(t *testing.T) {
	d := localtest.NewPSA(deviceName)
	tpm := localtest.NewTPM(d.Key.Private)
	quote, err := tpm.Quote(challenge)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := quote.Encode()
	if err != nil {
		t.Fatal(err)
	}
	cca := localtest.NewCCA(deviceName)
	cca.Platform.Key = d.Key
	public, err := cosekit.NewPublicKey(d.Key.Public())
	if err != nil {
		t.Fatal(err)
	}
	name := public.Thumbprint()
	d.InstanceID = append([]byte{1}, name[:]...)
	cca.Platform.InstanceID = d.InstanceID
	evidence := map[anchor.Format]attest.Evidence{
		anchor.FormatEAT: {Format: attest.EvidenceMediaType, Payload: signEAT(d.Key, map[int]any{4: name[:]}, challenge, nil)},
		anchor.FormatPSA: {Format: localtest.PSAFormat, Payload: d.Token(challenge)},
		anchor.FormatCCA: {Format: localtest.CCAFormat, Payload: cca.Token(challenge, nil, nil)},
		anchor.FormatTPM: {Format: "application/vnd.tamarack.tpm2-quote+cbor", Payload: encoded},
	}
	for _, registered := range []anchor.Format{"", anchor.FormatEAT, anchor.FormatPSA, anchor.FormatCCA, anchor.FormatTPM} {
		trust := &localtest.Trust{}
		trust.Publish(now, d.Published("psa"), cca.Published("cca"))
		trust.Base = withoutKeys(t, d, cca)
		if registered == "" {
			registerFor(t, trust, d.Key)
		} else {
			registerFor(t, trust, d.Key, registered)
		}
		for format, e := range evidence {
			want := format == registered || format == anchor.FormatEAT && registered == ""
			e.Challenge = challenge
			r, err := New(trust, Options{Clock: func() time.Time { return now }, Legacy: cosekit.AllowLegacy}).Appraise(t.Context(), e)
			if err != nil {
				t.Fatal(err)
			}
			if (r.Claims != nil) != want || !want && !strings.Contains(r.Reason(), "not for the format "+string(format)) {
				t.Errorf("registered for %q, signs %s: claims %t, %s", registered, format, r.Claims != nil, r.Reason())
			}
			for _, v := range r.Vector {
				if want && v.Name == attest.Hardware && v.Value != 0 && format != anchor.FormatTPM {
					t.Errorf("%s: hardware is %d (%s), and no maker vouches for the key", format, v.Value, v.Reason)
				}
			}
		}
	}
}

// withoutKeys are the reference values that makers have for the devices.
func withoutKeys(t *testing.T, d *localtest.PSA, cca *localtest.CCA) *corim.Base {
	t.Helper()
	trust, psa, realm := &localtest.Trust{}, d.Published("psa"), cca.Published("cca")
	psa.Keys, realm.Keys = nil, nil
	trust.Publish(now, psa, realm)
	return trust.Base
}

// TestKeysOfOthersHideNone has another signer name many keys for the instance of a device.
func TestKeysOfOthersHideNone(t *testing.T) {
	d := localtest.NewPSA(deviceName)
	junk := &corim.Unsigned{ID: "junk"}
	for i := range 3 * maxCandidates {
		junk.Keys = append(junk.Keys, corim.AttestKey{
			Environment: corim.Environment{Instance: corim.ID{Kind: corim.KindUEID, Value: d.InstanceID}},
			Public:      localtest.NewKey(localtest.P256, fmt.Sprint("junk ", i)).Public(),
		})
	}
	trust := &localtest.Trust{}
	trust.Publish(now, junk, d.Published("psa"))
	if r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge)); r.Status != attest.Affirming {
		t.Error(r.Reason())
	}
	trust.Publish(now, junk)
	registerFor(t, trust, d.Key, anchor.FormatPSA)
	name := trust.Anchors[0].Thumbprint()
	d.InstanceID = append([]byte{1}, name[:]...)
	if r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge)); r.Claims == nil {
		t.Errorf("a registered key: %s", r.Reason())
	}
}

// TestManyLevels: of many least versions the greatest is told, and some of the exact ones.
func TestManyLevels(t *testing.T) {
	var refs []corim.Reference
	for i := range 3000 {
		least, exact := uint64(i), uint64(10_000+i)
		refs = append(refs, corim.Reference{Key: "k", MinSVN: &least}, corim.Reference{Key: "k", SVN: &exact})
	}
	a := newAppraisal("")
	if !appraiseLevels(a, refs, []level{{"level", "k", 12_999}}) || !a.comparisons[0].Match {
		t.Errorf("%+v", a.comparisons)
	}
	if c := a.comparisons[0]; len(c.Expected) != maxExpected+1 || c.Expected[maxExpected] != "2999 or later" {
		t.Errorf("expected %q", c.Expected)
	}
	a = newAppraisal("")
	appraiseLevels(a, refs[:1], []level{{"level", "k", 0}})
	appraiseLevels(a, append(refs[:1:1], refs[4]), []level{{"level", "k", 1}})
	if !a.comparisons[0].Match || a.comparisons[1].Match {
		t.Errorf("%+v", a.comparisons)
	}
}

// TestManyEnvironments: an EAT may name many classes of devices, of which few are looked up;
// its own is among them.
func TestManyEnvironments(t *testing.T) {
	vendor, image := uuid.NewSHA1(uuid.NameSpaceDNS, []byte("example.com")), suit.SumSHA256([]byte("image"))
	class := uuid.NewSHA1(vendor, []byte("board"))
	trust := &localtest.Trust{}
	trust.Publish(now, &corim.Unsigned{ID: "release", References: []corim.Reference{{
		Environment: corim.Environment{ClassID: corim.ID{Kind: corim.KindUUID, Value: class[:]}},
		Key:         "app", Digests: []corim.Digest{{Algorithm: "sha-256", Value: image.Bytes}},
	}}})
	claims := &attest.Claims{OEMID: cosekit.MustMarshal(vendor[:]), HWModel: []byte("board")}
	known := releases{trust.Base, map[string]map[string][]corim.Reference{}}
	for i := range 3 * maxEnvironments {
		other := uuid.NewSHA1(class, []byte{byte(i)})
		for name, want := range map[string]bool{"app": true, "other": false} {
			measured := suit.PropertyClaims{Component: suit.ComponentID{[]byte(name)}, ImageDigest: &image}
			measured.Other.ClassID = &other
			if c := known.measureImage(claims, measured); c.Match != want {
				t.Errorf("class %d: %+v", i, c)
			}
		}
	}
	if len(known.by) != maxEnvironments {
		t.Errorf("%d environments were looked up", len(known.by))
	}
}
