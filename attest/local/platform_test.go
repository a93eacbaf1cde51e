package local

import (
	"bytes"
	"crypto/x509"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/suit"
)

// valuesOf writes the elements of a submodule that are not 0.
func valuesOf(r *attest.Result, submod string) map[string]int8 {
	values := map[string]int8{}
	for _, e := range r.Vector {
		if e.Submod == submod && e.Value != 0 {
			values[e.Name] = e.Value
		}
	}
	return values
}

// with changes some values of the vector of a good platform.
func with(change map[string]int8) map[string]int8 {
	values := map[string]int8{
		attest.InstanceIdentity: 2, attest.Configuration: 2, attest.Executables: 2, attest.Hardware: 2,
		attest.RuntimeOpaque: 2, attest.StorageOpaque: 2,
	}
	maps.Copy(values, change)
	maps.DeleteFunc(values, func(_ string, v int8) bool { return v == 0 })
	return values
}

func resultOf(t *testing.T, trust Trust, format string, payload []byte) *attest.Result {
	t.Helper()
	v := New(trust, Options{Clock: func() time.Time { return now }, Skew: skew})
	r, err := v.Appraise(t.Context(), attest.Evidence{Format: format, Payload: payload, Challenge: challenge})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestPSAVector(t *testing.T) {
	insecure := with(map[string]int8{
		attest.InstanceIdentity: 96, attest.Configuration: 96, attest.RuntimeOpaque: 32, attest.StorageOpaque: 32,
	})
	for _, test := range []struct {
		name  string
		spoil func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned)
		want  map[string]int8
		tells string
	}{
		{"good", nil, with(nil), ""},
		{"unknown lifecycle", lifecycle(0x0000), insecure, "lifecycle unknown"},
		{"assembly and test", lifecycle(0x1000), insecure, "assembly-and-test"},
		{"provisioning", lifecycle(0x2000), insecure, "psa-rot-provisioning"},
		{"debugged outside the root of trust", lifecycle(0x4001), with(map[string]int8{attest.Configuration: 32}), "can be debugged"},
		{"root of trust debugged", lifecycle(0x5000), insecure, "recoverable-psa-rot-debug"},
		{"decommissioned", lifecycle(0x6000), insecure, "decommissioned"},
		{"changed component", func(d *localtest.PSA, _ *localtest.Trust, _ *corim.Unsigned) {
			d.Components[1].Value = make([]byte, 32)
		}, with(map[string]int8{attest.Executables: 96}), "PRoT is 0000"},
		{"other signer", func(d *localtest.PSA, _ *localtest.Trust, _ *corim.Unsigned) {
			d.Components[1].Signer = make([]byte, 32)
		}, with(map[string]int8{attest.Executables: 96}), "no reference value of it"},
		{"other version", func(d *localtest.PSA, _ *localtest.Trust, _ *corim.Unsigned) {
			d.Components[0].Version = "9"
		}, with(map[string]int8{attest.Executables: 96}), "version 9"},
		{"component that nobody knows", func(d *localtest.PSA, _ *localtest.Trust, _ *corim.Unsigned) {
			d.Components[1].Type = "M9"
		}, with(map[string]int8{attest.Executables: 33}), "there is no reference value"},
		{"reference values without labels", func(_ *localtest.PSA, _ *localtest.Trust, u *corim.Unsigned) {
			for i := range u.References {
				u.References[i].Key = ""
			}
		}, with(nil), ""},
		{"no reference values", func(_ *localtest.PSA, _ *localtest.Trust, u *corim.Unsigned) {
			u.References = nil
		}, with(map[string]int8{attest.Executables: 33, attest.Hardware: 0}), "there is no reference value"},
		{"certificate of the instance", certifiedAs(func(d *localtest.PSA) []byte { return d.InstanceID }), with(map[string]int8{attest.Hardware: 0}), ""},
		{"certificate of another instance", certifiedAs(func(*localtest.PSA) []byte {
			return append([]byte{1}, make([]byte, 32)...)
		}), with(map[string]int8{attest.InstanceIdentity: notAcceptable, attest.Hardware: 0}), "the certificate is of device"},
		{"endorsed values do not compare", func(_ *localtest.PSA, _ *localtest.Trust, u *corim.Unsigned) {
			for i := range u.References {
				u.References[i].Endorsed = true
			}
		}, with(map[string]int8{attest.Executables: 33}), "there is no reference value"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, trust := localtest.NewPSA(deviceName), &localtest.Trust{}
			published := d.Published("psa")
			if test.spoil != nil {
				test.spoil(d, trust, published)
			}
			trust.Publish(now, published)
			for format, token := range map[string][]byte{localtest.PSA1Format: d.Token1(challenge), localtest.PSAFormat: d.Token(challenge)} {
				r := resultOf(t, trust, format, token)
				if got := valuesOf(r, ""); !maps.Equal(got, test.want) || !strings.Contains(r.Reason(), test.tells) {
					t.Errorf("%s: %v, want %v; %s", format, got, test.want, r.Reason())
				}
				if r.Claims == nil || r.Document["psa-instance-id"] == nil {
					t.Errorf("%s: %+v", format, r)
				}
				checkComparisons(t, r)
			}
		})
	}
}

