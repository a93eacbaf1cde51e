package ear

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func verify(t testing.TB, f form, claims object) (*attest.Result, error) {
	t.Helper()
	return Verify(f.format, f.token(t, claims), options())
}

func TestVerify(t *testing.T) {
	for _, f := range allForms {
		t.Run(f.name, func(t *testing.T) {
			claims := f.claims()
			token := f.token(t, claims)
			r, err := Verify(f.format, token, options())
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Affirmed(); err != nil {
				t.Error(err)
			}
			if r.Status != attest.Affirming || attest.StatusOf(r.Vector) != r.Status || !r.AppraisedAt.Equal(now) {
				t.Errorf("status %s, vector %+v, appraised at %s", r.Status, r.Vector, r.AppraisedAt)
			}
			if !bytes.Equal(r.Raw, token) || attestFormat(t, r.Format) != attestFormat(t, f.format) {
				t.Errorf("raw %d bytes, format %s", len(r.Raw), r.Format)
			}
			if !strings.Contains(r.Verifier, "Verifier Inc.") {
				t.Errorf("verifier %q", r.Verifier)
			}
			for _, e := range r.Vector {
				if e.Reason == "" || e.Submod != "" {
					t.Errorf("element %+v", e)
				}
			}
			if r.Expires.IsZero() != (claims["exp"] == nil) {
				t.Errorf("expires %s", r.Expires)
			}
			if _, err := json.Marshal(r.Document); err != nil {
				t.Error(err)
			}
			if f.device == nil {
				if !bytes.Equal(r.Claims.Nonce, session) || r.Claims.UEID != nil {
					t.Errorf("claims %+v", r.Claims)
				}
				return
			}
			if err := believe(r); err != nil {
				t.Error(err)
			}
			c := r.Claims
			if !bytes.Equal(c.Nonce, challenge) || !bytes.Equal(c.UEID, ueid) || !bytes.Equal(c.OEMID, []byte{0x43, 1, 2, 3}) ||
				string(c.HWModel) != "board" || c.HWVersion != "1.2" || len(c.Manifests) != 1 || !c.IssuedAt.Equal(now) {
				t.Errorf("claims %+v", c)
			}
			if r.Document["ueid"] != "01dededededededededededededededede" || r.Document["oemid"] != "010203" || r.Document["hwversion"] != "1.2" {
				t.Errorf("document %v", r.Document)
			}
		})
	}
}

func attestFormat(t testing.TB, s string) string {
	m, err := attest.ParseMediaType(s)
	if err != nil {
		t.Fatal(err)
	}
	return m.String()
}

func TestAlgorithms(t *testing.T) {
	for _, f := range allForms {
		names := []string{"ES256", "ES384", "ES512", "EdDSA"}
		if f.format == MediaTypeCWT || f.format == MediaTypeTEEP {
			names = append(names, "ESP256", "ESP384", "ESP512", "Ed25519")
		}
		for _, alg := range names {
			key := testKeys()[map[string]string{"ESP256": "ES256", "ESP384": "ES384", "ESP512": "ES512", "Ed25519": "EdDSA"}[alg]]
			if key == nil {
				key = testKeys()[alg]
			}
			o := options()
			token := f.sign(t, alg, key, f.encode(t, f.claims()))
			if _, err := Verify(f.format, token, o); !errors.Is(err, ErrSignature) {
				if alg != "ES256" && alg != "ESP256" {
					t.Errorf("%s, %s under another key: %v", f.name, alg, err)
				}
			}
			o.Keys = append(o.Keys, Key{Public: key.Public()})
			if _, err := Verify(f.format, token, o); err != nil {
				t.Errorf("%s, %s: %v", f.name, alg, err)
			}
		}
	}
}

func TestTaggedAndUntagged(t *testing.T) {
	f := allForms[2]
	token := f.token(t, f.claims())
	for _, data := range [][]byte{token, token[1:], append([]byte{0xd8, 61}, token...), append([]byte{0xd8, 0x12}, token[1:]...)} {
		if _, err := Verify(f.format, data, options()); err != nil {
			t.Errorf("%x…: %v", data[:4], err)
		}
	}
	if _, err := Verify(f.format, append([]byte{0xd8, 61}, token[1:]...), options()); !errors.Is(err, ErrResult) {
		t.Errorf("CWT tag before an untagged message: %v", err)
	}
	teep := allForms[3]
	if r, err := Verify("", teep.token(t, teep.claims()), options()); err != nil || r.Format != attestFormat(t, MediaTypeTEEP) {
		t.Errorf("without a format: %v", err)
	}
}

