package teep

import (
	"bytes"
	"errors"
	"reflect"
	"sync"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func newSigner(tb testing.TB, alg cosekit.Algorithm) cosekit.Signer {
	tb.Helper()
	s, err := cosekit.GenerateSigner(alg)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func seal(tb testing.TB, n Numbering, m Message, s cosekit.Signer) []byte {
	tb.Helper()
	wire, err := Seal(n, m, s)
	if err != nil {
		tb.Fatal(err)
	}
	return wire
}

func open(tb testing.TB, n Numbering, wire []byte) *Envelope {
	tb.Helper()
	e, err := Open(n, wire)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func TestSealAndOpen(t *testing.T) {
	for _, alg := range []cosekit.Algorithm{cosekit.ESP256, cosekit.Ed25519} {
		s, stranger := newSigner(t, alg), newSigner(t, alg)
		for _, n := range bothNumberings {
			for _, m := range fullMessages() {
				e := open(t, n, seal(t, n, m, s))
				if e.Kind() != m.Kind() || e.Algorithm() != alg || e.signed.Multi {
					t.Errorf("%s: kind %s, algorithm %d, multi %v", m.Kind(), e.Kind(), e.Algorithm(), e.signed.Multi)
				}
				if kid, ok := e.KeyID(); !ok || kid != s.PublicKey().Thumbprint() {
					t.Errorf("%s: kid %s, %v", m.Kind(), kid, ok)
				}
				if got, err := e.Verify(stranger.PublicKey(), cosekit.AllowLegacy); !errors.Is(err, cosekit.ErrSignature) || got != nil {
					t.Errorf("%s under another key: got %v, %v", m.Kind(), got, err)
				}
				if got, err := e.Verify(nil, false); !errors.Is(err, cosekit.ErrKey) || got != nil {
					t.Errorf("%s without a key: got %v, %v", m.Kind(), got, err)
				}
				got, err := e.Verify(s.PublicKey(), false)
				if err != nil || !reflect.DeepEqual(got, m) {
					t.Errorf("%s: got %+v, %v; want %+v", m.Kind(), got, err, m)
				}
			}
		}
	}
}

// offer is a QueryRequest to an agent whose suite is not known.
func offer() *QueryRequest {
	return &QueryRequest{
		Token: make([]byte, 32), CipherSuites: []CipherSuite{SuiteESP256, SuiteEd25519},
		COSEProfiles: TEEPProfiles, DataItems: ItemTrustedComponents,
	}
}

func TestSealFor(t *testing.T) {
	p256, ed := newSigner(t, cosekit.ESP256), newSigner(t, cosekit.Ed25519)
	wire, err := SealFor(IANA, offer(), []cosekit.Signer{p256, ed})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(wire, []byte{0xd8, cosekit.TagSign}) {
		t.Errorf("starts with %x, want tag 98", wire[:2])
	}
	e := open(t, IANA, wire)
	if _, ok := e.KeyID(); ok || !e.signed.Multi || e.Algorithm() != 0 {
		t.Error("a COSE_Sign names one key or algorithm")
	}
	for _, s := range []cosekit.Signer{p256, ed} {
		if m, err := e.Verify(s.PublicKey(), false); err != nil || !reflect.DeepEqual(m, Message(offer())) {
			t.Errorf("%s: %+v, %v", cosekit.AlgorithmName(s.Algorithm()), m, err)
		}
	}
	for name, signers := range map[string][]cosekit.Signer{
		"none":         nil,
		"one of two":   {p256},
		"one twice":    {p256, ed, newSigner(t, cosekit.Ed25519)},
		"the same one": {p256, p256},
	} {
		if _, err := SealFor(IANA, offer(), signers); !errors.Is(err, ErrWrapper) {
			t.Errorf("%s: got %v, want ErrWrapper", name, err)
		}
	}
	only := offer()
	only.CipherSuites = only.CipherSuites[:1]
	if _, err := SealFor(IANA, only, []cosekit.Signer{p256, ed}); !errors.Is(err, ErrWrapper) {
		t.Errorf("an algorithm that is not offered: got %v, want ErrWrapper", err)
	}
	only.Token = only.Token[:1]
	if _, err := SealFor(IANA, only, []cosekit.Signer{p256}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a request that breaks the rules: got %v, want ErrMalformed", err)
	}
}

func TestSealRefuses(t *testing.T) {
	if wire, err := Seal(IANA, &Error{}, newSigner(t, cosekit.ESP256)); !errors.Is(err, ErrMalformed) || wire != nil {
		t.Errorf("got %x, %v; want ErrMalformed", wire, err)
	}
}

// TestManifestKeysSignNoMessage: a key of ML-DSA is for manifests, however it came here.
func TestManifestKeysSignNoMessage(t *testing.T) {
	s := newSigner(t, cosekit.MLDSA44)
	if wire, err := Seal(IANA, &Success{}, s); !errors.Is(err, cosekit.ErrAlgorithm) || wire != nil {
		t.Errorf("sealed: %x, %v", wire, err)
	}
	payload, err := Encode(IANA, &Success{Token: make([]byte, 8)})
	if err != nil {
		t.Fatal(err)
	}
	wire, err := cosekit.Sign1(s, payload, cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := open(t, IANA, wire).Verify(s.PublicKey(), cosekit.AllowLegacy); !errors.Is(err, cosekit.ErrAlgorithm) || m != nil {
		t.Errorf("verified: %+v, %v", m, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	sign := func(payload []byte, form cosekit.Form) []byte {
		wire, err := cosekit.Sign1(s, payload, form)
		if err != nil {
			t.Fatal(err)
		}
		return wire
	}
	payload, err := Encode(IANA, &Success{})
	if err != nil {
		t.Fatal(err)
	}
	many, err := cosekit.Sign([]cosekit.Signer{s}, payload, cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	good := sign(payload, cosekit.Form{})
	tests := []struct {
		name string
		wire []byte
		want error
	}{
		{"nothing", nil, cosekit.ErrMalformed},
		{"not wrapped", payload, cosekit.ErrMalformed},
		{"trailing byte", append(bytes.Clone(good), 0), cosekit.ErrMalformed},
		{"wrapped twice", sign(good, cosekit.Form{}), ErrMalformed},
		{"detached payload", sign(payload, cosekit.Form{Detached: true}), ErrWrapper},
		{"Success in a COSE_Sign", many, ErrWrapper},
		{"empty payload", sign([]byte{}, cosekit.Form{}), ErrMalformed},
		{"not a message", sign([]byte{0xf6}, cosekit.Form{}), ErrMalformed},
		{"duplicate option", sign(unhex(t, "8204a2 0a 6161 0a 6162"), cosekit.Form{}), ErrMalformed},
		{"unknown type", sign(unhex(t, "8207a0"), cosekit.Form{}), ErrUnknownType},
	}
	for _, tt := range tests {
		if e, err := Open(IANA, tt.wire); !errors.Is(err, tt.want) || e != nil {
			t.Errorf("%s: got %v, %v; want %v", tt.name, e, err, tt.want)
		}
	}
	for i := range good {
		if _, err := Open(IANA, good[:i]); !errors.Is(err, cosekit.ErrMalformed) {
			t.Fatalf("cut to %d bytes: got %v, want ErrMalformed", i, err)
		}
	}
	// Untagged is the same message.
	if _, err := open(t, IANA, sign(payload, cosekit.Form{Untagged: true})).Verify(s.PublicKey(), false); err != nil {
		t.Errorf("untagged: %v", err)
	}
}

// TestWrongNumbering: what is Success in one numbering is an Error or nothing in the
// other, never a Success.
func TestWrongNumbering(t *testing.T) {
	s := newSigner(t, cosekit.Ed25519)
	for _, tt := range []struct {
		sent, read Numbering
		m          Message
		want       error
	}{
		{IANA, PreIANA, &Success{}, ErrUnknownType},
		{IANA, PreIANA, &Error{Code: 11}, ErrMalformed}, // read as a Success with an element too many
		{PreIANA, IANA, &Success{}, ErrMalformed},       // read as an Error without its code
		{PreIANA, IANA, &Error{Code: 11}, ErrUnknownType},
	} {
		if _, err := Open(tt.read, seal(t, tt.sent, tt.m, s)); !errors.Is(err, tt.want) {
			t.Errorf("%s %s read as %s: got %v, want %v", tt.sent, tt.m.Kind(), tt.read, err, tt.want)
		}
	}
	// The options of a QueryResponse mean something else or are not known.
	response := &QueryResponse{Token: make([]byte, 32), Extensions: []uint32{1}}
	if _, err := Open(IANA, seal(t, PreIANA, response, s)); err == nil {
		t.Error("a pre-IANA QueryResponse with a token and ext-list passes as IANA")
	}
}

func TestUnverifiedParts(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	for _, m := range append(fullMessages(), emptyMessages()...) {
		e := open(t, IANA, seal(t, IANA, m, s))
		response, _ := m.(*QueryResponse)
		full := response != nil && response.Attestation != nil
		evidence, ok := e.UnverifiedEvidence()
		if ok != full || full && !reflect.DeepEqual(evidence, response.Attestation) {
			t.Errorf("%s: evidence %+v, %v", m.Kind(), evidence, ok)
		}
		token := e.UnverifiedToken()
		if (token != nil) != full || full && !bytes.Equal(token, response.Token) {
			t.Errorf("%s: token %x", m.Kind(), token)
		}
		if !full {
			continue
		}
		evidence.Format = ""
		clear(evidence.Payload)
		clear(token)
		if got, err := e.Verify(s.PublicKey(), false); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("the message changed with what was read before verification: %v", err)
		}
	}
}

func TestLegacySuites(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	e := open(t, PreIANA, sealLegacy(t, s))
	if e.Algorithm() != cosekit.LegacyES256 {
		t.Errorf("algorithm %d, want ES256", e.Algorithm())
	}
	if _, ok := e.KeyID(); ok {
		t.Error("a kid of 2 bytes passes for a thumbprint")
	}
	if _, err := e.Verify(s.PublicKey(), false); !errors.Is(err, cosekit.ErrAlgorithm) {
		t.Errorf("not allowed: got %v, want ErrAlgorithm", err)
	}
	if _, err := e.Verify(s.PublicKey(), cosekit.AllowLegacy); err != nil {
		t.Errorf("allowed: %v", err)
	}
}

// sealLegacy makes a message as an old agent does: ES256, and a kid of its own kind.
func sealLegacy(tb testing.TB, s cosekit.Signer) []byte {
	tb.Helper()
	payload, err := Encode(PreIANA, &Success{})
	if err != nil {
		tb.Fatal(err)
	}
	protected := cosekit.MustMarshal(map[int]any{1: cosekit.LegacyES256})
	sig, err := s.Sign(nil, cosekit.MustMarshal([]any{"Signature1", protected, []byte{}, payload}))
	if err != nil {
		tb.Fatal(err)
	}
	return cosekit.MustMarshal(cosekit.Tag{Number: cosekit.TagSign1, Content: cosekit.MustMarshal(
		[]any{protected, map[int]any{4: []byte("11")}, payload, sig})})
}

func TestVerifyConcurrently(t *testing.T) {
	s := newSigner(t, cosekit.ESP256)
	e := open(t, IANA, seal(t, IANA, fullMessages()[1], s))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, ok := e.UnverifiedEvidence(); !ok || e.UnverifiedToken() == nil {
				t.Error("parts are missing")
			}
			if _, err := e.Verify(s.PublicKey(), false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