// checkComparisons finds executables to be what the comparisons say.
func checkComparisons(t *testing.T, r *attest.Result) {
	t.Helper()
	all := len(r.Comparisons) > 0
	for _, c := range r.Comparisons {
		if c.Measured == "" || c.Name == "" || c.Match && (c.Expected == nil || c.Source == "") {
			t.Errorf("comparison %+v", c)
		}
		all = all && c.Match
	}
	i := slices.IndexFunc(r.Vector, func(e attest.Element) bool { return e.Name == attest.Executables })
	if good := r.Vector[i].Value == approved; good != all {
		t.Errorf("executables %+v, comparisons %+v", r.Vector[i], r.Comparisons)
	}
}

// certifiedAs has a device CA certify the key in place of the endorsement.
func certifiedAs(name func(*localtest.PSA) []byte) func(*localtest.PSA, *localtest.Trust, *corim.Unsigned) {
	return func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned) {
		ca := localtest.NewCA("maker", now)
		u.Keys = nil
		trust.CAs = append(trust.CAs, ca.Certificate)
		d.Unprotected = map[int]any{33: localtest.Chain(ca.Certify("device", d.Key.Public(), name(d), now))}
	}
}

// A token of 2019 may say that no software was measured. That is nothing to trust.
func TestPSANoSoftware(t *testing.T) {
	d, trust := localtest.NewPSA(deviceName), &localtest.Trust{}
	trust.Publish(now, d.Published("psa"))
	r := resultOf(t, trust, localtest.PSA1Format, d.Token1(challenge, localtest.Without(-75006), func(c map[int]any) { c[-75007] = 1 }))
	if got, want := valuesOf(r, ""), with(map[string]int8{attest.Executables: 33}); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A signature is checked with so many keys and no more.
func TestTooManyKeys(t *testing.T) {
	d := localtest.NewPSA(deviceName)
	for _, before := range []int{maxCandidates - 1, maxCandidates} {
		published, trust := d.Published("psa"), &localtest.Trust{}
		own := published.Keys
		published.Keys = nil
		for i := range before {
			other := own[0]
			other.Public = localtest.NewKey(localtest.P256, strings.Repeat("x", i)).Public()
			published.Keys = append(published.Keys, other)
		}
		published.Keys = append(published.Keys, own...)
		trust.Publish(now, published)
		r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge))
		if found := before < maxCandidates; found != (r.Claims != nil) {
			t.Errorf("after %d keys: %+v", before, r.Vector[0])
		}
	}
}

// Many releases are all good, and only some of them are told beside a value that is none.
func TestManyReferences(t *testing.T) {
	d, trust := localtest.NewPSA(deviceName), &localtest.Trust{}
	published := d.Published("psa")
	for i := range 50 {
		other := published.References[0]
		other.Digests = []corim.Digest{{Algorithm: "sha-256", Value: bytes.Repeat([]byte{byte(i)}, 32)}}
		published.References = append(published.References, other)
	}
	trust.Publish(now, published)
	d.Components[0].Value = bytes.Repeat([]byte{49}, 32)
	if r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge)); r.Status != attest.Affirming {
		t.Error(r.Reason())
	}
	d.Components[0].Value = bytes.Repeat([]byte{50}, 32)
	r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge))
	if c := r.Comparisons[0]; c.Match || len(c.Expected) != maxExpected {
		t.Errorf("%d expected values: %+v", len(c.Expected), c)
	}
}