// TestStatus recomputes the status from what the verifier says and from its vectors.
func TestStatus(t *testing.T) {
	vector := func(values object) func(object) {
		return func(c object) { submod(c)["ear_trustworthiness_vector"] = values }
	}
	status := func(s string) func(object) { return func(c object) { submod(c)["ear_status"] = s } }
	for _, test := range []struct {
		name   string
		want   attest.Status
		reason string
		claims bool
		change []func(object)
	}{
		{"affirming", attest.Affirming, "", true, nil},
		{"affirming over contraindicated", attest.Contraindicated, "the verifier says affirming over a vector that is contraindicated", true,
			[]func(object){vector(object{"instance-identity": 2, "executables": 96})}},
		{"affirming over a warning", attest.Warning, "says affirming over a vector that is warning", true,
			[]func(object){vector(object{"instance-identity": 2, "executables": 33})}},
		{"affirming over an own contraindication", attest.Contraindicated, "affirming", true,
			[]func(object){vector(object{"instance-identity": 2, "executables": -97})}},
		{"affirming over an element that failed", attest.None, "executables: the verifier failed", true,
			[]func(object){vector(object{"instance-identity": 2, "executables": -1})}},
		{"affirming over zeros", attest.None, "over a vector that is none", false,
			[]func(object){vector(object{"instance-identity": 0})}},
		{"affirming without a vector", attest.None, "over a vector that is none", false,
			[]func(object){func(c object) { delete(submod(c), "ear_trustworthiness_vector") }}},
		{"affirming over an unknown element", attest.Contraindicated, "contraindicated", true,
			[]func(object){vector(object{"instance-identity": 2, "new-thing": 96})}},
		{"none over affirming", attest.None, "says none over a vector that is affirming", true, []func(object){status("none")}},
		{"warning over affirming", attest.Warning, "says warning", true, []func(object){status("warning")}},
		{"contraindicated", attest.Contraindicated, "instance-identity: not recognized: no trust anchor", false,
			[]func(object){status("contraindicated"), vector(object{"instance-identity": 97}), func(c object) {
				submod(c)["ear_veraison_policy_claims"] = object{"problem": "no trust anchor"}
			}}},
		{"bad signature", attest.Contraindicated, "does not verify cryptographically", false,
			[]func(object){status("contraindicated"), vector(object{"instance-identity": 99, "hardware": 99})}},
		{"two submods", attest.Affirming, "", true, []func(object){func(c object) {
			c["submods"].(object)["B"] = object{"ear_status": "affirming", "ear_trustworthiness_vector": object{"instance-identity": 2}}
		}}},
		{"one submod of two not appraised", attest.None, "B/status: the verifier says affirming over a vector that is none", false, []func(object){func(c object) {
			c["submods"].(object)["B"] = object{"ear_status": "affirming", "ear_trustworthiness_vector": object{"hardware": 0}}
		}}},
		{"one submod of two none", attest.None, "", false, []func(object){func(c object) {
			c["submods"].(object)["B"] = object{"ear_status": "none", "ear_trustworthiness_vector": object{"hardware": 0}}
		}}},
		{"one submod of two unknown", attest.Warning, "B/hardware", false, []func(object){func(c object) {
			c["submods"].(object)["B"] = object{"ear_status": "warning", "ear_trustworthiness_vector": object{"hardware": 32}}
		}}},
	} {
		for _, f := range allForms[:3] {
			t.Run(test.name+"/"+f.name, func(t *testing.T) {
				claims := f.claims()
				for _, change := range test.change {
					change(claims)
				}
				r, err := verify(t, f, claims)
				if err != nil {
					t.Fatal(err)
				}
				if r.Status != test.want || attest.StatusOf(r.Vector) != test.want {
					t.Errorf("status %s, of the vector %s, want %s: %+v", r.Status, attest.StatusOf(r.Vector), test.want, r.Vector)
				}
				if (r.Affirmed() == nil) != (test.want == attest.Affirming) || !strings.Contains(r.Reason(), test.reason) {
					t.Errorf("affirmed %v, reason %q", r.Affirmed(), r.Reason())
				}
				if (r.Claims != nil) != test.claims || (r.Document != nil) != test.claims {
					t.Errorf("claims %+v", r.Claims)
				}
			})
		}
	}
}

