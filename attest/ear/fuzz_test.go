package ear

import (
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
)

// FuzzClaims signs whatever it is given, so that the claims are what is tried.
func FuzzClaims(f *testing.F) {
	for i, form := range allForms {
		f.Add(i, form.encode(f, form.claims()))
	}
	f.Add(0, []byte(`{"eat_profile":"tag:github.com,2023:veraison/ear","iat":1,"submods":{"A":{"ear.status":"none"}}}`))
	keys, o := testKeys(), options()
	f.Fuzz(func(t *testing.T, i int, payload []byte) {
		form := allForms[uint(i)%uint(len(allForms))]
		r, err := Verify(form.format, form.sign(t, "ES256", keys["ES256"], payload), o)
		if (err == nil) != (r != nil) {
			t.Fatalf("result %+v with error %v", r, err)
		}
		if err != nil {
			return
		}
		if attest.StatusOf(r.Vector) != r.Status {
			t.Fatalf("status %s over a vector that is %s", r.Status, attest.StatusOf(r.Vector))
		}
		for _, e := range r.Vector {
			if e.Reason == "" {
				t.Fatalf("element %s without a reason", e.Name)
			}
		}
		if r.Claims != nil && r.Claims.Nonce != nil && (len(r.Claims.Nonce) < 8 || len(r.Claims.Nonce) > 64) {
			t.Fatalf("nonce of %d bytes", len(r.Claims.Nonce))
		}
	})
}

// FuzzVerify has no key for what it is given: nothing may pass.
func FuzzVerify(f *testing.F) {
	for i, form := range allForms {
		f.Add(i, form.token(f, form.claims()))
	}
	f.Add(4, bundle(f, draftEAR(), nil))
	o := options()
	o.Keys = []Key{{Public: testKeys()["ES384"].Public()}, {Public: testKeys()["EdDSA"].Public()}}
	f.Fuzz(func(t *testing.T, i int, token []byte) {
		formats := []string{MediaTypeBundle}
		for _, form := range allForms {
			formats = append(formats, form.format)
		}
		if r, err := Verify(formats[uint(i)%uint(len(formats))], token, o); err == nil {
			t.Fatalf("a result that nobody has signed: %+v", r)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKey(data)
		if err != nil {
			return
		}
		if _, err := k.Thumbprint(); err != nil {
			t.Fatalf("a key without a thumbprint: %v", err)
		}
	})
}
