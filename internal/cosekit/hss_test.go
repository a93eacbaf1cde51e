package cosekit

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/internal/cosekit/hsstest"
)

// rfc8554 are the test cases of RFC 8554 appendix F.
func rfc8554(tb testing.TB) []struct{ Public, Message, Signature string } {
	tb.Helper()
	data, err := os.ReadFile("testdata/rfc8554.json")
	if err != nil {
		tb.Fatal(err)
	}
	var cases []struct{ Public, Message, Signature string }
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) != 2 {
		tb.Fatalf("%d cases, %v", len(cases), err)
	}
	return cases
}

func hssPublic(tb testing.TB, encoded []byte) *hssKey {
	tb.Helper()
	key, err := parseHSSKey(encoded)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func TestHSSOfRFC8554(t *testing.T) {
	for i, c := range rfc8554(t) {
		key, message, signature := hssPublic(t, unhex(t, c.Public)), unhex(t, c.Message), unhex(t, c.Signature)
		if err := key.Verify(message, signature); err != nil {
			t.Errorf("case %d: %v", i+1, err)
		}
		if key.Verify(message[1:], signature) == nil {
			t.Errorf("case %d: another message verifies", i+1)
		}
		if key.Verify(message, append(bytes.Clone(signature), 0)) == nil {
			t.Errorf("case %d: verifies with a byte behind it", i+1)
		}
		for n := range signature {
			if key.Verify(message, signature[:n]) == nil {
				t.Fatalf("case %d: verifies when cut to %d bytes", i+1, n)
			}
		}
	}
}

// TestHSSParameters signs with each LM-OTS type, and through 1 to 8 levels of
// different ones.
func TestHSSParameters(t *testing.T) {
	var secret hsstest.Key
	for level := range hssMaxLevels {
		secret = append(secret, hsstest.NewTree(5, uint32(level%4)+1, fmt.Sprint("level ", level)))
	}
	message := []byte("message")
	for levels := 1; levels <= hssMaxLevels; levels++ {
		secret := secret[:levels]
		key := hssPublic(t, secret.Public())
		signature := secret.Sign(message)
		if err := key.Verify(message, signature); err != nil {
			t.Fatalf("%d levels: %v", levels, err)
		}
		if levels > 3 {
			continue
		}
		for i := 0; i < len(signature); i += 13 { // every field is longer, or changed in TestHSSNumbers
			changed := bytes.Clone(signature)
			changed[i] ^= 1 << (i % 8)
			if key.Verify(message, changed) == nil {
				t.Fatalf("%d levels: verifies with byte %d changed", levels, i)
			}
		}
	}
	for q := range uint32(32) {
		one := hsstest.Key{secret[2]}
		signature := append(make([]byte, 4), secret[2].Sign(q, message)...)
		if err := hssPublic(t, one.Public()).Verify(message, signature); err != nil {
			t.Fatalf("leaf %d: %v", q, err)
		}
	}
}

// TestHSSNumbers changes each number of a signature to each of some others.
func TestHSSNumbers(t *testing.T) {
	secret := hsstest.Key{hsstest.NewTree(5, 4, "upper"), hsstest.NewTree(5, 3, "lower")}
	message := []byte("message")
	key, signature := hssPublic(t, secret.Public()), secret.Sign(message)
	upper := len(secret[0].Sign(0, nil))
	lower := 4 + upper + lmsKeySize
	for name, at := range map[string]int{
		"signed keys": 0,
		"leaf":        4, "LM-OTS type": 8, "LMS type": 4 + upper - 5*hssHashSize - 4,
		"LMS type of the lower key": 4 + upper, "LM-OTS type of the lower key": 8 + upper,
		"lower leaf": lower, "lower LM-OTS type": lower + 4,
	} {
		was := binary.BigEndian.Uint32(signature[at:])
		for _, n := range []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 31, 32, 33, 1 << 5, 1<<32 - 1} {
			changed := bytes.Clone(signature)
			binary.BigEndian.PutUint32(changed[at:], n)
			err := key.Verify(message, changed)
			if (err == nil) != (n == was) {
				t.Errorf("%s %d instead of %d: %v", name, n, was, err)
			}
			if name == "leaf" && n >= 32 && !strings.Contains(err.Error(), "in a tree of height 5") {
				t.Errorf("leaf %d: %v", n, err)
			}
		}
	}
}

// TestHSSLowerKeyOfUnknownType: a key that is signed is still held to the known types.
func TestHSSLowerKeyOfUnknownType(t *testing.T) {
	upper, lower := hsstest.NewTree(5, 4, "upper"), hsstest.NewTree(5, 4, "lower")
	encoded := lower.Public()
	encoded[3] = 4
	b := binary.BigEndian.AppendUint32(nil, 1)
	b = append(append(b, upper.Sign(0, encoded)...), encoded...)
	b = append(b, lower.Sign(0, []byte("x"))...)
	public := append([]byte{0, 0, 0, 2}, upper.Public()...)
	if err := hssPublic(t, public).Verify([]byte("x"), b); err == nil || !strings.Contains(err.Error(), "not supported") {
		t.Errorf("got %v", err)
	}
}

func TestParseHSSKeyRefuses(t *testing.T) {
	good := unhex(t, rfc8554(t)[0].Public)
	put := func(at int, n uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[at:], n)
		return b
	}
	for name, encoded := range map[string][]byte{
		"nothing": nil, "short": good[:59], "long": append(bytes.Clone(good), 0),
		"no level": put(0, 0), "9 levels": put(0, 9), "many levels": put(0, 1<<32-1),
		"LMS type 0": put(4, 0), "LMS type 4": put(4, 4), "LMS type 10": put(4, 10),
		"LM-OTS type 0": put(8, 0), "LM-OTS type 5": put(8, 5),
	} {
		if _, err := ParseManifestKey(MustMarshal(map[int]any{1: 5, -1: encoded})); !errors.Is(err, ErrKey) {
			t.Errorf("%s: got %v, want ErrKey", name, err)
		}
	}
}

func FuzzHSS(f *testing.F) {
	for _, c := range rfc8554(f) {
		f.Add(unhex(f, c.Public), unhex(f, c.Message), unhex(f, c.Signature))
	}
	one := hsstest.Key{hsstest.NewTree(5, 4, "one")}
	f.Add(one.Public(), []byte("x"), one.Sign([]byte("x")))
	f.Fuzz(func(t *testing.T, public, message, signature []byte) {
		key, err := parseHSSKey(public)
		if err != nil {
			return
		}
		if key.Verify(message, signature) == nil && key.Verify(append(bytes.Clone(message), 'x'), signature) == nil {
			t.Fatal("verifies over two messages")
		}
	})
}