// TestOverallStatus: the status of the whole counts where it is worse.
func TestOverallStatus(t *testing.T) {
	for status, want := range map[string]attest.Status{
		"affirming": attest.Affirming, "none": attest.None, "warning": attest.Warning, "contraindicated": attest.Contraindicated,
	} {
		claims := draftEAR()
		claims["ear_status"] = status
		r, err := verify(t, allForms[1], claims)
		if err != nil || r.Status != want || (r.Affirmed() == nil) != (want == attest.Affirming) {
			t.Errorf("%s: %+v, %v", status, r, err)
		}
	}
	claims := draftEAR()
	claims["ear_status"] = "affirming"
	submod(claims)["ear_trustworthiness_vector"].(object)["hardware"] = 97
	if r, err := verify(t, allForms[1], claims); err != nil || r.Status != attest.Contraindicated {
		t.Errorf("affirming as a whole: %+v, %v", r, err)
	}
}

func TestAttestedKey(t *testing.T) {
	key := testSigner(1).PublicKey()
	for _, f := range allForms[:3] {
		for kind, want := range map[string]bool{"EdDSA": true, "ES256": true, "ES384": false} {
			public := testKeys()[kind].Public()
			der, err := x509.MarshalPKIXPublicKey(public)
			if err != nil {
				t.Fatal(err)
			}
			claims := f.claims()
			submod(claims)["ear_veraison_key_attestation"] = object{"akpub": der}
			r, err := verify(t, f, claims)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Claims.Confirmation.Key; (got != nil) != want || got != nil && got.Equal(key) {
				t.Errorf("%s, %s: key %v", f.name, kind, got)
			}
		}
	}
}

// TestUnknownClaims are ignored, and told.
func TestUnknownClaims(t *testing.T) {
	for _, f := range allForms[1:3] {
		claims := f.claims()
		claims["new"] = object{"a": []any{1, true, nil, "x", 1.5}}
		r, err := verify(t, f, claims)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"a": []any{1.0, true, nil, "x", 1.5}}
		if whole := r.Document["ear"].(map[string]any); !reflect.DeepEqual(whole["new"], want) {
			t.Errorf("%s: document %v", f.name, whole)
		}
	}
}

func TestSessionNonce(t *testing.T) {
	for _, f := range allForms {
		o := options()
		token := f.token(t, f.claims())
		o.Nonce = session
		if f.appraisal == nil {
			o.Nonce = challenge
		}
		if _, err := Verify(f.format, token, o); err != nil {
			t.Errorf("%s: %v", f.name, err)
		}
		o.Nonce = bytes.Repeat([]byte{9}, 32)
		if _, err := Verify(f.format, token, o); !errors.Is(err, attest.ErrNonce) {
			t.Errorf("%s, of another session: %v", f.name, err)
		}
		claims := f.claims()
		delete(claims, "eat_nonce")
		if _, err := Verify(f.format, f.token(t, claims), o); err == nil {
			t.Errorf("%s: no nonce, but one is wanted", f.name)
		}
	}
}

// TestPadded: Veraison pads its nonces.
func TestPadded(t *testing.T) {
	claims := veraisonEAR()
	claims["eat_nonce"] = base64url(session) + "="
	if r, err := verify(t, allForms[0], claims); err != nil || !bytes.Equal(r.Claims.Nonce, session) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestNoKeyInTEEPClaims: they have no cnf, so what stands there binds no key.
func TestNoKeyInTEEPClaims(t *testing.T) {
	f := allForms[2]
	claims := f.claims()
	teepPart(claims)["cnf"] = cosekit.RawMessage(cosekit.MustMarshal(map[int]any{1: testSigner(1).PublicKey()}))
	r, err := verify(t, f, claims)
	if err != nil {
		t.Fatal(err)
	}
	if r.Claims.Confirmation.Key != nil {
		t.Error("a key was taken from where none is told")
	}
}

// TestNonceOfTheEvidence goes before that of the session, also where nothing else is told.
func TestNonceOfTheEvidence(t *testing.T) {
	for _, f := range allForms[1:3] {
		claims := f.claims()
		delete(submod(claims), "ear_teep_claims")
		r, err := verify(t, f, claims)
		if err != nil || !bytes.Equal(r.Claims.Nonce, challenge) {
			t.Errorf("%s: %+v, %v", f.name, r, err)
		}
	}
}
