package cosekit

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"testing"
)

// Each operation stands beside its floor, the bare signature of the same algorithm.

func BenchmarkSign1(b *testing.B) {
	payload := make([]byte, 1024)
	for _, alg := range []Algorithm{ESP256, Ed25519} {
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
	for _, alg := range []Algorithm{ESP256, Ed25519} {
		key := newKey(b, alg)
		s, err := NewSigner(key)
		if err != nil {
			b.Fatal(err)
		}
		wire := sign1(b, s, payload, Form{})
		b.Run(AlgorithmName(alg), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				m, err := Parse(wire)
				if err == nil {
					err = m.Verify(s.PublicKey(), false)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		sig := bareSign(b, alg, key, payload)
		b.Run(AlgorithmName(alg)+"/floor", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !bareVerify(key.Public(), payload, sig) {
					b.Fatal("does not verify")
				}
			}
		})
	}
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
	if key, ok := key.(ed25519.PublicKey); ok {
		return ed25519.Verify(key, payload, sig)
	}
	sum := sha256.Sum256(payload)
	return ecdsa.VerifyASN1(key.(*ecdsa.PublicKey), sum[:], sig)
}
