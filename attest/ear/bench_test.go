package ear

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"math/big"
	"testing"
)

// BenchmarkVerify stands beside its floor, the signature check in it.
func BenchmarkVerify(b *testing.B) {
	o := options()
	for _, f := range allForms {
		token := f.token(b, f.claims())
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Verify(f.format, token, o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	key := testKeys()["ES256"].(*ecdsa.PrivateKey)
	message := make([]byte, 700)
	signature := rawSign(b, key, message)
	b.Run("floor ES256", func(b *testing.B) {
		for b.Loop() {
			digest := sha256.Sum256(message)
			r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
			if !ecdsa.Verify(&key.PublicKey, digest[:], r, s) {
				b.Fatal("does not verify")
			}
		}
	})
}
