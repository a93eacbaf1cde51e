package ear

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/veraison/go-cose"
)

var (
	now       = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	challenge = bytes.Repeat([]byte{0xc4}, 32)
	session   = bytes.Repeat([]byte{0x5e}, 32)
	ueid      = append([]byte{1}, bytes.Repeat([]byte{0xde}, 16)...)
	skew      = 30 * time.Second
)

func testSigner(n byte) cosekit.Signer {
	s, err := cosekit.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize)))
	if err != nil {
		panic(err)
	}
	return s
}

// testKeys are made once: one for each algorithm that verifiers sign with, and a stranger.
var testKeys = sync.OnceValue(func() map[string]crypto.Signer {
	keys := map[string]crypto.Signer{"EdDSA": ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))}
	for name, curve := range map[string]elliptic.Curve{
		"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521(), "stranger": elliptic.P256(),
	} {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		keys[name] = key
	}
	return keys
})

func options() Options {
	return Options{Now: now, Skew: skew, Keys: []Key{{Name: "Verifier Inc.", Public: testKeys()["ES256"].Public()}}}
}

// object is a claims set under the names of draft-ietf-rats-ear-03 in JSON.
type object = map[string]any

// form is one way to write a result.
type form struct {
	name, format string
	claims       func() object
	encode       func(t testing.TB, claims object) []byte
	sign         func(t testing.TB, alg string, key crypto.Signer, payload []byte) []byte
	// device is the map that has the claims of the device, appraisal nil for TEEP.
	appraisal, device func(claims object) object
}

var allForms = []form{
	{"Veraison JWT", `application/eat+jwt; eat_profile="tag:github.com,2023:veraison/ear"`, veraisonEAR, encodeVeraison, signJWT, submod, nil},
	{"EAR JWT", MediaTypeJWT, draftEAR, encodeJSON, signJWT, submod, teepPart},
	{"EAR CWT", MediaTypeCWT, draftEAR, encodeCBOR, signCWT, submod, teepPart},
	{"EAT TEEP", MediaTypeTEEP, teepEAT, encodeCBOR, signCWT, nil, func(c object) object { return c }},
}

func submod(c object) object   { return c["submods"].(object)["TEE"].(object) }
func teepPart(c object) object { return submod(c)["ear_teep_claims"].(object) }

func (f form) token(t testing.TB, claims object) []byte {
	return f.sign(t, "ES256", testKeys()["ES256"], f.encode(t, claims))
}

func veraisonEAR() object {
	c := draftEAR()
	c["eat_profile"] = attest.ProfileEARVeraison
	delete(c, "exp")
	delete(submod(c), "eat_nonce")
	delete(submod(c), "ear_teep_claims")
	return c
}

func draftEAR() object {
	return object{
		"eat_profile": attest.ProfileEAR03, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"ear_verifier_id": object{"developer": "https://verifier.example", "build": "1.0"},
		"eat_nonce":       session,
		"submods": object{"TEE": object{
			"ear_status":                 "affirming",
			"ear_trustworthiness_vector": object{"instance-identity": 2, "executables": 3, "hardware": 2},
			"eat_nonce":                  challenge,
			"ear_teep_claims": object{
				"eat_nonce": challenge, "ueid": ueid, "oemid": []byte{1, 2, 3}, "hwmodel": []byte("board"),
				"hwversion": []any{"1.2", 1}, "manifests": manifests(),
			},
		}},
	}
}

func manifests() []any {
	digest := sha256.Sum256([]byte("manifest"))
	return []any{[]any{attest.ContentFormatSUITReport, cosekit.MustMarshal([]any{"https://example.com/m", []any{-16, digest[:]}})}}
}

func teepEAT() object {
	c := maps.Clone(teepPart(draftEAR()))
	c["eat_profile"], c["iat"], c["exp"] = attest.ProfileTEEP, now.Unix(), now.Add(time.Hour).Unix()
	c["cnf"] = cosekit.RawMessage(cosekit.MustMarshal(map[int]any{1: testSigner(1).PublicKey()}))
	return c
}

