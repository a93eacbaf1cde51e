package evidence_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/attest"
	"github.com/tamarack-tam/tamarack/attest/evidence"
	"github.com/tamarack-tam/tamarack/attest/local/localtest"
)

// recorder is a verifier that remembers what it was given.
type recorder struct {
	got    attest.Evidence
	result *attest.Result
	err    error
}

func (r *recorder) Appraise(_ context.Context, e attest.Evidence) (*attest.Result, error) {
	r.got = e
	return r.result, r.err
}

func only(kind evidence.Kind) func(attest.MediaType) bool {
	return func(m attest.MediaType) bool { k, _ := evidence.KindOf(m); return k == kind }
}

func TestRouter(t *testing.T) {
	eats, psas := &recorder{result: &attest.Result{}}, &recorder{result: &attest.Result{}}
	router := evidence.NewRouter(
		evidence.Route{Name: "first", Accepts: only(evidence.EAT), Verifier: eats},
		evidence.Route{Name: "second", Accepts: only(evidence.PSA), Verifier: psas},
	)
	e := attest.Evidence{Format: localtest.PSAFormat, Payload: []byte("anything"), Challenge: nonce}
	if r, err := router.Appraise(t.Context(), e); err != nil || r != psas.result || string(psas.got.Payload) != "anything" || eats.got.Payload != nil {
		t.Errorf("%v: second got %+v, first %+v", err, psas.got, eats.got)
	}
	e.Format = localtest.CCAFormat
	if _, err := router.Appraise(t.Context(), e); !errors.Is(err, attest.ErrFormat) || !strings.Contains(err.Error(), "first, second") {
		t.Errorf("a format that nobody takes: %v", err)
	}
	e.Format = "none"
	if _, err := router.Appraise(t.Context(), e); !errors.Is(err, attest.ErrFormat) {
		t.Error(err)
	}
}

// What a verifier says of the evidence in a bundle, the bundle's result says of the
// bundle – unless the verifier speaks of something else.
func TestRouterOpensBundles(t *testing.T) {
	device := localtest.NewPSA("one")
	bundle := localtest.Bundle(claims(), localtest.PSAFormat, func(n []byte) []byte { return device.Token(n) })
	reading, err := evidence.Read(bundle.Format, bundle.Payload)
	if err != nil {
		t.Fatal(err)
	}
	digest := reading.Inner.Evidence.Challenge
	for _, test := range []struct {
		name   string
		claims *attest.Claims
		want   error
		says   bool // whether the result has the claims of the bundle
	}{
		{"genuine", &attest.Claims{Nonce: digest}, nil, true},
		{"genuine, and no nonce told", &attest.Claims{}, nil, true},
		{"certified as this device", &attest.Claims{Nonce: digest, UEID: ueid}, nil, true},
		{"not genuine", nil, nil, false},
		{"the verifier tells another nonce", &attest.Claims{Nonce: nonce}, attest.ErrNonce, false},
		{"certified as another device", &attest.Claims{Nonce: digest, UEID: nonce}, attest.ErrDevice, false},
	} {
		own := &attest.Result{Claims: test.claims, Status: attest.Affirming, Document: map[string]any{"psa": "x"}}
		verifier := &recorder{result: own}
		r, err := evidence.NewRouter(evidence.Route{Accepts: only(evidence.PSA), Verifier: verifier}).Appraise(t.Context(), bundle)
		if !errors.Is(err, test.want) || (err == nil) != (r != nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
			continue
		}
		if string(verifier.got.Challenge) != string(digest) || verifier.got.Format != localtest.PSAFormat {
			t.Errorf("%s: the verifier was asked about %+v", test.name, verifier.got)
		}
		if r == nil {
			continue
		}
		if (r.Claims != nil && string(r.Claims.UEID) == string(ueid)) != test.says || r.Evidence.Format != bundle.Format {
			t.Errorf("%s: %+v", test.name, r)
		}
		if own.Claims != test.claims || own.Evidence.Format != "" {
			t.Errorf("%s: the verifier's own result was changed", test.name)
		}
	}
	verifier := &recorder{err: errors.New("down")}
	if r, err := evidence.NewRouter(evidence.Route{Accepts: only(evidence.PSA), Verifier: verifier}).Appraise(t.Context(), bundle); r != nil || err == nil {
		t.Errorf("a verifier that is down: %+v, %v", r, err)
	}
}
