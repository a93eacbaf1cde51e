package cosekit

import (
	"crypto/rand"
	"errors"
	"testing"
)

func TestVerifyRaw(t *testing.T) {
	for alg, legacy := range map[Algorithm]Algorithm{ESP256: LegacyES256, Ed25519: LegacyEdDSA} {
		signer, err := GenerateSigner(alg)
		if err != nil {
			t.Fatal(err)
		}
		structure := []byte("structure")
		signature, err := signer.Sign(rand.Reader, structure)
		if err != nil {
			t.Fatal(err)
		}
		key := signer.PublicKey()
		for _, named := range []Algorithm{alg, legacy} {
			if err := key.VerifyRaw(named, structure, signature); err != nil {
				t.Errorf("%s: %v", AlgorithmName(named), err)
			}
		}
		if err := key.VerifyRaw(-36, structure, signature); !errors.Is(err, ErrAlgorithm) {
			t.Errorf("another algorithm: %v", err)
		}
		signature[0] ^= 1
		if err := key.VerifyRaw(alg, structure, signature); !errors.Is(err, ErrSignature) {
			t.Errorf("changed signature: %v", err)
		}
		if err := key.VerifyRaw(alg, structure, nil); !errors.Is(err, ErrSignature) {
			t.Errorf("no signature: %v", err)
		}
	}
}
