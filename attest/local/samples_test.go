package local

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/corim"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
)

// published returns a file of the test data that a library ships.
func published(t *testing.T, module, name string) []byte {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/veraison/"+module).Output()
	if err != nil || len(bytes.TrimSpace(dir)) == 0 {
		t.Skipf("the source of veraison/%s, which has the sample, is not at hand: %v", module, err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), filepath.FromSlash(name)))
	if os.IsNotExist(err) {
		t.Skipf("veraison/%s does not ship %s", module, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func publishedKey(t *testing.T, module, name string) crypto.PublicKey {
	t.Helper()
	block, _ := pem.Decode(published(t, module, name))
	if block == nil {
		t.Fatalf("%s: no PEM", name)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// maker publishes the key and the software of a platform as its maker would.
func maker(p evidence.Platform, key crypto.PublicKey) *corim.Unsigned {
	about := implementation(p)
	u := &corim.Unsigned{ID: "maker", Version: 1, Keys: []corim.AttestKey{{Environment: about, Public: key}}}
	for _, c := range p.Components {
		u.References = append(u.References, corim.Reference{
			Environment: corim.Environment{ClassID: about.ClassID}, Key: c.Type, Version: c.Version, Signer: c.Signer,
			Digests: []corim.Digest{{Algorithm: "sha-256", Value: c.Value}},
		})
	}
	return u
}

// TestPSASamples appraises the tokens that veraison/psatoken has from Trusted Firmware-M,
// against what their maker would publish.
func TestPSASamples(t *testing.T) {
	for _, test := range []struct{ file, format string }{
		{"psa-iot-1_sign1.bin", localtest.PSA1Format},
		{"psa-2_0_0_sign1.bin", `application/eat-cwt; profile="http://arm.com/psa/2.0.0"`},
	} {
		t.Run(test.file, func(t *testing.T) {
			payload := published(t, "psatoken", "testvectors/tf-m/"+test.file)
			key := publishedKey(t, "psatoken", "testvectors/tf-m/public.pem")
			media, err := attest.ParseMediaType(test.format)
			if err != nil {
				t.Fatal(err)
			}
			token, err := evidence.ParsePSA(media, payload)
			if err != nil {
				t.Fatal(err)
			}
			e := attest.Evidence{Format: test.format, Payload: payload, Challenge: token.Nonce}
			tryMakers(t, e, "", token.Platform, key, nil)
			if d := token.Document(); d["psa-security-lifecycle"] != "secured" || len(d["psa-software-components"].([]any)) != 2 ||
				d["psa-verification-service-indicator"] != "www.trustedfirmware.org" || d["psa-client-id"] != 3002.0 {
				t.Errorf("claims %+v", d)
			}
		})
	}
	t.Run("MAC", func(t *testing.T) {
		payload := published(t, "psatoken", "testvectors/tf-m/psa-2_0_0_mac0.bin")
		if r, err := evidence.Read(localtest.PSA1Format, payload); err == nil {
			t.Errorf("a COSE_Mac0 was read as %+v", r)
		}
	})
}

// TestCCASample appraises the token that veraison/ccatoken has from a realm under
// Trusted Firmware's realm management monitor.
func TestCCASample(t *testing.T) {
	payload := published(t, "ccatoken", "realm/testvectors/tf-rmm/cca_token.cbor")
	key := publishedKey(t, "ccatoken", "realm/testvectors/tf-rmm/cca_platform.pub")
	token, err := evidence.ParseCCA(attest.MediaType{}, payload)
	if err != nil {
		t.Fatal(err)
	}
	rim := corim.Environment{ClassID: corim.ID{Kind: corim.KindBytes, Value: token.Realm.InitialMeasurement}}
	realm := []corim.Reference{{
		Environment: rim, Key: corim.KeyRIM,
		Digests: []corim.Digest{{Algorithm: "sha-256", Value: token.Realm.InitialMeasurement}},
	}}
	for i, value := range token.Realm.Extensible {
		realm = append(realm, corim.Reference{
			Environment: rim, Key: "cca.rem" + string(rune('0'+i)), Digests: []corim.Digest{{Algorithm: "sha-256", Value: value}},
		})
	}
	e := attest.Evidence{Format: localtest.CCAFormat, Payload: payload, Challenge: token.Realm.Challenge}
	r := tryMakers(t, e, platformSubmod, token.Platform, key, realm)
	if got, want := valuesOf(r, realmSubmod), (map[string]int8{attest.InstanceIdentity: 2, attest.Executables: 2}); !maps.Equal(got, want) {
		t.Errorf("realm %v, want %v", got, want)
	}
}

// tryMakers appraises the sample against a maker who knows it, one whose reference value
// differs in one component, and one who has given it another key.
func tryMakers(t *testing.T, e attest.Evidence, submod string, p evidence.Platform, key crypto.PublicKey, more []corim.Reference) *attest.Result {
	t.Helper()
	appraise := func(u *corim.Unsigned) *attest.Result {
		trust := &localtest.Trust{}
		u.References = append(u.References, more...)
		trust.Publish(now, u)
		r, err := New(trust, Options{Clock: func() time.Time { return now }}).Appraise(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	good := appraise(maker(p, key))
	if got := valuesOf(good, submod); !maps.Equal(got, with(nil)) || good.Status != attest.Affirming {
		t.Errorf("vector %v, want %v: %s", got, with(nil), good.Reason())
	}
	changed := maker(p, key)
	changed.References[0].Digests[0].Value = bytes.Repeat([]byte{1}, 32)
	if r := appraise(changed); !maps.Equal(valuesOf(r, submod), with(map[string]int8{attest.Executables: contraindicated})) {
		t.Errorf("one component differs: %v, %s", valuesOf(r, submod), r.Reason())
	}
	stranger := appraise(maker(p, localtest.NewKey(localtest.P256, "stranger").Public()))
	if got := valuesOf(stranger, submod)[attest.InstanceIdentity]; got != notGenuine || stranger.Claims != nil {
		t.Errorf("another key: %d, %s", got, stranger.Reason())
	}
	return good
}
