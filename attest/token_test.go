package attest

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

func TestSignEAT(t *testing.T) {
	claims, signer := goodClaims(t), testSigner(t, 2)
	token, err := SignEAT(claims, signer)
	if err != nil {
		t.Fatal(err)
	}
	if cosekit.Major(token) != cosekit.MajorArray {
		t.Errorf("the token starts with %#x, want an untagged array", token[0])
	}
	sign1 := append([]byte{0xd2}, token...)
	for name, form := range map[string][]byte{
		"untagged": token, "tagged": sign1, "as CWT": append([]byte{0xd8, 61}, sign1...),
	} {
		eat, err := ParseEAT(form)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if kid, ok := eat.KeyID(); !ok || kid != signer.PublicKey().Thumbprint() {
			t.Errorf("%s: kid %s, %t", name, kid, ok)
		}
		got, err := eat.Verify(signer.PublicKey(), false)
		if err != nil || !reflect.DeepEqual(got, claims) || eat.UnverifiedClaims() != got {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got, err := eat.Verify(testSigner(t, 3).PublicKey(), false); !errors.Is(err, cosekit.ErrSignature) || got != nil {
			t.Errorf("%s under another key: %v", name, err)
		}
	}
	if _, err := SignEAT(&Claims{Nonce: []byte{1}}, signer); !errors.Is(err, ErrClaims) {
		t.Errorf("bad claims: %v", err)
	}
	claims.Named["large"] = cosekit.MustMarshal(make([]byte, MaxTokenSize-600))
	if token, err := SignEAT(claims, signer); err != nil && !errors.Is(err, ErrTooLarge) || err == nil && len(token) > MaxTokenSize {
		t.Errorf("large claims: %d bytes, %v", len(token), err)
	}
	claims.Named["large"] = cosekit.MustMarshal(make([]byte, MaxTokenSize))
	if _, err := SignEAT(claims, signer); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large claims: %v", err)
	}
}

// TestNoByteOfAnEATCanChange flips every bit pattern of a token that a verifier
// could miss: none verifies with other claims.
func TestNoByteOfAnEATCanChange(t *testing.T) {
	claims, signer := goodClaims(t), testSigner(t, 2)
	token, err := SignEAT(claims, signer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range token {
		for _, flip := range []byte{0x01, 0x20, 0x80, 0xff} {
			spoilt := bytes.Clone(token)
			spoilt[i] ^= flip
			eat, err := ParseEAT(spoilt)
			if err != nil {
				continue
			}
			if got, err := eat.Verify(signer.PublicKey(), cosekit.AllowLegacy); err == nil && !reflect.DeepEqual(got, claims) {
				t.Fatalf("byte %d flipped by %#x verifies with other claims", i, flip)
			}
		}
	}
}

func TestParseEATRefuses(t *testing.T) {
	signer := testSigner(t, 2)
	payload, err := EncodeClaims(goodClaims(t))
	if err != nil {
		t.Fatal(err)
	}
	sign := func(payload []byte, form cosekit.Form) []byte {
		token, err := cosekit.Sign1(signer, payload, form)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := sign(payload, cosekit.Form{Untagged: true})
	multi, err := cosekit.Sign([]cosekit.Signer{signer}, payload, cosekit.Form{})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, reason string
		data         []byte
		want         error
	}{
		{"nothing", "truncated", nil, ErrToken},
		{"too large", "at most 65536", make([]byte, MaxTokenSize+1), ErrTooLarge},
		{"trailing byte", "behind the end", append(bytes.Clone(token), 0), ErrToken},
		{"JWT", "a JWT", []byte("eyJhbGciOiJFUzI1NiJ9.e30.AA"), ErrToken},
		{"JSON", "JSON", []byte(`{"eat_nonce":"x"}`), ErrToken},
		{"detached bundle", "bundle (tag 602)", []byte{0xd9, 0x02, 0x5a, 0x82, 0x40, 0xa0}, ErrToken},
		{"UCCS", "tag 601", append([]byte{0xd9, 0x02, 0x59}, payload...), ErrToken},
		{"bare claims", "without a signature", payload, ErrToken},
		{"CWT tag without COSE tag", "without a COSE tag", append([]byte{0xd8, 61}, token...), ErrToken},
		{"CWT tag twice", "tag 61", append([]byte{0xd8, 61, 0xd8, 61, 0xd2}, token...), ErrToken},
		{"MAC0 tag", "tag 17", append([]byte{0xd1}, token...), ErrToken},
		{"COSE_Sign", "a COSE_Sign", multi, ErrToken},
		{"detached claims", "detached", sign(payload, cosekit.Form{Detached: true}), ErrToken},
		{"no claims", "claims", sign([]byte{}, cosekit.Form{}), ErrClaims},
		{"claims with a duplicate", "duplicate", sign([]byte{0xa2, 4, 1, 4, 1}, cosekit.Form{}), ErrClaims},
		{"claims with trailing bytes", "behind the end", sign(append(bytes.Clone(payload), 0), cosekit.Form{}), ErrClaims},
	} {
		t.Run(test.name, func(t *testing.T) {
			eat, err := ParseEAT(test.data)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.reason) || eat != nil {
				t.Fatalf("got %v, want %v with %q", err, test.want, test.reason)
			}
		})
	}
	for n := range token {
		if _, err := ParseEAT(token[:n]); err == nil {
			t.Fatalf("cut at %d is read", n)
		}
	}
}
