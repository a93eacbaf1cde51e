package cosekit

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"
)

// BenchmarkContent encrypts and decrypts streams. The floor is SHA-256 of the same
// bytes, which every update computes anyway.
func BenchmarkContent(b *testing.B) {
	plaintext := noise(8 << 20)
	for _, alg := range contentAlgorithms() {
		b.Run(AlgorithmName(alg)+"/encrypt", func(b *testing.B) {
			b.SetBytes(int64(len(plaintext)))
			b.ReportAllocs()
			for b.Loop() {
				pass, _, _, _ := testPass(b, alg)
				if err := pass.seal(io.Discard, bytes.NewReader(plaintext)); err != nil {
					b.Fatal(err)
				}
			}
		})
		_, key, iv, aad := testPass(b, alg)
		ciphertext := reference(b, alg, key, iv, aad, plaintext)
		b.Run(AlgorithmName(alg)+"/decrypt", func(b *testing.B) {
			b.SetBytes(int64(len(plaintext)))
			b.ReportAllocs()
			for b.Loop() {
				pass, _, _, _ := testPass(b, alg)
				if _, err := io.Copy(io.Discard, newOpener(bytes.NewReader(ciphertext), pass)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("floor", func(b *testing.B) {
		b.SetBytes(int64(len(plaintext)))
		for b.Loop() {
			sha256.Sum256(plaintext)
		}
	})
}

// BenchmarkOpen opens a short message: what a report or a small payload costs beside
// the key agreement in it, which is its floor.
func BenchmarkOpen(b *testing.B) {
	key := newAgreement(b)
	e := Encryption{Content: A128GCM, Context: ReportEncryption, Recipients: []Recipient{key.PublicKey()}}
	sealed, err := e.Seal(noise(1000))
	if err != nil {
		b.Fatal(err)
	}
	keys := DecryptionKeys{Agreements: []AgreementKey{key}}
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parseEncrypted(b, sealed).Open(keys, ReportEncryption); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		other := newAgreement(b).PublicKey()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := key.SharedSecret(other); err != nil {
				b.Fatal(err)
			}
		}
	})
}