// Whatever the format, so much is read and no more.
func TestOversizeEvidence(t *testing.T) {
	v := New(&localtest.Trust{}, Options{})
	for _, format := range []string{evidence.MediaTPM, evidence.MediaTDX, evidence.MediaSEVSNP, localtest.PSAFormat} {
		r, err := v.Appraise(t.Context(), attest.Evidence{Format: format, Payload: make([]byte, evidence.MaxSize+1), Challenge: challenge})
		if !errors.Is(err, attest.ErrTooLarge) || r != nil {
			t.Errorf("%s: %v", format, err)
		}
	}
}

// Formats without a time are good for an answer to a challenge only.
func TestNoChallenge(t *testing.T) {
	for _, name := range []string{"PSA 1", "PSA 2", "CCA"} {
		a := attesters()[name]
		for _, sent := range [][]byte{nil, {}, make([]byte, 32)} {
			r, err := New(a.trust, Options{Clock: func() time.Time { return now }}).Appraise(t.Context(),
				attest.Evidence{Format: a.format, Payload: a.make(challenge, nil), Challenge: sent})
			if err != nil || r.Affirmed() == nil || sent == nil && !strings.Contains(r.Reason(), "no time of its own") {
				t.Errorf("%s under %v: %v, %+v", name, sent, err, r)
			}
		}
	}
}

func lifecycle(state uint16) func(*localtest.PSA, *localtest.Trust, *corim.Unsigned) {
	return func(d *localtest.PSA, _ *localtest.Trust, _ *corim.Unsigned) { d.Lifecycle = state }
}

// TestPlatformHardware is about who the hardware is: the instance, where only its own key can
// say so, else the key.
func TestPlatformHardware(t *testing.T) {
	for _, test := range []struct {
		name     string
		instance bool
		vouch    func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned)
	}{
		{"endorsed for the instance", true, func(*localtest.PSA, *localtest.Trust, *corim.Unsigned) {}},
		{"endorsed for the class", false, func(_ *localtest.PSA, _ *localtest.Trust, u *corim.Unsigned) {
			u.Keys[0].Environment.Instance = corim.ID{}
		}},
		{"endorsed for another instance", false, func(d *localtest.PSA, _ *localtest.Trust, u *corim.Unsigned) {
			d.InstanceID = append([]byte{1}, bytes.Repeat([]byte{0xee}, 32)...)
			u.Keys = append(u.Keys, corim.AttestKey{Environment: corim.Environment{ClassID: u.Keys[0].Environment.ClassID}, Public: d.Key.Public()})
		}},
		{"another key endorsed for the instance", false, func(d *localtest.PSA, _ *localtest.Trust, u *corim.Unsigned) {
			u.Keys[0].Public = localtest.NewKey(localtest.P256, "of the instance").Public()
			u.Keys = append(u.Keys, corim.AttestKey{Environment: corim.Environment{ClassID: u.Keys[0].Environment.ClassID}, Public: d.Key.Public()})
		}},
		{"endorsed for class and instance", true, func(d *localtest.PSA, _ *localtest.Trust, u *corim.Unsigned) {
			class := u.Keys[0]
			class.Environment.Instance = corim.ID{}
			u.Keys = []corim.AttestKey{class, u.Keys[0]}
		}},
		{"certified for the instance", true, func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned) {
			certifyFor(d, trust, u, d.InstanceID)
		}},
		{"certified for nobody", false, func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned) {
			certifyFor(d, trust, u, nil)
		}},
		{"certified for a device", false, func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned) {
			certifyFor(d, trust, u, ueid)
		}},
		{"registered", false, func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned) {
			registerByKID(d, trust, u)
			u.Keys = nil
		}},
		{"registered, and endorsed for the instance", true, func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned) {
			registerByKID(d, trust, u)
		}},
		{"registered, the instance id is made of the key", true, func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned) {
			registerByKID(d, trust, u)
			u.Keys = nil
			d.InstanceID = append([]byte{1}, d.Unprotected[4].([]byte)...)
		}},
		{"registered, the instance id is made of another key", false, func(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned) {
			registerByKID(d, trust, u)
			u.Keys = nil
			other := localtest.NewKey(localtest.P256, "other").COSE().PublicKey()
			trust.Register(other)
			thumb := other.Thumbprint()
			d.InstanceID = append([]byte{1}, thumb[:]...)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, trust := localtest.NewPSA(deviceName), &localtest.Trust{}
			u := d.Published("psa")
			test.vouch(d, trust, u)
			trust.Publish(now, u)
			cca, ccaTrust := localtest.NewCCA(deviceName), &localtest.Trust{}
			cu := cca.Published("cca")
			test.vouch(cca.Platform, ccaTrust, cu)
			ccaTrust.Publish(now, cu)
			for _, one := range []struct {
				format  string
				payload []byte
				trust   *localtest.Trust
				key     localtest.Key
			}{
				{localtest.PSAFormat, d.Token(challenge), trust, d.Key},
				{localtest.CCAFormat, cca.Token(challenge, nil, nil), ccaTrust, cca.Platform.Key},
			} {
				reading, err := evidence.Read(one.format, one.payload)
				if err != nil {
					t.Fatal(err)
				}
				want, err := thumbprint(one.key.Public())
				if err != nil {
					t.Fatal(err)
				}
				if test.instance {
					want = reading.Hardware
				}
				r := resultOf(t, one.trust, one.format, one.payload)
				if r.Claims == nil || r.AttestationKey != want {
					t.Errorf("%s: %q, hardware %s, want %s", one.format, r.Reason(), r.AttestationKey, want)
				}
			}
		})
	}
}

