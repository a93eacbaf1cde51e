package cosekit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"filippo.io/mldsa"

	"github.com/tamarack-tam/tamarack/internal/cosekit/hsstest"
)

// Each operation stands beside its floor, the bare signature of the same algorithm.

func BenchmarkSign1(b *testing.B) {
	payload := make([]byte, 1024)
	for _, alg := range append(mldsaAlgorithms, ESP256, Ed25519) {
		key := newKey(b, alg)
		s, err := NewSigner(key)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(AlgorithmName(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Sign1(s, payload, Form{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(AlgorithmName(alg)+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bareSign(b, alg, key, payload)
			}
		})
	}
}

func BenchmarkParseVerify(b *testing.B) {
	payload := make([]byte, 1024)
	for _, alg := range append(mldsaAlgorithms, ESP256, Ed25519) {
		key := newKey(b, alg)
		s, err := NewSigner(key)
		if err != nil {
			b.Fatal(err)
		}
		sig := bareSign(b, alg, key, payload)
		benchmarkVerify(b, s.PublicKey(), sign1(b, s, payload, Form{}), func() bool { return bareVerify(key.Public(), payload, sig) })
	}
}

// BenchmarkParseVerifyHSS has as its floor the hashes of the signature's chains, which
// nobody gets around. Two levels, with the parameters of RFC 8554's first example.
func BenchmarkParseVerifyHSS(b *testing.B) {
	upper, lower := hsstest.NewTree(5, 4, "upper"), hsstest.NewTree(5, 4, "lower")
	secret := hsstest.Key{upper, lower}
	key, err := newHSS(secret.Public())
	if err != nil {
		b.Fatal(err)
	}
	payload, protected := make([]byte, 1024), MustMarshal(map[int]any{1: int64(HSSLMS)})
	structure := sigStructure("Signature1", payload, protected)
	signature := secret.Sign(structure)
	wire := MustMarshal(cborTag(TagSign1, []any{protected, map[int]any{}, payload, signature}))
	hashes := chained(b, upper, 0, lower.Public()) + chained(b, lower, 7, structure)
	benchmarkVerify(b, key, wire, func() bool {
		var block [55]byte
		for range hashes {
			sum := sha256.Sum256(block[:])
			copy(block[23:], sum[:])
		}
		return true
	})
}

// chained is how many hashes lead from a signature to the ends of its chains.
func chained(b *testing.B, tree *hsstest.Tree, leaf uint32, message []byte) (hashes int) {
	key, err := parseLMSKey(tree.Public())
	if err != nil {
		b.Fatal(err)
	}
	in := octets{rest: tree.Sign(leaf, message)}
	s, err := in.lmsSignature(key)
	if err != nil {
		b.Fatal(err)
	}
	ots := lmotsTypes[key.otsCode]
	for _, digit := range ots.digits(key.hash(leaf, lmsMESG, s.c, message)) {
		hashes += 1<<ots.w - 1 - digit
	}
	return hashes
}

func benchmarkVerify(b *testing.B, key *PublicKey, wire []byte, floor func() bool) {
	b.Run(AlgorithmName(key.Algorithm()), func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, err := Parse(wire)
			if err == nil {
				err = m.Verify(key, false)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(AlgorithmName(key.Algorithm())+"/floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !floor() {
				b.Fatal("does not verify")
			}
		}
	})
}

// BenchmarkMAC has one HMAC of the same payload as its floor.
func BenchmarkMAC(b *testing.B) {
	payload := make([]byte, 1024)
	key := secretKey(b, secretA, "")
	wire, err := Mac0(key, payload, Form{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("ParseVerify", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, err := ParseMAC(wire)
			if err == nil {
				err = m.Verify(key)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h := hmac.New(sha256.New, key.k)
			h.Write(payload)
			h.Sum(nil)
		}
	})
}

func bareSign(b *testing.B, alg Algorithm, key crypto.Signer, payload []byte) []byte {
	b.Helper()
	digest, hash := payload, crypto.Hash(0)
	if alg == ESP256 {
		sum := sha256.Sum256(payload)
		digest, hash = sum[:], crypto.SHA256
	}
	sig, err := key.Sign(rand.Reader, digest, hash)
	if err != nil {
		b.Fatal(err)
	}
	return sig
}

func bareVerify(key crypto.PublicKey, payload, sig []byte) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, payload, sig)
	case *mldsa.PublicKey:
		return mldsa.Verify(key, payload, sig, nil) == nil
	}
	sum := sha256.Sum256(payload)
	return ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), sum[:], sig)
}
