package cosekit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
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

// lmsSecret is an LMS private key for these tests: all its secrets come of a text, and
// it may sign twice with one leaf.
type lmsSecret struct {
	lmsKey
	seed string
	tree [][]byte // numbered as in RFC 8554 section 5.3, from 1
}

func newLMSSecret(lmsCode, otsCode uint32, seed string) *lmsSecret {
	id := sha256.Sum256([]byte(seed))
	s := &lmsSecret{lmsKey{lmsCode, otsCode, id[:lmsIDSize], nil}, seed, nil}
	leaves := uint32(1) << lmsHeights[lmsCode]
	s.tree = make([][]byte, 2*leaves)
	for q := range leaves {
		var ends []byte
		for i := range lmotsTypes[otsCode].p {
			ends = s.appendEnd(ends, q, i, 0, 1<<lmotsTypes[otsCode].w-1, s.start(q, i))
		}
		s.tree[leaves+q] = s.hash(leaves+q, lmsLEAF, s.hash(q, lmsPBLC, ends))
	}
	for node := leaves - 1; node > 0; node-- {
		s.tree[node] = s.hash(node, lmsINTR, s.tree[2*node], s.tree[2*node+1])
	}
	s.root = s.tree[1]
	return s
}

func (s *lmsSecret) start(q uint32, i int) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", s.seed, q, i))
	return sum[:]
}

func (s *lmsSecret) public() []byte {
	b := binary.BigEndian.AppendUint32(nil, s.lmsCode)
	b = binary.BigEndian.AppendUint32(b, s.otsCode)
	return append(append(b, s.id...), s.root...)
}

func (s *lmsSecret) sign(q uint32, message []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, q)
	b = binary.BigEndian.AppendUint32(b, s.otsCode)
	c := s.start(q, -1)
	b = append(b, c...)
	for i, digit := range lmotsTypes[s.otsCode].digits(s.hash(q, lmsMESG, c, message)) {
		b = s.appendEnd(b, q, i, 0, digit, s.start(q, i))
	}
	b = binary.BigEndian.AppendUint32(b, s.lmsCode)
	for node := uint32(1)<<lmsHeights[s.lmsCode] + q; node > 1; node /= 2 {
		b = append(b, s.tree[node^1]...)
	}
	return b
}

// hssSecret has one LMS key for each level.
type hssSecret []*lmsSecret

func (s hssSecret) public() []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s[0].public()...)
}

func (s hssSecret) sign(message []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(s)-1))
	for i, level := range s {
		q := uint32(7 * i % 32)
		if i == len(s)-1 {
			return append(b, level.sign(q, message)...)
		}
		next := s[i+1].public()
		b = append(append(b, level.sign(q, next)...), next...)
	}
	return nil
}

// TestHSSParameters signs with each LM-OTS type, and through 1 to 8 levels of
// different ones.
func TestHSSParameters(t *testing.T) {
	var secret hssSecret
	for level := range hssMaxLevels {
		secret = append(secret, newLMSSecret(5, uint32(level%4)+1, fmt.Sprint("level ", level)))
	}
	message := []byte("message")
	for levels := 1; levels <= hssMaxLevels; levels++ {
		secret := secret[:levels]
		key := hssPublic(t, secret.public())
		signature := secret.sign(message)
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
		one := hssSecret{secret[2]}
		signature := append(make([]byte, 4), secret[2].sign(q, message)...)
		if err := hssPublic(t, one.public()).Verify(message, signature); err != nil {
			t.Fatalf("leaf %d: %v", q, err)
		}
	}
}

// TestHSSNumbers changes each number of a signature to each of some others.
func TestHSSNumbers(t *testing.T) {
	secret := hssSecret{newLMSSecret(5, 4, "upper"), newLMSSecret(5, 3, "lower")}
	message := []byte("message")
	key, signature := hssPublic(t, secret.public()), secret.sign(message)
	upper := len(secret[0].sign(0, nil))
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
	upper, lower := newLMSSecret(5, 4, "upper"), newLMSSecret(5, 4, "lower")
	encoded := lower.public()
	encoded[3] = 4
	b := binary.BigEndian.AppendUint32(nil, 1)
	b = append(append(b, upper.sign(0, encoded)...), encoded...)
	b = append(b, lower.sign(0, []byte("x"))...)
	public := append([]byte{0, 0, 0, 2}, upper.public()...)
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
	one := hssSecret{newLMSSecret(5, 4, "one")}
	f.Add(one.public(), []byte("x"), one.sign([]byte("x")))
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