// certifyFor has a device CA certify the key, in place of its maker.
func certifyFor(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned, name []byte) {
	ca := localtest.NewCA("devices", now)
	trust.CAs, u.Keys = []*x509.Certificate{ca.Certificate}, nil
	d.Unprotected = map[int]any{33: localtest.Chain(ca.Certify("device", d.Key.Public(), name, now))}
}

// registerByKID gives the device a key that can be registered, of which tokens have the
// thumbprint as kid; the maker endorses it as the one before.
func registerByKID(d *localtest.PSA, trust *localtest.Trust, u *corim.Unsigned) {
	d.Key = localtest.NewKey(localtest.P256, "registered")
	u.Keys[0].Public = d.Key.Public()
	key := d.Key.COSE().PublicKey()
	trust.Register(key)
	thumb := key.Thumbprint()
	d.Unprotected = map[int]any{4: thumb[:]}
}

// A key of a PSA device may be registered by its thumbprint, which the token names as kid
// or has in its instance id.
func TestPSARegisteredKey(t *testing.T) {
	d := localtest.NewPSA(deviceName)
	key := d.Key.COSE().PublicKey()
	thumb := key.Thumbprint()
	trust := &localtest.Trust{}
	if r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge)); r.Claims != nil || !strings.Contains(r.Reason(), "no attestation key is endorsed or registered") {
		t.Errorf("nobody knows the key: %s", r.Reason())
	}
	trust.Register(key)
	if r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge)); r.Claims != nil {
		t.Errorf("the token does not name the key: %+v", r.Vector[0])
	}
	d.Unprotected = map[int]any{4: thumb[:]}
	if r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge)); r.Vector[0].Value != recognized || r.AttestationKey != thumb {
		t.Errorf("by kid: %+v", r.Vector[0])
	}
	d.Unprotected, d.InstanceID = nil, append([]byte{1}, thumb[:]...)
	if r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge)); r.Vector[0].Value != recognized {
		t.Errorf("by instance id: %+v", r.Vector[0])
	}
	trust.Anchors[0].NotAfter = now.Add(-time.Second)
	d.Unprotected = map[int]any{4: make([]byte, 32)}
	if r := resultOf(t, trust, localtest.PSAFormat, d.Token(challenge)); r.Vector[0].Value != notTrustworthy {
		t.Errorf("its trust has ended: %+v", r.Vector[0])
	}
}

