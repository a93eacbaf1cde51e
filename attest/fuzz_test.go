package attest

import (
	"bytes"
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

// seed adds the published EATs where they can be had.
func seed(f *testing.F) {
	if os.Getenv("TEEP_VECTORS") == "" {
		return
	}
	list, _, file := vectors(f, "eat")
	for _, v := range list {
		f.Add(file(v.File))
	}
}

func FuzzDecodeClaims(f *testing.F) {
	seed(f)
	data, err := EncodeClaims(goodClaims(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeClaims(data)
		if err != nil {
			return
		}
		encoded, err := EncodeClaims(c)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		back, err := DecodeClaims(encoded)
		if err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("decoded again %+v (%v), want %+v", back, err, c)
		}
		if again, err := EncodeClaims(back); err != nil || !bytes.Equal(again, encoded) {
			t.Fatalf("encoded again %x (%v), want %x", again, err, encoded)
		}
	})
}

func FuzzParseEAT(f *testing.F) {
	seed(f)
	token, err := SignEAT(goodClaims(f), testSigner(f, 2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(append([]byte{0xd8, 61, 0xd2}, token...))
	want, stranger := goodClaims(f), testSigner(f, 3).PublicKey()
	f.Fuzz(func(t *testing.T, data []byte) {
		eat, err := ParseEAT(data)
		if err != nil {
			return
		}
		if eat.UnverifiedClaims() == nil {
			t.Fatal("a token without claims")
		}
		if _, err := eat.Verify(stranger, cosekit.AllowLegacy); err == nil {
			t.Fatal("verifies under a key that signed nothing")
		}
		if c, err := eat.Verify(testSigner(t, 2).PublicKey(), cosekit.AllowLegacy); err == nil && !reflect.DeepEqual(c, want) {
			t.Fatal("verifies with claims that were not signed")
		}
	})
}

func FuzzParseMediaType(f *testing.F) {
	for _, s := range []string{EvidenceMediaType, `a/b; c=d:e; f="g\"h"`, "a/b;;c=1;", "application/eat+cwt; eat_profile=" + ProfileTEEP} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseMediaType(s)
		if err != nil {
			if s != "" && IsResult(s) {
				t.Fatal("a result by a format that cannot be read")
			}
			return
		}
		written := m.String()
		if len(written) > maxMediaType {
			return // quotes have made it longer than what is read
		}
		back, err := ParseMediaType(written)
		if err != nil || back.Type != m.Type || !maps.Equal(back.Parameters, m.Parameters) {
			t.Fatalf("%q written as %q reads as %+v (%v)", s, written, back, err)
		}
		if m.Type != strings.ToLower(m.Type) || IsResult(s) != IsResult(written) {
			t.Fatalf("%q and %q differ", s, written)
		}
	})
}