func encodeJSON(t testing.TB, claims object) []byte {
	t.Helper()
	data, err := json.Marshal(inJSON(claims))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// inJSON copies a tree with byte strings in base64url.
func inJSON(v any) any {
	switch v := v.(type) {
	case []byte:
		return base64url(v)
	case []any:
		list := slices.Clone(v)
		for i := range list {
			list[i] = inJSON(list[i])
		}
		return list
	case object:
		o := object{}
		for name := range v {
			o[name] = inJSON(v[name])
		}
		return o
	}
	return v
}

var veraisonSpelling = strings.NewReplacer(
	`"ear_status"`, `"ear.status"`, `"ear_trustworthiness_vector"`, `"ear.trustworthiness-vector"`,
	`"ear_verifier_id"`, `"ear.verifier-id"`, `"ear_veraison_policy_claims"`, `"ear.veraison.policy-claims"`,
	`"ear_veraison_key_attestation"`, `"ear.veraison.key-attestation"`,
)

func encodeVeraison(t testing.TB, claims object) []byte {
	return []byte(veraisonSpelling.Replace(string(encodeJSON(t, claims))))
}

func encodeCBOR(t testing.TB, claims object) []byte {
	t.Helper()
	labels := map[string]int64{}
	for label, name := range claimNames.names {
		labels[name] = label
	}
	for i, name := range vectorOrder {
		labels[name] = int64(i)
	}
	labels["developer"], labels["build"] = 0, 1
	return cosekit.MustMarshal(inCBOR(claims, labels))
}

// inCBOR copies a tree with labels in place of names.
func inCBOR(v any, labels map[string]int64) any {
	o, ok := v.(object)
	if !ok {
		return v
	}
	m := map[any]any{}
	for name, v := range o {
		if tier, ok := v.(string); ok && name == "ear_status" {
			v = map[string]int{"none": 0, "affirming": 2, "warning": 32, "contraindicated": 96}[tier]
		}
		if label, ok := labels[name]; ok {
			m[label] = inCBOR(v, labels)
		} else {
			m[name] = inCBOR(v, labels)
		}
	}
	return m
}

func signJWT(t testing.TB, alg string, key crypto.Signer, payload []byte) []byte {
	return signJWS(t, object{"alg": alg, "typ": "JWT"}, key, payload)
}

func signJWS(t testing.TB, header object, key crypto.Signer, payload []byte) []byte {
	t.Helper()
	input := base64url(encodeJSON(t, header)) + "." + base64url(payload)
	return []byte(input + "." + base64url(rawSign(t, key, []byte(input))))
}

func rawSign(t testing.TB, key crypto.Signer, input []byte) []byte {
	t.Helper()
	if key, ok := key.(ed25519.PrivateKey); ok {
		return ed25519.Sign(key, input)
	}
	k := key.(*ecdsa.PrivateKey)
	size := (k.Params().BitSize + 7) / 8
	var digest []byte
	switch size {
	case 32:
		d := sha256.Sum256(input)
		digest = d[:]
	case 48:
		d := sha512.Sum384(input)
		digest = d[:]
	default:
		d := sha512.Sum512(input)
		digest = d[:]
	}
	r, s, err := ecdsa.Sign(rand.Reader, k, digest)
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 2*size)
	r.FillBytes(signature[:size])
	s.FillBytes(signature[size:])
	return signature
}

func signCWT(t testing.TB, alg string, key crypto.Signer, payload []byte) []byte {
	numbers := map[string]cose.Algorithm{"ES256": -7, "ES384": -35, "ES512": -36, "EdDSA": -8, "ESP256": -9, "ESP384": -51, "ESP512": -52, "Ed25519": -19}
	return signCOSE(t, map[int]any{1: int64(numbers[alg])}, key, payload)
}

func signCOSE(t testing.TB, header map[int]any, key crypto.Signer, payload []byte) []byte {
	t.Helper()
	protected := cosekit.MustMarshal(header)
	input := cosekit.MustMarshal([]any{"Signature1", protected, []byte{}, payload})
	message := cosekit.MustMarshal([]any{protected, map[int]any{}, payload, rawSign(t, key, input)})
	return append([]byte{0xd2}, message...)
}

// binding is how a TAM holds the result against a message of a registered key.
func binding() attest.Binding {
	return attest.Binding{
		Challenge: challenge, Key: testSigner(1).PublicKey(), Registered: true, UEID: ueid,
		Now: now, MaxAge: 2 * time.Hour, Skew: skew,
	}
}

// believe is what a TAM asks of a result before it believes it.
func believe(r *attest.Result) error { return errors.Join(attest.Bind(r, binding()), r.Affirmed()) }