func TestCCAVector(t *testing.T) {
	goodRealm := map[string]int8{attest.InstanceIdentity: 2, attest.Executables: 2}
	for _, test := range []struct {
		name            string
		spoil           func(d *localtest.CCA, u *corim.Unsigned)
		platform, realm map[string]int8
	}{
		{"good", func(*localtest.CCA, *corim.Unsigned) {}, with(nil), goodRealm},
		{"other configuration", func(d *localtest.CCA, _ *corim.Unsigned) { d.Config = []byte{0} },
			with(map[string]int8{attest.Configuration: 96}), goodRealm},
		{"other extensible measurement", func(d *localtest.CCA, _ *corim.Unsigned) { d.Extensible[2] = make([]byte, 32) },
			with(nil), map[string]int8{attest.InstanceIdentity: 2, attest.Executables: 96}},
		{"nothing known of extensible measurements", func(_ *localtest.CCA, u *corim.Unsigned) {
			u.References = slices.DeleteFunc(u.References, func(r corim.Reference) bool { return strings.HasPrefix(r.Key, "cca.rem") })
		}, with(nil), map[string]int8{attest.InstanceIdentity: 2, attest.Executables: 3}},
		{"other personalization", func(d *localtest.CCA, _ *corim.Unsigned) { d.Personalization = make([]byte, 64) },
			with(nil), map[string]int8{attest.InstanceIdentity: 2, attest.Executables: 96}},
		{"personalization in an older file", func(_ *localtest.CCA, u *corim.Unsigned) { withoutKey(u) }, with(nil), goodRealm},
		{"other personalization than in an older file", func(d *localtest.CCA, u *corim.Unsigned) {
			d.Personalization = make([]byte, 64)
			withoutKey(u)
		}, with(nil), map[string]int8{attest.InstanceIdentity: 2, attest.Executables: 96}},
		{"realm that nobody knows", func(d *localtest.CCA, _ *corim.Unsigned) { d.Initial = make([]byte, 32) },
			with(nil), map[string]int8{attest.InstanceIdentity: 2, attest.Executables: 33}},
		{"debugged platform", func(d *localtest.CCA, _ *corim.Unsigned) { d.Platform.Lifecycle = 0x4000 },
			with(map[string]int8{attest.Configuration: 32}), goodRealm},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, trust := localtest.NewCCA(deviceName), &localtest.Trust{}
			published := d.Published("cca")
			test.spoil(d, published)
			trust.Publish(now, published)
			r := resultOf(t, trust, localtest.CCAFormat, d.Token(challenge, nil, nil))
			if got := valuesOf(r, platformSubmod); !maps.Equal(got, test.platform) {
				t.Errorf("platform %v, want %v: %s", got, test.platform, r.Reason())
			}
			if got := valuesOf(r, realmSubmod); !maps.Equal(got, test.realm) {
				t.Errorf("realm %v, want %v: %s", got, test.realm, r.Reason())
			}
		})
	}
}

// withoutKey has the personalization value as older files have it.
func withoutKey(u *corim.Unsigned) {
	for i := range u.References {
		if u.References[i].Key == corim.KeyRPV {
			u.References[i].Key = ""
		}
	}
}

