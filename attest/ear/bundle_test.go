package ear

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// bundle detaches the submodule of an EAR. spoil changes the parts before they are put
// together: the reference in the token, and the claims sets beside it.
func bundle(t testing.TB, claims object, spoil func(reference *any, detached map[string][]byte)) []byte {
	t.Helper()
	appraisal := encodeCBOR(t, submod(claims))
	digest := sha256.Sum256(appraisal)
	var reference any = []any{-16, digest[:]}
	detached := map[string][]byte{"TEE": appraisal}
	if spoil != nil {
		spoil(&reference, detached)
	}
	claims = maps.Clone(claims)
	claims["submods"] = object{"TEE": reference}
	token := signCWT(t, "ES256", testKeys()["ES256"], encodeCBOR(t, claims))
	return append(append([]byte{}, tagBundle...), cosekit.MustMarshal([]any{token, detached})...)
}

func TestBundle(t *testing.T) {
	for name, spoil := range map[string]func(*any, map[string][]byte){
		"SHA-256": nil,
		"SHA-384": func(r *any, d map[string][]byte) { s := sha512.Sum384(d["TEE"]); *r = []any{-43, s[:]} },
		"SHA-512": func(r *any, d map[string][]byte) { s := sha512.Sum512(d["TEE"]); *r = []any{-44, s[:]} },
		"by name": func(r *any, d map[string][]byte) { s := sha256.Sum256(d["TEE"]); *r = []any{"sha-256", s[:]} },
	} {
		data := bundle(t, draftEAR(), spoil)
		for _, data := range [][]byte{data, data[len(tagBundle):]} {
			r, err := Verify(MediaTypeBundle, data, options())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := believe(r); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	contraindicated := draftEAR()
	submod(contraindicated)["ear_trustworthiness_vector"].(object)["hardware"] = 96
	if r, err := Verify(MediaTypeBundle, bundle(t, contraindicated, nil), options()); err != nil || r.Status != attest.Contraindicated {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestBadBundle(t *testing.T) {
	for name, spoil := range map[string]func(*any, map[string][]byte){
		"claims changed":      func(_ *any, d map[string][]byte) { d["TEE"][len(d["TEE"])-1] ^= 1 },
		"short digest":        func(r *any, _ map[string][]byte) { *r = []any{-16, []byte{1}} },
		"digest as text":      func(r *any, _ map[string][]byte) { *r = []any{-16, "x"} },
		"unknown algorithm":   func(r *any, d map[string][]byte) { s := sha256.Sum256(d["TEE"]); *r = []any{-17, s[:]} },
		"no reference":        func(r *any, _ map[string][]byte) { *r = []any{} },
		"reference of claims": func(r *any, _ map[string][]byte) { *r = object{"ear_status": "affirming"} },
		"other submod":        func(_ *any, d map[string][]byte) { d["B"] = d["TEE"] },
		"left out":            func(_ *any, d map[string][]byte) { d["B"] = d["TEE"]; delete(d, "TEE") },
		"nothing detached":    func(_ *any, d map[string][]byte) { delete(d, "TEE") },
		"not claims": func(r *any, d map[string][]byte) {
			d["TEE"] = []byte{0x01}
			s := sha256.Sum256(d["TEE"])
			*r = []any{-16, s[:]}
		},
	} {
		if r, err := Verify(MediaTypeBundle, bundle(t, draftEAR(), spoil), options()); !errors.Is(err, ErrResult) || r != nil {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	good := bundle(t, draftEAR(), nil)
	for n := range good {
		if _, err := Verify(MediaTypeBundle, good[:n], options()); err == nil {
			t.Fatalf("cut at %d", n)
		}
	}
	f := allForms[2]
	if _, err := Verify(f.format, good, options()); err == nil {
		t.Error("a bundle taken for a CWT")
	}
}

// TestPublishedBundle opens the example of RFC 9711, whose claims are no result.
func TestPublishedBundle(t *testing.T) {
	folder := os.Getenv("TEEP_VECTORS")
	if folder == "" {
		t.Skip("TEEP_VECTORS names no folder with the published examples")
	}
	file := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(folder, "eat", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	var index struct {
		Keys map[string]struct {
			PEM string `json:"pem_public"`
		}
	}
	if err := json.Unmarshal(file("index.json"), &index); err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey([]byte(index.Keys["t_cose-test-es256"].PEM))
	if err != nil {
		t.Fatal(err)
	}
	data := file("token-valid_deb.cbor")
	token, detached, err := cutBundle(data)
	if err != nil {
		t.Fatal(err)
	}
	payload, _, err := openCWT(token, []Key{key})
	if err != nil {
		t.Fatal(err)
	}
	set, err := readSet(payload)
	if err != nil {
		t.Fatal(err)
	}
	if err := set.attach(detached); err != nil {
		t.Fatal(err)
	}
	if tee, _ := set.tree["submods"].(map[string]any)["TEE"].(map[string]any); tee["eat_nonce"] == nil {
		t.Errorf("detached claims %v", tee)
	}
	o := options()
	if _, err := Verify(MediaTypeBundle, data, o); !errors.Is(err, ErrSignature) {
		t.Errorf("by a signer that is not trusted: %v", err)
	}
	o.Keys = []Key{key}
	if _, err := Verify(MediaTypeBundle, data, o); !errors.Is(err, ErrResult) || !strings.Contains(err.Error(), "profile") {
		t.Errorf("no profile: %v", err)
	}
}