// A realm speaks with the key that the platform vouches for, and with no other.
func TestRealmKey(t *testing.T) {
	good, evil := localtest.NewCCA(deviceName), localtest.NewCCA(deviceName)
	evil.RealmKey = localtest.NewKey(localtest.P384, "evil")
	trust := &localtest.Trust{}
	trust.Publish(now, good.Published("cca"))
	members := func(token []byte) []cosekit.Pair {
		pairs, err := cosekit.Pairs(token[3:])
		if err != nil {
			t.Fatal(err)
		}
		return pairs
	}
	one, two := members(good.Token(challenge, nil, nil)), members(evil.Token(challenge, nil, nil))
	mix := func(platform, realm cosekit.Pair) []byte {
		p, errP := cosekit.Bytes(platform.Value)
		r, errR := cosekit.Bytes(realm.Value)
		if errP != nil || errR != nil {
			t.Fatal(errP, errR)
		}
		return good.Collect(p, r)
	}
	if r := resultOf(t, trust, localtest.CCAFormat, mix(one[0], one[1])); r.Status != attest.Affirming {
		t.Fatal(r.Reason())
	}
	r := resultOf(t, trust, localtest.CCAFormat, mix(one[0], two[1]))
	if r.Claims != nil || !strings.Contains(r.Reason(), "does not vouch for the realm's key") {
		t.Errorf("realm of another key: %s", r.Reason())
	}
	unknown := good.Token(challenge, nil, func(c map[int]any) { c[44240] = "md5" })
	if r := resultOf(t, trust, localtest.CCAFormat, unknown); r.Claims != nil || !strings.Contains(r.Reason(), `hash "md5" is not known`) {
		t.Errorf("commitment by an unknown hash: %s", r.Reason())
	}
	// The right key in the claims, another under the signature.
	good.RealmKey, evil.RealmKey = evil.RealmKey, good.RealmKey
	forged := good.RealmKey.Sign1(payloadOf(mustBytes(t, one[1].Value)), nil, nil)
	r = resultOf(t, trust, localtest.CCAFormat, good.Collect(mustBytes(t, one[0].Value), forged))
	if r.Claims != nil || !strings.Contains(r.Reason(), "CCA_REALM/instance-identity: signature does not verify") {
		t.Errorf("forged realm token: %s", r.Reason())
	}
}

func mustBytes(t *testing.T, item []byte) []byte {
	t.Helper()
	b, err := cosekit.Bytes(item)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEATReferences compares what an EAT measures with the values of releases, which go by
// class id.
func TestEATReferences(t *testing.T) {
	vendor := uuid.NewSHA1(uuid.NameSpaceDNS, []byte("example.com"))
	class := uuid.NewSHA1(vendor, []byte("board"))
	hello, config := suit.ComponentID{[]byte("app"), []byte("hello")}, suit.ComponentID{[]byte("config")}
	image, other := suit.SumSHA256([]byte("image")), suit.SumSHA256([]byte("other"))
	reference := func(c suit.ComponentID, d suit.Digest) corim.Reference {
		return corim.Reference{
			Environment: corim.Environment{ClassID: corim.ID{Kind: corim.KindUUID, Value: class[:]}},
			Key:         c.String(), Digests: []corim.Digest{{Algorithm: "sha-256", Value: d.Bytes}},
		}
	}
	for _, test := range []struct {
		name       string
		references []corim.Reference
		strict     bool
		change     func(c *attest.Claims)
		want       int8
	}{
		{"no reference values", nil, true, nil, 0},
		{"as released", []corim.Reference{reference(hello, image), reference(config, other)}, true, nil, 2},
		{"one of two releases", []corim.Reference{reference(hello, other), reference(hello, image), reference(config, other)}, true, nil, 2},
		{"another image", []corim.Reference{reference(hello, other), reference(config, other)}, false, nil, 96},
		{"a component that nobody knows", []corim.Reference{reference(hello, image)}, false, nil, 2},
		{"the same, strictly", []corim.Reference{reference(hello, image)}, true, nil, 33},
		{"of another class", []corim.Reference{reference(hello, other)}, false, func(c *attest.Claims) { c.HWModel = []byte("lamp") }, 0},
		{"of another class, strictly", []corim.Reference{reference(hello, other)}, true, func(c *attest.Claims) { c.HWModel = []byte("lamp") }, 33},
		{"another image of another class by the measurement alone", []corim.Reference{reference(hello, other)}, false, func(c *attest.Claims) {
			c.Measurements[0].Components[0].Other.ClassID = &vendor
		}, 96},
		{"nothing measured", []corim.Reference{reference(hello, image)}, false, func(c *attest.Claims) { c.Measurements = nil }, 0},
		{"nothing measured, strictly", []corim.Reference{reference(hello, image)}, true, func(c *attest.Claims) { c.Measurements = nil }, 33},
		{"class told by the measurement", []corim.Reference{reference(hello, image)}, false, func(c *attest.Claims) {
			c.OEMID, c.Measurements[0].Components[0].Other.ClassID = cosekit.MustMarshal([]byte{1, 2, 3}), &class
		}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDevice(t)
			d.claims.OEMID = cosekit.MustMarshal(vendor[:])
			d.claims.Measurements[0].Components = []suit.PropertyClaims{
				{Component: hello, ImageDigest: &image}, {Component: config, ImageDigest: &other},
			}
			if test.change != nil {
				test.change(d.claims)
			}
			trust := &localtest.Trust{}
			trust.Register(d.attestation.PublicKey())
			if test.references != nil {
				trust.Publish(now, &corim.Unsigned{ID: "release", Version: 1, References: test.references})
			}
			v := New(trust, Options{Clock: func() time.Time { return now }, Strict: test.strict})
			r, err := v.Appraise(t.Context(), answer(sign(t, d.claims, d.attestation)))
			if err != nil {
				t.Fatal(err)
			}
			if got := valuesOf(r, "")[attest.Executables]; got != test.want {
				t.Errorf("executables %d, want %d: %s", got, test.want, r.Reason())
			}
			if d.claims.Measurements == nil {
				return
			}
			if len(r.Comparisons) != 2 || !strings.HasPrefix(r.Comparisons[0].Name, "image-digest of app/hello") {
				t.Errorf("comparisons %+v", r.Comparisons)
			}
			if bytes.Contains([]byte(r.Reason()), []byte("%!")) {
				t.Error(r.Reason())
			}
		})
	}
}

// TestComponentsLeftOut: a token without a component that its maker has released is told
// from a whole one, and is not good enough for a strict verifier.
func TestComponentsLeftOut(t *testing.T) {
	psa, cca := localtest.NewPSA("one"), localtest.NewCCA("two")
	trust := &localtest.Trust{}
	trust.Publish(now, psa.Published("psa"), cca.Published("cca"))
	left := psa.Components[1].Type
	psa.Components, cca.Platform.Components = psa.Components[:1], cca.Platform.Components[:1]
	for format, payload := range map[string][]byte{
		localtest.PSAFormat: psa.Token(challenge), localtest.CCAFormat: cca.Token(challenge, nil, nil),
	} {
		submod := map[string]string{localtest.CCAFormat: platformSubmod}[format]
		for _, strict := range []bool{false, true} {
			v := New(trust, Options{Clock: func() time.Time { return now }, Strict: strict})
			r, err := v.Appraise(t.Context(), attest.Evidence{Format: format, Payload: payload, Challenge: challenge})
			if err != nil {
				t.Fatal(err)
			}
			if got := valuesOf(r, submod)[attest.Executables]; strict != (got == unrecognized) || !strict && got != approved {
				t.Errorf("%s, strict %t: executables %d: %s", format, strict, got, r.Reason())
			}
			told := slices.ContainsFunc(r.Vector, func(e attest.Element) bool { return strings.Contains(e.Reason, left) })
			compared := slices.ContainsFunc(r.Comparisons, func(c attest.Comparison) bool { return c.Name == left && !c.Match && c.Measured == "" })
			if !told || compared != strict {
				t.Errorf("%s, strict %t: %s is told %t, compared %t", format, strict, left, told, compared)
			}
		}
	}
}

// A device may call its software what it likes, but not fill our logs with it.
func TestLongNamesOfComponents(t *testing.T) {
	psa := localtest.NewPSA("one")
	trust := &localtest.Trust{}
	trust.Publish(now, psa.Published("psa"))
	psa.Components[0].Type = strings.Repeat("long name ", 1000)
	r, err := New(trust, Options{Clock: func() time.Time { return now }}).Appraise(t.Context(),
		attest.Evidence{Format: localtest.PSAFormat, Payload: psa.Token(challenge), Challenge: challenge})
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != attest.Warning || r.Claims == nil || len(r.Reason()) > 2*maxReason {
		t.Errorf("%s with a reason of %d characters", r.Status, len(r.Reason()))
	}
}
